"""What a choice leaves of a branch, held against running the model; choices in rounds and in contexts."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from secateur.models.binding import bind
from secateur.scoring.registered import CRITERIA
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
choices = importlib.import_module("scores_against_lot_choices")
readout = importlib.import_module("scores_against_lot_readout")
cuts = importlib.import_module("two_by_two_cuts")


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=61,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    made = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(5.0)
    return made


@pytest.fixture
def batches():
    draw = torch.Generator().manual_seed(1)
    return tuple({"input_ids": torch.randint(0, 61, (4, 9), generator=draw)} for _ in range(3))


def plan_of(model, channels, groups=(0, 1)) -> PruningPlan:
    whole = choices.identity_of(bind(model))
    layers = tuple(
        replace(layer, channels=tuple(channels), groups=tuple(groups), heads=((0, 1),) * len(groups))
        for layer in whole.layers
    )
    return replace(whole, layers=layers)


@torch.no_grad()
def test_what_is_left_of_a_branch_is_what_the_model_computes(model, batches):
    """The first FFN sees the same stream, so its cut output can be read off the cut model."""
    kept = tuple(range(0, 24, 2))
    outputs, inputs = [], []
    module = bind(model).layers[0].output("channel")

    def see(_module, args, output) -> None:
        inputs.append(args[0])
        outputs.append(output)

    hook = module.register_forward_hook(see)
    for batch in batches:
        model(batch["input_ids"])
    hook.remove()
    z, y = (torch.cat(found).flatten(0, -2).double() for found in (inputs, outputs))
    weight = module.weight.double()
    left = z[:, list(kept)] @ weight[:, list(kept)].T
    whole = y.square().sum()
    found = choices.Moments(model, batches)._layer_fit(weight, ("channel", 0), torch.tensor(kept))
    assert found["error"] == pytest.approx(float((y - left).square().sum() / whole), rel=1e-4)
    assert found["kept"] == pytest.approx(float(left.square().sum() / whole), rel=1e-4)
    best = torch.linalg.lstsq(z[:, list(kept)], y).solution
    rest = float((y - z[:, list(kept)] @ best).square().sum() / whole)
    assert found["best_error"] == pytest.approx(rest, rel=1e-2, abs=1e-5)
    scale = float((left * y).sum() / left.square().sum())
    assert found["scale"] == pytest.approx(scale, rel=1e-4)
    assert found["mean_share"] == pytest.approx(
        float(y.mean(dim=0).square().sum() * len(y) / whole), rel=1e-4
    )
    missing = y - left
    centred = float((missing - missing.mean(dim=0)).square().sum() / (y - y.mean(dim=0)).square().sum())
    assert found["error_without_mean"] == pytest.approx(centred, rel=1e-4)


@torch.no_grad()
def test_means_of_the_missing_units_are_what_they_wrote_on_average(model, batches):
    plan = plan_of(model, (1, 2, 3))
    means = choices.Moments(model, batches).missing_means(plan)
    seen = []
    hook = (
        bind(model)
        .layers[0]
        .output("channel")
        .register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    )
    for batch in batches:
        model(batch["input_ids"])
    hook.remove()
    z = torch.cat(seen).flatten(0, -2)
    z[:, [1, 2, 3]] = 0
    expected = (z @ bind(model).layers[0].output("channel").weight.T).mean(dim=0)
    torch.testing.assert_close(means["channel", 0], expected, atol=1e-5, rtol=1e-4)
    cut = apply(model, plan)
    plain = cut(batches[0]["input_ids"]).logits
    with choices.with_means(cut, means):
        assert not torch.allclose(cut(batches[0]["input_ids"]).logits, plain)
    torch.testing.assert_close(cut(batches[0]["input_ids"]).logits, plain)


def test_a_gate_computes_the_cut_model_and_its_gradient_is_the_gain(model, batches):
    plan = plan_of(model, tuple(range(12)), groups=(0,))
    ids = batches[0]["input_ids"]
    cut = apply(model, plan)
    with choices.gated(bind(model), plan) as gates:
        torch.testing.assert_close(model(ids).logits, cut(ids).logits, atol=1e-4, rtol=1e-4)
        loss = model(ids).logits.square().mean()
        loss.backward()
        gradient = float(gates["channel", 1].grad[20])
        step = 1e-3
        with torch.no_grad():
            gates["channel", 1][20] = step
            moved = model(ids).logits.square().mean()
    assert gradient == pytest.approx(float(moved - loss.detach()) / step, rel=0.05, abs=1e-4)


def test_plans_compose_in_dense_indices(model):
    first = plan_of(model, (3, 5, 8, 13), groups=(1,))
    cut = apply(model, first)
    second = plan_of(cut, (0, 3), groups=(0,))
    both = choices.composed(first, second)
    assert [layer.channels for layer in both.layers] == [(3, 13)] * 2
    assert [layer.groups for layer in both.layers] == [(1,)] * 2
    twice = apply(cut, second)
    ids = torch.arange(9)[None]
    with torch.no_grad():
        torch.testing.assert_close(apply(model, both)(ids).logits, twice(ids).logits)


def test_rounds_and_contexts_end_at_the_wanted_widths(model, batches):
    whole = choices.identity_of(bind(model))
    widths = cuts.widths_for(whole, 1.5)
    plan = choices.in_rounds("magnitude", model, batches, 1.5, seed=0)
    assert [len(layer.channels) for layer in plan.layers] == [widths[2]] * 2
    # magnitude does not look at the others: rounds change nothing
    scores = CRITERIA.get("magnitude")().score(model, bind(model), batches, seed=0)
    once = cuts.closed_plan(whole, scores, widths)
    assert [layer.channels for layer in plan.layers] == [layer.channels for layer in once.layers]
    scores = choices.in_contexts(model, batches, widths, seed=0)
    assert [values.shape for values in scores.channels] == [(24,)] * 2
    assert [values.shape for values in scores.groups] == [(2,)] * 2


def test_offsets_put_a_shifted_class_right():
    draw = np.random.default_rng(0)
    labels = torch.from_numpy(draw.integers(4, size=200))
    logits = 3.0 * torch.nn.functional.one_hot(labels, 4).float()
    shifted = logits + torch.tensor([10.0, 0.0, 0.0, 0.0])
    offset, temperature = readout.fitted(shifted, labels)
    assert (shifted.argmax(dim=1) == 0).all()
    assert ((shifted * temperature + offset).argmax(dim=1) == labels).all()


def test_choices_are_held_against_the_lots_of_their_seed(tmp_path):
    tables = importlib.import_module("scores_against_lot_tables")

    def line(seed: int, choice: str, accuracy: float, repair: str = "none") -> dict:
        figures = dict.fromkeys(("loss", "offset_accuracy", "offset_loss", "classes"), 1.0)
        record = {"attention": "gqa", "ffn": "swiglu", "seed": seed, "ratio": 8.0}
        branch = dict.fromkeys((key.split("/")[1] for key in tables.BRANCH if "/" in key), 0.5)
        return {
            **record,
            **figures,
            "choice": choice,
            "repair": repair,
            "accuracy": accuracy,
            "branch": branch,
            "contexts_agree": 0.9,
            "dense_agrees": dict.fromkeys(tables.CHOICES[:4], 0.4),
        }

    lines = [
        *(line(0, f"lot {number}", value) for number, value in enumerate((0.2, 0.4))),
        *(line(1, f"lot {number}", value) for number, value in enumerate((0.5, 0.7))),
        line(0, "taylor", 0.4),
        line(1, "taylor", 0.8),
    ]
    seeds = tables.Seeds(lines)
    assert seeds.of("accuracy", ("gqa", "swiglu"), 8.0, "lot") == pytest.approx({0: 0.3, 1: 0.6})
    assert seeds.less_lot("accuracy", ("gqa", "swiglu"), 8.0, "taylor") == pytest.approx([0.1, 0.2])
    tables.write_all([*lines, line(0, "dense", 0.9), line(1, "dense", 0.9)], tmp_path / "page")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| GQA + SwiGLU | 8x | 90.0 ± 0.0 | 45.0 ± 190.6 |" in text
    assert (tmp_path / "page.png").stat().st_size > 1000
