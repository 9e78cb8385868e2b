from __future__ import annotations

import numpy as np
import pytest
import torch

from secateur.core.errors import ConfigError, UnsupportedArchitecture
from secateur.models import resuming
from secateur.models.binding import bind
from secateur.models.calls import run
from secateur.models.diagnoser import Diagnoser
from secateur.models.presets import build_preset
from secateur.scoring.objective import sample_losses
from secateur.scoring.registered import CRITERIA
from secateur.sia.measured.evaluation import Evaluator
from secateur.structure.plan import PruningPlan
from secateur.structure.units import Unit, units
from secateur.surgery.apply import apply
from secateur.surgery.masks import mask
from zoo import ZOO

NAMED = {specimen.name: specimen for specimen in ZOO}
FAMILIES = (
    "gpt2", "llama", "llama_biased", "qwen3", "gemma2", "gpt_neox", "falcon_mha_alibi", "bloom", "phi3",
    "olmo2", "olmo3", "opt_post", "bert", "bert_decoder", "distilbert",
)  # fmt: skip


def removal(model) -> tuple[PruningPlan, tuple[Unit, ...]]:
    """A layer, a group or head, and channels; none in the first layer, so that the pass begins behind it."""
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape).without_layers([1])
    gone = [Unit(kind="layer", layer=1)]
    layer = bound.layers[2]
    if layer.n_groups > 1:
        plan = plan.with_groups(2, range(1, layer.n_groups))
        gone.append(Unit(kind="group", layer=2, index=0))
    kept = [index for index in range(layer.n_channels) if index not in (1, 4)]
    gone += [Unit(kind="channel", layer=2, index=index) for index in (1, 4)]
    return plan.with_channels(2, kept), tuple(gone)


@pytest.mark.parametrize("name", FAMILIES)
def test_gated_units_cost_what_the_cut_model_costs(name, make_token_batches):
    model = NAMED[name].build()
    evaluator = Evaluator(model, make_token_batches())
    plan, gone = removal(model)
    by_gates = evaluator.figures(gone)
    assert by_gates == pytest.approx(evaluator.figures_of(apply(model, plan)), abs=1e-5, nan_ok=True)
    with mask(model, plan):
        assert by_gates == pytest.approx(evaluator.figures_of(model), abs=1e-5, nan_ok=True)
    assert np.abs(by_gates - evaluator.dense)[1].max() > 1e-3


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_heads_cost_what_the_cut_model_costs(name, make_token_batches):
    model = NAMED[name].build()
    evaluator = Evaluator(model, make_token_batches())
    shape, family = evaluator.bound.shape, evaluator.bound.spec.family
    sharing = shape.heads_per_group(1)
    plan = PruningPlan.identity(family, shape)
    if sharing > 1:
        plan = plan.with_heads(1, [range(1, sharing)] * shape.kv_groups_per_layer[1])
        gone = [
            Unit(kind="head", layer=1, index=index) for index in range(0, shape.heads_per_layer[1], sharing)
        ]
    else:
        plan, gone = plan.with_groups(1, [0, 2, 3]), [Unit(kind="head", layer=1, index=1)]
    expected = evaluator.figures_of(apply(model, plan))
    assert evaluator.figures(gone) == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="module")
def diagnoser() -> Diagnoser:
    torch.manual_seed(0)
    return build_preset("nano-gqa", classes=("healthy", "inner", "outer"), sampling_rate_hz=12_000.0).eval()


@pytest.fixture(scope="module")
def windows(diagnoser):
    draw = torch.Generator().manual_seed(0)
    return [
        {
            "waveform": torch.randn(4, diagnoser.config.window_length, generator=draw),
            "shaft_rate_hz": torch.full((4,), 29.0),
            "fault_orders": torch.tensor([[3.6, 5.4, 4.7, 0.4]] * 4),
            "label": torch.tensor([0, 1, 2, -1]),
        }
        for _ in range(2)
    ]


def test_windows_are_read_once_and_cost_what_the_cut_diagnoser_costs(diagnoser, windows):
    evaluator = Evaluator(diagnoser, windows)
    bound = evaluator.bound
    plan = PruningPlan.identity(bound.spec.family, bound.shape).with_channels(
        1, range(3, bound.layers[1].n_channels)
    )
    gone = [Unit(kind="channel", layer=1, index=index) for index in range(3)]
    expected = evaluator.figures_of(apply(diagnoser, plan))

    ran = []
    part = next(iter(diagnoser.front_end.children()))
    hook = part.register_forward_hook(lambda *_: ran.append(1))
    assert evaluator.figures(gone) == pytest.approx(expected, abs=1e-5)
    assert not ran
    run(diagnoser, windows[0])
    assert ran
    hook.remove()


