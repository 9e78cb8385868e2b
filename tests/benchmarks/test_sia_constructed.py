"""Constructed models: what keeps the function keeps it, and what theory says of single removals holds."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from secateur.models.binding import bind
from secateur.sia.measured.gating import removed
from secateur.structure.units import Unit

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
constructions = importlib.import_module("sia_validation_constructions")
constructed = importlib.import_module("sia_validation_constructed")

IDS = torch.randint(0, 256, (2, 16), generator=torch.Generator().manual_seed(0))


def untrained(family: str, *, spare: bool) -> torch.nn.Module:
    config, built, settings = constructed.FAMILIES[family]
    torch.manual_seed(0)
    values = {**constructed.SMALL, "num_hidden_layers": 2, "attn_implementation": "eager"}
    model = getattr(transformers, built)(getattr(transformers, config)(**values, **settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    if spare:
        constructions.silence(model)
    return model


@torch.no_grad()
def answer(model: torch.nn.Module) -> torch.Tensor:
    return model(IDS).logits


@pytest.mark.parametrize("family", list(constructed.FAMILIES))
@pytest.mark.parametrize("name", ["twins", "cancelling pairs", "rescaled"])
def test_the_function_stays_and_the_weights_do_not(family, name):
    made = constructions.CONSTRUCTIONS[name]
    model = untrained(family, spare=made.base == "spare")
    before, state = answer(model), {key: value.clone() for key, value in model.state_dict().items()}
    made.build(model)
    torch.testing.assert_close(answer(model), before, atol=2e-4, rtol=1e-4)
    assert any(not torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("family", ["GPT-NeoX-like", "Llama-like", "Falcon-like"])
@pytest.mark.parametrize("kind", ["group", "channel"])
def test_cancelling_units_matter_alone_and_not_together(family, kind):
    model = untrained(family, spare=True)
    before = answer(model)
    constructions.cancelling(model)
    bound = bind(model)
    first = bound.layers[0].units(kind) // 2

    def change(*indices: int) -> float:
        with removed(bound, [Unit(kind=kind, layer=0, index=index) for index in indices]):
            return float((answer(model) - before).abs().max())

    assert change(first) > 100 * max(change(first, first + 1), 1e-5)
    assert change(first, first + 1) < 1e-3


@pytest.mark.parametrize("kind", ["group", "channel"])
def test_one_of_two_twins_moves_the_answer_half_as_far(kind):
    """To first order in a small term; both together move it as the unit did."""
    model = untrained("GPT-NeoX-like", spare=True)
    for layer in bind(model).layers:
        for unit in range(layer.units(kind)):
            constructions.scale_output(layer, kind, unit, 1e-2)
    before = answer(model)
    constructions.twins(model)
    bound = bind(model)
    twin = bound.layers[1].units(kind) // 2

    def moved(*indices: int) -> torch.Tensor:
        with removed(bound, [Unit(kind=kind, layer=1, index=index) for index in indices]):
            return answer(model) - before

    torch.testing.assert_close(2 * moved(0), moved(0, twin), atol=3e-5, rtol=0.05)
    torch.testing.assert_close(moved(0), moved(twin), atol=1e-5, rtol=0.01)


def test_of_two_stand_ins_never_both_are_missing():
    model = untrained("GPT-NeoX-like", spare=False)
    layer, seen = bind(model).layers[0], []
    with constructions.stand_ins(model, np.random.default_rng(0)):
        hook = layer.output("channel").register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
        for _ in range(20):
            answer(model)
        hook.remove()
    present = (torch.cat(seen) != 0).any(dim=1)
    n = present.shape[1]
    first, second = present[:, : n // 2 : 2], present[:, 1 : n // 2 : 2]
    assert (first | second).all()
    assert 0.2 < (~first).float().mean() < 0.45
    assert present[:, n // 2 :].all()
    after = answer(model)
    torch.testing.assert_close(answer(model), after, atol=0, rtol=0)


def test_parities_are_parities():
    tokens = np.array(constructed.parity_tokens(2, name="x")).reshape(-1, 4)
    assert ((tokens[:, :3] - 48).sum(axis=1) % 2 == tokens[:, 3] - 97).all()
    assert len(tokens) == 2 * constructed.CONTEXT // 4


def line(verdict: str, loss: float, *lots: float) -> dict:
    return {
        "family": "Llama-like",
        "construction": "twins",
        "granularity": "heads",
        "criterion": "taylor",
        "share": 0.25,
        "verdict": verdict,
        "settled": True,
        "evaluations": 300,
        "checks": [],
        "calibration": loss,
        "loss": loss,
        "by_lot": list(lots),
        "best": {"name": "surgeon", "loss": 0.1},
        "theory": None,
    }


def test_what_happened_is_held_against_the_mean_lot(tmp_path):
    confusion = importlib.import_module("sia_validation_confusion")
    lines = [
        line("reliable", 0.1, 0.1, 0.3),
        line("unreliable", 0.25, 0.1, 0.3),
        line("unreliable", 0.15, 0.1, 0.3),
        line("reliable", 0.001, 0.002, 0.003),
        line("reliable", 0.25, 0.1, 0.3) | {"settled": False},
        line("unreliable", 0.25, 0.1, 0.3) | {"settled": False, "share": 0.5},
    ]
    assert confusion.confusion(lines) == {
        ("trusted", "scores help"): 1,
        ("unreliable", "no better than lot"): 2,
        ("unreliable", "scores help"): 1,
        ("trusted", "nothing at stake"): 1,
        ("not settled", "no better than lot"): 1,
    }
    out = tmp_path / "page"
    constructed.publish(lines, out)
    text = out.with_suffix(".md").read_text(encoding="utf-8")
    assert "| rule set on, 25% of the units | unreliable | 1 | 1 | 0 | 1.00 (0.75 to 1.25) |" in text
    assert out.with_suffix(".png").stat().st_size > 1000
