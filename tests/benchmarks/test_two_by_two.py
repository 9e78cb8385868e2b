"""The 2 x 2 study: equal sizes, what is called what, and that it goes on where it stopped."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

from secateur.core.errors import ConfigError
from secateur.core.progress import quiet
from secateur.models.binding import bind
from secateur.models.controlled import ControlledSize, controlled_backbone
from secateur.scoring.registered import CRITERIA
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.surgery.apart import ApartPlan, choose_apart, cut_apart

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
study_settings = importlib.import_module("two_by_two_settings")
cuts = importlib.import_module("two_by_two_cuts")
reading = importlib.import_module("two_by_two_reading")
study_run = importlib.import_module("two_by_two")

SIZE = ControlledSize(layers=2, hidden=64, heads=8, sharing=4, channels=256)
BACKBONES = [(attention, ffn) for attention in ("mha", "gqa") for ffn in ("gelu", "swiglu")]


def backbone(attention: str, ffn: str, size: ControlledSize = SIZE) -> torch.nn.Module:
    values = controlled_backbone(size, attention=attention, ffn=ffn, tokens=8)
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(**values), attn_implementation="sdpa")
    model.set_input_embeddings(torch.nn.Identity())
    return model.eval()


def test_the_four_backbones_are_equal_but_for_the_two_factors():
    models = {key: backbone(*key) for key in BACKBONES}
    counts = [sum(parameter.numel() for parameter in model.parameters()) for model in models.values()]
    assert max(counts) / min(counts) < 1.01
    for (attention, ffn), model in models.items():
        layer = bind(model).layers[0]
        assert layer.stack.is_gated == (ffn == "swiglu")
        assert layer.n_groups == (8 if attention == "mha" else 2)
        assert layer.head_dim == 8
        assert {type(norm).__name__ for _, norm in layer.norms.values()} == {"LayerNorm"}
        assert not any(module.bias is not None for module in layer.projections.values())
    turned = {key: model.rotary_emb.inv_freq for key, model in models.items()}
    for frequencies in turned.values():
        torch.testing.assert_close(frequencies, turned["mha", "gelu"])


def test_the_study_has_backbones_within_one_per_cent():
    size = study_settings.read_study(ROOT / "studies" / "two_by_two.yaml").size
    counts = [sum(p.numel() for p in backbone(*key, size).parameters()) for key in BACKBONES]
    assert max(counts) / min(counts) < 1.01


@pytest.mark.parametrize(("attention", "ffn"), BACKBONES)
@pytest.mark.parametrize("ratio", [1.2, 2.0, 8.0])
def test_closed_and_naive_cuts_are_equally_large_and_meet_the_ratio(attention, ffn, ratio):
    model = backbone(attention, ffn)
    bound = bind(model)
    identity = PruningPlan.identity(bound.spec.family, bound.shape)
    widths = cuts.widths_for(identity, ratio)
    scores = CRITERIA.get("magnitude")().score(model, bound, (), seed=0)
    closed = cuts.closed_plan(identity, scores, widths)
    assert parameters(identity) / parameters(closed) == pytest.approx(ratio, rel=0.04)  # one channel is 3 %
    assert parameters(identity) / parameters(closed) >= ratio
    alone = importlib.import_module("secateur.scoring.matrices").matrix_scores(
        model, bound, (), criterion="magnitude"
    )
    naive = choose_apart(closed, alone)
    assert bind(cut_apart(model, naive)).shape == closed.result
    found = cuts.mismatches(bound, naive)
    assert (found["mismatched_channels"] > 0) == (ffn == "swiglu")
    assert attention == "gqa" or found["misread_heads"] == 0
    together = cuts.mismatches(bound, ApartPlan.of_closed(closed, gated=ffn == "swiglu"))
    assert together == {"misread_heads": 0, "mismatched_channels": 0}


def test_a_branch_switched_off_adds_nothing():
    model = backbone("gqa", "swiglu")
    x = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(0))
    silent = cuts.without_branch(cuts.without_branch(model, "group"), "channel")
    with torch.no_grad():
        out = silent(inputs_embeds=x, use_cache=False).last_hidden_state
        torch.testing.assert_close(out, model.norm(x))
        assert not torch.allclose(model(inputs_embeds=x, use_cache=False).last_hidden_state, out)


def test_unknown_keys_are_refused(tmp_path):
    text = (ROOT / "studies" / "two_by_two.yaml").read_text(encoding="utf-8")
    (tmp_path / "study.yaml").write_text(text + "\nstep: 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="step"):
        study_settings.read_study(tmp_path / "study.yaml")


def line(seed: int, treatment: str, accuracy: float, **more: Any) -> dict[str, Any]:
    return {
        "task": "load",
        "split": "load",
        "seed": seed,
        "attention": "mha",
        "ffn": "swiglu",
        "treatment": treatment,
        "criterion": None if treatment == "dense" else "taylor",
        "ratio": 1.0 if treatment == "dense" else 2.0,
        "recovery_steps": 0,
        "accuracy": [accuracy, 1.0],
        **more,
    }


def test_seeds_are_paired_and_heads_with_keys_of_their_own_are_closed():
    results = reading.Results(
        [line(0, "closed", 0.8), line(1, "closed", 0.6), line(0, "naive", 0.4)], ("load",)
    )
    key = ("mha", "swiglu")
    closed, naive = (
        results.by_seed(reading.mean_of("accuracy"), key, name, "taylor", 2.0) for name in ("closed", "naive")
    )
    assert closed == pytest.approx({0: 0.9, 1: 0.8})
    assert reading.less(naive, closed) == pytest.approx([-0.2])
    same = results.by_seed(reading.mean_of("accuracy"), key, "naive attention", "taylor", 2.0)
    assert same == closed
    assert reading.interval([0.8, 0.9]) == pytest.approx((0.85, 12.7062 * 0.05), rel=1e-4)


def test_a_perfect_predictor_has_rank_correlation_one():
    lines = [line(0, "dense", 1.0)]
    lines += [
        line(0, "closed", 1 - 0.05 * n, calibration_kl=float(n) ** 2, ratio=1.0 + n) for n in range(1, 13)
    ]
    results = reading.Results(lines, ("load",))
    found = reading.rank_correlations(results, "calibration_kl", reading.mean_of("accuracy"))
    assert found == pytest.approx([1.0])


@pytest.mark.slow
def test_a_stopped_study_goes_on(tmp_path, monkeypatch):
    task = {
        "name": "t",
        "data": "simulated",
        "split": "random_window",
        "input": "patches",
        "window_length": 2048,
        "train_hop": 32768,
        "test_hop": 32768,
        "training": {"max_steps": 2, "batch_size": 4, "warmup_steps": 1},
        "ratios": [1.5],
        "recovered": [{"criterion": "taylor", "ratio": 1.5}],
    }
    study = study_settings.Study.model_validate(
        {
            "seeds": [0],
            "size": {"layers": 2, "hidden": 32, "heads": 4, "sharing": 2, "channels": 64},
            "attentions": ["gqa"],
            "ffns": ["swiglu"],
            "snr_db": [0],
            "criteria": ["magnitude", "taylor"],
            "max_test_windows": 8,
            "calibration_windows": 4,
            "recovery": {"steps": 2, "batch_size": 4},
            "tasks": [task],
        }
    )
    lines = study_run.JsonLines(tmp_path / "results.jsonl")
    (cell,) = study.cells()
    with quiet():
        study_run.run_cell(study, cell, data=Path(), work=tmp_path, lines=lines)
        first = lines.path.read_text(encoding="utf-8").splitlines()
        assert len(first) == 3 + 1 + 2 * 4 + 1 + 2
        # without its last three lines the study measures just these again, and finds the same
        lines.path.write_text("\n".join(first[:-3]) + "\n", encoding="utf-8")
        monkeypatch.setattr(study_run, "fit", None)
        study_run.run_cell(study, cell, data=Path(), work=tmp_path, lines=lines)
    again = [json.loads(text) for text in lines.path.read_text(encoding="utf-8").splitlines()]
    for former, now in zip(map(json.loads, first), again, strict=True):
        former.pop("seconds"), now.pop("seconds")
        former.pop("trained_s", None), now.pop("trained_s", None)
        assert former == now
