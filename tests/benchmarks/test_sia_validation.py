"""The validation of the check: D is the trial cut's, ranks are ranks, and it goes on where it stopped."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from secateur.core.progress import quiet
from secateur.core.records import JsonLines
from secateur.models.binding import bind
from secateur.sia.trial import trial_cut
from secateur.structure.counting import shape_parameters

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
models = importlib.import_module("sia_validation_models")
measuring = importlib.import_module("sia_validation_cells")
ranks = importlib.import_module("sia_validation_ranks")
tables = importlib.import_module("sia_validation_tables")
validation = importlib.import_module("sia_validation")


@pytest.fixture
def subject(monkeypatch):
    monkeypatch.setitem(models.TINY, "num_hidden_layers", 2)
    monkeypatch.setitem(models.TINY, "hidden_size", 64)
    model = models.tiny("Gemma2-like")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    tokens = list(models.text_of("calibration").encode())
    batches = models.blocks_of(tokens, blocks=4, length=16, at_once=2)
    return models.Subject(
        name="Gemma2-like",
        model=model,
        calibration=batches,
        evaluations=6,
        held_out=lambda cut: float(shape_parameters(bind(cut).spec.family, bind(cut).shape)),
        measured="parameters",
        shares=(0.2, 0.5),
        lots=1,
        criteria=("magnitude", "taylor"),
    )


def test_d_is_what_the_trial_cut_measures(subject):
    with quiet():
        lines = list(measuring.cut_lines(subject, set()))
    assert len(lines) == 2 * 2 * 2
    bound = bind(subject.model)
    whole = shape_parameters(bound.spec.family, bound.shape)
    found = trial_cut(
        subject.model,
        subject.calibration,
        ratio=whole / measuring.target_of(bound, 0.5),
        criterion="taylor",
        seed=models.SEED,
    )
    own = {line["treatment"]: line for line in lines if (line["criterion"], line["share"]) == ("taylor", 0.5)}
    for treatment, expected in (("closed", found.closed), ("apart", found.apart)):
        assert own[treatment]["d_loss"] == pytest.approx(expected.loss.value, abs=1e-5)
        assert own[treatment]["d_divergence"] == pytest.approx(expected.divergence.value, abs=1e-5)
    assert own["closed"]["measured"] == own["apart"]["measured"] <= measuring.target_of(bound, 0.5)


def test_parts_of_the_text_do_not_overlap_and_blocks_are_drawn_alike():
    pieces = [models.text_of(part) for part in models.PARTS]
    topics = models.pydoc_data.topics.topics
    assert "".join(pieces) == "\n\n".join(topics[name] for name in sorted(topics))
    one, other = (models.blocks_of(list(range(64)), blocks=3, length=8, at_once=2) for _ in range(2))
    assert [len(batch["input_ids"]) for batch in one] == [2, 1]
    assert all(torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(one, other, strict=True))


def cell(subject: str, share: float, d: float, measured: float) -> Any:
    return ranks.Cell(
        subject=subject,
        treatment="closed",
        criterion="taylor",
        share=share,
        d=d,
        d_divergence=d,
        measured=measured,
    )


def test_within_a_family_the_correlation_is_spearmans():
    draw = np.random.default_rng(0)
    pairs = draw.normal(size=(12, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    cells = [cell("a", 0.1, *pair) for pair in pairs]
    found = ranks.correlation(cells, "d")
    assert found.value == pytest.approx(stats.spearmanr(*pairs.T).statistic)
    assert found.low < found.value < found.high
    assert np.isnan(ranks.correlation(cells, "share").value)


def test_pooling_ranks_takes_units_and_sizes_away():
    # perfect order in each family, though the scales oppose each other
    cells = [cell("a", 0.1, n, 100 + n) for n in range(6)] + [cell("b", 0.1, 100 + n, n) for n in range(6)]
    assert ranks.correlation(cells, "d").value == pytest.approx(1)
    # D tells sizes apart and nothing else: at equal size there is no correlation left
    sizes = [
        cell("a", share, share + noise, share + loss)
        for share in (1.0, 2.0)
        for noise, loss in ((0.1, 0.1), (0.1, -0.1), (-0.1, 0.1), (-0.1, -0.1))
    ]
    assert ranks.correlation(sizes, "d").value > 0.7
    assert ranks.correlation(sizes, "d", by_share=True).value == pytest.approx(0)


def test_a_stopped_validation_goes_on(subject, tmp_path, monkeypatch):
    monkeypatch.setitem(validation.SUBJECTS, subject.name, lambda _work: subject)
    out = tmp_path / "page"
    with quiet():
        validation.run([subject.name], tmp_path, out)
        first = out.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
        out.with_suffix(".jsonl").write_text("\n".join(first[:-3]) + "\n", encoding="utf-8")
        again = replace(subject, held_out=lambda cut: subject.held_out(cut) + 1)
        monkeypatch.setitem(validation.SUBJECTS, subject.name, lambda _work: again)
        validation.run([subject.name], tmp_path, out)
    lines = JsonLines(out.with_suffix(".jsonl")).read()
    keys = [(line["kind"], line.get("treatment"), line.get("criterion"), line.get("share")) for line in lines]
    assert len(keys) == len(set(keys)) == len(first) == 1 + 2 * 2 * 2 + 1
    assert out.with_suffix(".png").stat().st_size > 1000
    text = out.with_suffix(".md").read_text(encoding="utf-8")
    assert "| Gemma2-like | 8 |" in text
    assert "reliable" in text


def test_agreement_asks_whether_the_choice_beats_the_lot():
    def check(verdict: str, loss: float) -> dict[str, Any]:
        return {"granularities": [{"verdict": verdict, "loss": loss, "by_lot": [1.0, 2.0]}]}

    told = [check("reliable", 0.5), check("unreliable", 0.5), check("unreliable", 1.5)]
    assert tables.agreement(told) == {"agree": 2, "disagree": 1}
