"""A streaming cut leaves what a cut in memory leaves, whatever interrupts it, in the memory it is given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import secateur
from secateur.cli.cut_tables import print_cut
from secateur.core.errors import CheckpointError, ConfigError, PlanError
from secateur.core.memory import parse_size
from secateur.core.progress import quiet
from secateur.models import checkpoint
from secateur.workflow.cut_options import cut_of_model
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.prune import prune_model
from secateur.workflow.streaming import memory, passes, prune
from secateur.workflow.streaming.prune import prune_streaming
from streamed import GIBIBYTE, write_specimen, write_text

LIMIT = 8 * GIBIBYTE
FAMILIES = (
    "glm",
    "llama",
    "gpt2",
    "bloom",
    "gpt_neox",
    "opt",
    "gemma2",
    "bert",
    "falcon",
    "phi",
    "modernbert",
    "mpt",
    "deberta_v3",
)
"""Fused gate and up; plain; Conv1D; ALiBi; renamed on loading; folded tokens; sliding windows; encoder."""


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text(tmp_path_factory.mktemp("text") / "text.txt")


@pytest.fixture(scope="module")
def glm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense checkpoint; tests must not change it."""
    return write_specimen("glm", tmp_path_factory.mktemp("glm") / "dense")


def a_cut(text: Path | None, **changes: Any) -> CutSettings:
    chosen = {
        "block_fraction": 0.3,
        "criterion": "activation",
    }
    if text is not None:
        chosen |= {"calibration": text, "calibration_blocks": 9, "refit_blocks": 9}
    return cut_of_model(**chosen | changes)


def require_equal(expected: Path, found: Path) -> None:
    assert checkpoint.describe(found).plan == checkpoint.describe(expected).plan
    assert checkpoint.describe(found).form == checkpoint.describe(expected).form
    dense, streamed = secateur.load(expected).state_dict(), secateur.load(found).state_dict()
    assert set(dense) == set(streamed)
    for name, tensor in dense.items():
        assert (streamed[name] - tensor).abs().max() <= 5e-4 * tensor.abs().max(), name


@pytest.mark.parametrize(
    ("family", "target"), [*((family, "stream") for family in FAMILIES), ("llama", "projection")]
)
def test_a_streaming_cut_is_a_cut_in_memory(family: str, target: str, text: Path, tmp_path: Path):
    source = write_specimen(family, tmp_path / "dense")
    equal = family in ("glm", "llama", "gpt2")
    cut = a_cut(text, uniform=equal, refit_blocks=9 if family == "glm" else 13, refit_target=target)
    expected = prune_model(str(source), cut, tmp_path / "memory")
    found = prune_streaming(source, tmp_path / "streamed", cut, max_memory_bytes=LIMIT)
    require_equal(tmp_path / "memory", tmp_path / "streamed")
    assert found["refit"]["adopted"] == expected["refit"]["adopted"] > 0
    for ours, theirs in zip(found["refit"]["projections"], expected["refit"]["projections"], strict=True):
        assert ours["residual_after"] == pytest.approx(theirs["residual_after"], rel=1e-3, abs=1e-9)
    assert {name: value for name, value in found["pruned"].items() if name != "bytes"} == {
        name: value for name, value in expected["pruned"].items() if name != "bytes"
    }


@pytest.mark.parametrize(
    ("family", "uniform"), [("glm", True), ("glm", False), ("gpt2", False), ("whisper", False)]
)
def test_magnitude_needs_no_data(family: str, uniform: bool, tmp_path: Path):
    changes = {"pad_token_id": 0} if family == "whisper" else {}
    source = write_specimen(family, tmp_path / "dense", **changes)
    cut = a_cut(None, criterion="magnitude", uniform=uniform)
    prune_model(str(source), cut, tmp_path / "memory")
    found = prune_streaming(source, tmp_path / "streamed", cut, max_memory_bytes=LIMIT)
    require_equal(tmp_path / "memory", tmp_path / "streamed")
    assert found["refit"] is None


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("on_text", [True, False])
def test_random_scores_are_those_of_a_cut_in_memory(
    uniform: bool, on_text: bool, glm: Path, text: Path, tmp_path: Path
):
    cut = a_cut(text if on_text else None, criterion="random", uniform=uniform, seed=3)
    prune_model(str(glm), cut, tmp_path / "memory")
    prune_streaming(glm, tmp_path / "streamed", cut, max_memory_bytes=LIMIT)
    require_equal(tmp_path / "memory", tmp_path / "streamed")


