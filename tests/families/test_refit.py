"""The closed-form re-fit, on every family that is run on tokens: what can be repaired exactly is."""

from __future__ import annotations

import pytest
import torch

from secateur.blockwise.refit import refit
from secateur.models.binding import bind
from secateur.structure.closure import role_features
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from zoo import VOCABULARY, ZOO

SINGLE = [specimen for specimen in ZOO if specimen.inputs == "tokens"]


def batches(repeats=1):
    draw = torch.Generator().manual_seed(5)
    drawn = (torch.randint(4, VOCABULARY, (8, 20), generator=draw) for _ in range(3))
    return tuple({"input_ids": ids.repeat_interleave(repeats, dim=0)} for ids in drawn)


@torch.no_grad()
def with_equal_channels(model, layer, one, other):
    """Let two channels compute the same."""
    for projection in layer.projections_of("channel"):
        places = role_features(projection.spec, layer.widths)
        for role, features in places.items():
            if role == "down":
                continue
            axis = projection.spec.unit_axis
            weight = projection.module.weight
            weight.select(axis, int(features[other])).copy_(weight.select(axis, int(features[one])))
            if projection.module.bias is not None:
                projection.module.bias[int(features[other])] = projection.module.bias[int(features[one])]


@pytest.mark.parametrize("target", ["projection", "stream"])
@pytest.mark.parametrize("specimen", SINGLE, ids=lambda specimen: specimen.name)
def test_one_of_two_equal_channels_is_repaired_exactly(specimen, target):
    model = specimen.build()
    bound = bind(model)
    with_equal_channels(model, bound.layers[1], 3, 7)
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    plan = plan.with_channels(1, [c for c in range(bound.shape.channels_per_layer[1]) if c != 7])
    cut = apply(model, plan)
    batch = batches()[0]
    with torch.no_grad():
        expected = model(**batch).logits
        broken = (cut(**batch).logits - expected).abs().max()
    report = refit(cut, plan, model, batches(), ridges=(1e-9,), target=target)
    with torch.no_grad():
        repaired = (cut(**batch).logits - expected).abs().max()
    assert repaired < 1e-2 * broken
    assert report.windows == 24


@pytest.mark.parametrize("specimen", SINGLE, ids=lambda specimen: specimen.name)
def test_a_block_that_repairs_the_stream_ends_nearer_to_the_dense_one(specimen):
    """The first block's FFN also makes good what its attention lost: least squares, so never worse."""
    model = specimen.build()
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    plan = plan.with_channels(0, range(0, bound.shape.channels_per_layer[0], 2))
    if (groups := bound.shape.kv_groups_per_layer[0]) > 1:
        plan = plan.with_groups(0, range(1, groups))
    gaps = {}
    # what is held out is then what is fitted, so that every solution is taken
    same = batches(repeats=4)
    for target in ("projection", "stream"):
        cut = apply(model, plan)
        refit(cut, plan, model, same, target=target, ridges=(1e-9,))
        gaps[target] = 0.0
        for batch in batches():
            with torch.no_grad():
                states = [
                    m.base_model(**batch, output_hidden_states=True).hidden_states[1] for m in (cut, model)
                ]
            gaps[target] += float((states[0] - states[1]).double().square().sum())
    if bound.layers[0].stack.residual == "post":
        assert gaps["stream"] == pytest.approx(gaps["projection"])
    else:
        assert gaps["stream"] < (1.0 + 1e-6) * gaps["projection"]
        assert groups == 1 or gaps["stream"] != gaps["projection"]
