"""The trial cut: what a real cut to the same units costs, and how matrices choose apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secateur.models.binding import bind
from secateur.scoring.allocation import rank_cut
from secateur.scoring.matrices import matrix_scores
from secateur.scoring.registered import CRITERIA
from secateur.sia.measured.measurement import Estimate
from secateur.sia.prediction import changed
from secateur.sia.trial import apart_plan, trial_cut
from secateur.structure.budget import Budget
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.surgery.apart import ApartPlan, cut_apart
from secateur.surgery.apply import apply
from zoo import ZOO

RATIO = 1.15


def specimen(name: str, **changes):
    return next(entry for entry in ZOO if entry.name == name).build(**changes)


def blocks() -> tuple[dict[str, torch.Tensor], ...]:
    draw = torch.Generator().manual_seed(1)
    return tuple({"input_ids": torch.randint(4, 61, (4, 12), generator=draw)} for _ in range(2))


def loss(model, batches) -> float:
    with torch.no_grad():
        losses = [model(**batch, labels=batch["input_ids"]).loss for batch in batches]
    return float(torch.stack(losses).double().mean())


def plan_of(model, batches, criterion="taylor") -> PruningPlan:
    bound = bind(model)
    identity = PruningPlan.identity(bound.spec.family, bound.shape)
    scores = CRITERIA.get(criterion)().score(model, bound, batches, seed=0)
    return rank_cut(scores, identity, Budget(ratio=RATIO).target_parameters(parameters(identity)))


@pytest.mark.parametrize("name", ["llama", "gpt2", "olmo2"])
def test_its_cost_is_that_of_the_cut_model(name):
    model, batches = specimen(name), blocks()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = trial_cut(model, batches, ratio=RATIO, criterion="taylor", seed=0).closed
    small = apply(model, plan_of(model, batches))
    increase = loss(small, batches) - loss(model, batches)
    assert found.loss.value == pytest.approx(increase, abs=1e-5)
    assert found.score_change.value == pytest.approx(np.exp(increase) - 1, abs=1e-5)
    assert found.loss.low <= found.loss.value <= found.loss.high
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_the_cost_of_choosing_apart_is_that_of_the_model_cut_apart():
    model, batches = specimen("llama"), blocks()
    found = trial_cut(model, batches, ratio=RATIO, criterion="magnitude", seed=0).apart
    own = matrix_scores(model, bind(model), batches, criterion="magnitude")
    broken = cut_apart(model, apart_plan(plan_of(model, batches, "magnitude"), own, gated=True))
    assert found.loss.value == pytest.approx(loss(broken, batches) - loss(model, batches), abs=1e-5)


def test_nothing_can_be_chosen_apart_where_nothing_competes():
    assert trial_cut(specimen("gpt2"), blocks(), ratio=RATIO, criterion="taylor", seed=0).apart is None
    assert trial_cut(specimen("llama"), blocks(), ratio=RATIO, criterion="random", seed=0).apart is None


def test_a_ratio_that_heads_and_channels_cannot_reach_has_no_trial():
    assert trial_cut(specimen("llama"), blocks(), ratio=100.0, criterion="magnitude", seed=0) is None


def test_matrices_of_one_mind_choose_the_closed_cut():
    model = specimen("llama")
    shape = bind(model).shape
    plan = PruningPlan.identity("llama", shape).with_groups(1, [1]).with_channels(0, [2, 3, 7])
    channels = np.isin(np.arange(12), [2, 3, 7]).astype(float)
    own = tuple(
        {"q": np.repeat([0.0, 1.0], 2), "k": np.array([0.0, 1.0])}
        | dict.fromkeys(("gate", "up", "down"), channels)
        for _ in range(shape.n_layers)
    )
    assert apart_plan(plan, own, gated=True) == ApartPlan.of_closed(plan, gated=True)


def test_heads_with_keys_of_their_own_stay_together():
    model, batches = specimen("llama", num_key_value_heads=4), blocks()
    plan = plan_of(model, batches)
    own = matrix_scores(model, bind(model), batches, criterion="magnitude")
    for layer in apart_plan(plan, own, gated=True).layers:
        assert layer.kept["q"] == layer.kept["k"] == layer.kept["v"] == layer.kept["o"]


def test_an_accuracy_that_no_sample_changed_has_an_interval_all_the_same():
    nothing = Estimate(value=0.0, low=0.0, high=0.0)
    found = changed(nothing, "accuracy", 0.9, 30)
    assert (found.low, found.high) == pytest.approx((-0.1, 0.1))
    assert changed(nothing, "cosine", 0.9, 30) == nothing
