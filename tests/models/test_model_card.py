"""The README.md of a cut model: licence carried over, true sizes, nothing sealed."""

from __future__ import annotations

import pytest
import yaml

import secateur
from secateur.core.progress import quiet
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.model_card import head_of, write_model_card
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from tiny_gguf import tiny_llama


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


def parts(folder):
    _, head, body = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), body


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "tiny-llama"
    folder.mkdir()
    (folder / "README.md").write_text(
        "---\nlicense: llama3.2\nlicense_name: The Llama licence\nlanguage: [en, de]\n"
        "metrics: [bleu]\n---\n# Llama\n"
    )
    (folder / "LICENSE.txt").write_text("Be good.")
    return folder


@pytest.mark.parametrize("form", ["own", "plain"])
def test_a_cut_model_says_what_it_is(form, source, tmp_path):
    model = tiny_llama(tied=True)
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape).with_channels(0, range(40))
    plan = plan.with_channels(1, range(40 if form == "plain" else 44))
    small = apply(model, plan)
    metadata = {"source": str(source), "criterion": "magnitude", "calibration": None}
    checkpoint.save(small, tmp_path / "cut", plan=plan, metadata=metadata, source=source)
    head, body = parts(tmp_path / "cut")
    assert head["license"] == "llama3.2"
    assert head["language"] == ["en", "de"]
    assert head["library_name"] == ("transformers" if form == "plain" else "secateur")
    assert head["pipeline_tag"] == "text-generation"
    assert "metrics" not in head
    assert (tmp_path / "cut" / "LICENSE").read_text() == "Be good."
    total = sum(parameter.numel() for parameter in small.parameters())
    assert f"| parameters | {sum(p.numel() for p in model.parameters()):,} | {total:,} |" in body
    channels = "40" if form == "plain" else "40 to 44"
    assert f"| feed-forward channels a layer | 48 | {channels} |" in body
    assert "units chosen by: magnitude" in body
    assert "The Llama licence (LICENSE)" in body
    assert "- `secateur.load(folder)`" in body
    (tmp_path / "cut" / "README.md").write_text("mine")
    secateur.save(secateur.load(tmp_path / "cut"), tmp_path / "again")


def test_what_is_trained_on_keeps_the_licence(source, tmp_path):
    checkpoint.save(tiny_llama(tied=True), tmp_path / "one", source=source)
    secateur.save(secateur.load(tmp_path / "one"), tmp_path / "two")
    assert parts(tmp_path / "two")[0]["license"] == "llama3.2"
    assert (tmp_path / "two" / "LICENSE").read_text() == "Be good."


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# no head",
        "---\n[\n---\n",
        "---\n- a\n---\n",
        "---\n" + "[" * 5000 + "\n---\n",
        "---\nlicense:\n---\n",
    ],
)
def test_a_source_without_a_licence_is_told(text, tmp_path):
    (tmp_path / "README.md").write_text(text)
    assert head_of(tmp_path / "README.md") == {}
    checkpoint.save(tiny_llama(tied=True), tmp_path / "saved")
    write_model_card(tmp_path / "saved", tmp_path)
    head, body = parts(tmp_path / "saved")
    assert "license" not in head
    assert "names none" in body