def test_the_loss_is_that_of_the_scoring_room(diagnoser, windows):
    evaluator = Evaluator(diagnoser, windows)
    assert evaluator.dense[0] == pytest.approx(sample_losses(diagnoser, windows).numpy())
    assert (evaluator.dense[1] == 0).all()
    gone = [Unit(kind="layer", layer=0)]
    assert evaluator.cost(gone).shape == (2, 8)
    assert (evaluator.cost(gone)[1] > 0).all()


def test_removing_nothing_costs_nothing(make_token_batches):
    evaluator = Evaluator(NAMED["llama"].build(), make_token_batches())
    assert np.abs(evaluator.cost([])).max() < 1e-6


def test_a_block_counts_its_tokens_and_not_its_padding(make_token_batches):
    model = NAMED["llama"].build()
    (batch,) = make_token_batches(n_batches=1)
    padded = {
        "input_ids": torch.nn.functional.pad(batch["input_ids"], (0, 3)),
        "attention_mask": torch.nn.functional.pad(torch.ones_like(batch["input_ids"]), (0, 3)),
    }
    whole, longer = Evaluator(model, [batch]), Evaluator(model, [padded])
    assert longer.dense[0] == pytest.approx(whole.dense[0], abs=1e-5)
    gone = [Unit(kind="channel", layer=0, index=2)]
    assert longer.cost(gone) == pytest.approx(whole.cost(gone), abs=1e-5)


def test_blocks_in_front_of_a_removal_do_not_run(make_token_batches):
    model = NAMED["llama"].build()
    evaluator, ran = Evaluator(model, make_token_batches(n_batches=1)), []
    for layer, block in enumerate(model.model.layers):
        block.mlp.register_forward_hook(lambda *_, layer=layer: ran.append(layer))
    evaluator.cost([Unit(kind="channel", layer=2, index=0)])
    assert ran == [2]
    evaluator.cost([Unit(kind="layer", layer=1), Unit(kind="channel", layer=2, index=0)])
    assert ran == [2, 2]


def test_streams_of_some_layers_are_enough(monkeypatch, make_token_batches):
    model, gone = NAMED["llama"].build(), [Unit(kind="group", layer=2, index=1)]
    expected = Evaluator(model, make_token_batches()).figures(gone)
    monkeypatch.setattr(resuming, "KEPT_BYTES", 3000)
    evaluator = Evaluator(model, make_token_batches())
    assert [sorted(kept) for kept in evaluator._streams._kept] != [[0, 1, 2]] * 2
    assert evaluator.figures(gone) == pytest.approx(expected, abs=1e-6)


def test_the_model_is_left_as_it_was(make_token_batches):
    model = NAMED["olmo2"].build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = make_token_batches()
    answer = model(**batches[0]).logits
    evaluator = Evaluator(model, batches)
    evaluator.figures(removal(model)[1])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(model(**batches[0]).logits, answer)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_permuting_channels_permutes_costs_and_scores(make_token_batches):
    model, batches = NAMED["llama"].build(), make_token_batches()
    evaluator = Evaluator(model, batches)
    channels = [unit for unit in units(evaluator.bound.shape, "channel") if unit.layer == 1]

    def figures() -> tuple[np.ndarray, dict[str, np.ndarray]]:
        costs = np.stack([evaluator.cost([unit]) for unit in channels])
        scores = {
            name: CRITERIA.get(name)().score(model, evaluator.bound, batches, seed=0).channels[1]
            for name in ("taylor", "magnitude", "activation")
        }
        return costs, scores

    costs, scores = figures()
    order = torch.randperm(len(channels), generator=torch.Generator().manual_seed(1))
    feed_forward = model.model.layers[1].mlp
    with torch.no_grad():
        for matrix in (feed_forward.gate_proj, feed_forward.up_proj):
            matrix.weight.copy_(matrix.weight[order])
        feed_forward.down_proj.weight.copy_(feed_forward.down_proj.weight[:, order])
    permuted_costs, permuted_scores = figures()
    assert permuted_costs == pytest.approx(costs[order], abs=1e-6)
    for name, values in scores.items():
        assert permuted_scores[name] == pytest.approx(values[order], rel=1e-4), name


def test_single_heads_under_a_norm_over_all_queries_are_refused(make_token_batches):
    evaluator = Evaluator(NAMED["olmo2"].build(), make_token_batches())
    with pytest.raises(UnsupportedArchitecture, match="norm runs over all queries"):
        evaluator.cost([Unit(kind="head", layer=0, index=0)])


def test_two_stacks_are_refused_in_words(make_token_batches):
    with pytest.raises(UnsupportedArchitecture, match="2 stacks"):
        Evaluator(NAMED["bart"].build(), make_token_batches())


def test_batches_of_another_kind_are_refused_in_words():
    with pytest.raises(ConfigError, match="pixel_values"):
        Evaluator(NAMED["vit"].build(), [NAMED["vit"].batch()])
    with pytest.raises(ConfigError, match="none was given"):
        Evaluator(NAMED["llama"].build(), [])