def test_half_precision_stays_the_folder_is_plain_and_the_result_can_be_shown(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    source = write_specimen("glm", tmp_path / "dense", dtype=torch.bfloat16)
    out = tmp_path / "streamed"
    result = prune_streaming(source, out, a_cut(text, uniform=True), max_memory_bytes=LIMIT)
    assert result["form"] == "plain"
    print_cut(result)
    assert "fewer parameters" in capsys.readouterr().out
    model, report = AutoModelForCausalLM.from_pretrained(out, dtype="auto", output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert sum(parameter.numel() for parameter in model.parameters()) == result["pruned"]["parameters"]
    assert checkpoint.load_tokenizer(out)("abc")["input_ids"]
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(model.state_dict())
    assert not list(tmp_path.glob(".*"))


def test_small_batches_give_the_same_plan_and_nearly_the_same_weights(
    glm: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cut = a_cut(text)
    first = prune_streaming(glm, tmp_path / "large", cut, max_memory_bytes=LIMIT)
    monkeypatch.setattr(memory, "MOST_BLOCKS_AT_ONCE", 2)
    second = prune_streaming(glm, tmp_path / "small", cut, max_memory_bytes=LIMIT)
    assert (first["streaming"]["blocks_at_once"], second["streaming"]["blocks_at_once"]) == (8, 2)
    require_equal(tmp_path / "large", tmp_path / "small")


class Interrupted(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("moment", ["pass_dense", "pass_cut", "write_block", "finish"])
def test_an_interrupted_cut_goes_on_and_leaves_the_same_bits(
    moment: str, uniform: bool, glm: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cut = a_cut(text, uniform=uniform)
    prune_streaming(glm, tmp_path / "whole", cut, max_memory_bytes=LIMIT)
    calls = {"count": 0}
    place = prune if moment == "finish" else passes
    former = getattr(place, moment)

    def at_the_second_layer(*args: Any, **given: Any) -> Any:
        calls["count"] += 1
        result = former(*args, **given)
        if calls["count"] == (1 if moment == "finish" else 2):
            raise Interrupted
        return result

    monkeypatch.setattr(place, moment, at_the_second_layer)
    out = tmp_path / "broken"
    with pytest.raises(Interrupted):
        prune_streaming(glm, out, cut, max_memory_bytes=LIMIT)
    assert not out.exists()
    begun = calls["count"]
    prune_streaming(glm, out, cut, max_memory_bytes=LIMIT)
    assert calls["count"] > begun
    weights = {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("*.safetensors")}
    assert weights == {path.name: path.read_bytes() for path in out.glob("*.safetensors")}
    assert not (tmp_path / ".broken.streaming").exists()


def test_layers_that_are_written_are_not_cut_again(
    glm: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    written: list[int] = []
    former = passes.write_block

    def recording(model: Any, layer: int, path: Path) -> str:
        if layer == 2 and 2 not in written:
            written.append(layer)
            raise Interrupted
        written.append(layer)
        return former(model, layer, path)

    monkeypatch.setattr(passes, "write_block", recording)
    with pytest.raises(Interrupted):
        prune_streaming(glm, tmp_path / "out", a_cut(text), max_memory_bytes=LIMIT)
    prune_streaming(glm, tmp_path / "out", a_cut(text), max_memory_bytes=LIMIT)
    assert written == [0, 1, 2, 2]


def test_unfinished_work_with_other_settings_is_not_mixed(
    glm: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def stop(*_: Any, **__: Any) -> None:
        raise Interrupted

    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(prune, "finish", stop)
        prune_streaming(glm, tmp_path / "out", a_cut(text), max_memory_bytes=LIMIT)
    with pytest.raises(ConfigError, match=r"interrupted cut with another block_fraction \(0.3, now 0.2\)"):
        prune_streaming(glm, tmp_path / "out", a_cut(text, block_fraction=0.2), max_memory_bytes=LIMIT)


def test_bad_shards_are_named_before_any_work(text: Path, tmp_path: Path):
    source = write_specimen("glm", tmp_path / "dense")
    shards = sorted(source.glob("*.safetensors"))
    shards[1].unlink()
    shards[2].write_bytes(shards[2].read_bytes()[:-8])
    with pytest.raises(CheckpointError) as error:
        prune_streaming(source, tmp_path / "out", a_cut(text), max_memory_bytes=LIMIT)
    assert shards[1].name in str(error.value)
    assert shards[2].name in str(error.value)
    assert shards[0].name not in str(error.value)
    assert not list(tmp_path.glob(".out*"))


def test_a_configuration_of_another_model_is_refused(text: Path, tmp_path: Path):
    source = write_specimen("glm", tmp_path / "dense")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"intermediate_size": 16}))
    with pytest.raises(CheckpointError, match=r"has shape .* but the configuration tells"):
        prune_streaming(source, tmp_path / "out", a_cut(text), max_memory_bytes=LIMIT)
    (source / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    with pytest.raises(CheckpointError, match=r"lacks 11 tensors .*layers\.3\."):
        prune_streaming(source, tmp_path / "out", a_cut(text), max_memory_bytes=LIMIT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"criterion": "taylor"},
            "takes gradients of the whole model at once; .* activation, magnitude, random",
        ),
        ({"vocabulary": Path("text.txt")}, "--vocabulary does not go with --max-memory"),
        ({"rounds": 2}, "rounds and recovery look at the whole model at once"),
        ({"recovery_steps": 5}, "rounds and recovery look at the whole model at once"),
        ({"refit_blocks": 1}, "a re-fit needs at least 4"),
    ],
)
def test_what_does_not_go_one_layer_at_a_time_is_refused(
    changes: dict[str, Any], message: str, glm: Path, text: Path, tmp_path: Path
):
    with pytest.raises(ConfigError, match=message):
        prune_streaming(glm, tmp_path / "out", a_cut(text, **changes), max_memory_bytes=LIMIT)


def test_a_size_out_of_reach_is_refused(glm: Path, text: Path, tmp_path: Path):
    with pytest.raises(PlanError, match=r"The largest ratio that can be reached"):
        prune_streaming(
            glm, tmp_path / "out", a_cut(text, block_fraction=None, ratio=50.0), max_memory_bytes=LIMIT
        )


def test_a_model_of_two_stacks_is_not_run_one_block_at_a_time(text: Path, tmp_path: Path):
    source = write_specimen("whisper", tmp_path / "dense", pad_token_id=0)
    with pytest.raises(ConfigError, match=r"takes input_features; cut it without data"):
        prune_streaming(source, tmp_path / "out", a_cut(text), max_memory_bytes=LIMIT)


def test_a_mixture_of_experts_is_cut_in_memory_only(text: Path, tmp_path: Path):
    source = write_specimen("mixtral", tmp_path / "dense")
    with pytest.raises(ConfigError, match=r"mixture of experts \('mixtral'\).*leave --max-memory out"):
        prune_streaming(source, tmp_path / "out", a_cut(text), max_memory_bytes=LIMIT)


def test_too_little_memory_is_refused_with_what_is_needed(glm: Path, text: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"is too little: .* Give --max-memory \d+MiB") as error:
        prune_streaming(glm, tmp_path / "out", a_cut(text), max_memory_bytes=64 * 2**20)
    named = parse_size(str(error.value).split("--max-memory ")[1].split(",")[0].rstrip("."))
    assert prune_streaming(glm, tmp_path / "out", a_cut(text), max_memory_bytes=named)["form"]


def test_layouts_shrink_with_the_memory(glm: Path):
    work = memory.Work(
        model=prune.open_streamed(glm),
        samples=32,
        length=256,
        widths=(memory.LayerWidths(hidden=4096, head_dim=128, heads=32, groups=2, channels=13696),) * 3,
        resident_bytes=500 * 2**20,
    )
    chosen = [memory.choose_layout(work, limit * 2**20) for limit in (4096, 3400)]
    assert chosen[0].needed_bytes <= 4 * GIBIBYTE
    assert chosen[1].needed_bytes <= 3400 * 2**20
    many = replace(work, samples=400)
    assert memory.choose_layout(many, 5 * GIBIBYTE).gram == "float64"
    assert memory.choose_layout(many, 7 * GIBIBYTE // 2).gram == "float32"
    with pytest.raises(ConfigError, match=r"re-fitting a block needs about"):
        memory.choose_layout(many, GIBIBYTE)
