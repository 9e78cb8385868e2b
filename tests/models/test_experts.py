"""Experts side by side compute what transformers computes, and lead back to its tensors."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.experts import stock_tensors
from secateur.surgery.apply import apply
from zoo import ZOO

MIXTURES = {
    specimen.name: specimen for specimen in ZOO if specimen.family in ("mixtral", "olmoe", "qwen3_moe")
}
WIDTHS = {"mixtral": 16, "olmoe": 12, "qwen3_moe": 12}


@pytest.fixture(params=MIXTURES)
def specimen(request):
    return MIXTURES[request.param]


def test_laid_side_by_side_a_model_computes_what_it_did(specimen):
    stock = specimen.build()
    laid = deepcopy(stock)
    assert bind(laid).shape.channels_per_expert == ((WIDTHS[specimen.name],) * 4,) * 3
    with torch.no_grad():
        found, expected = (model(**specimen.batch()).logits for model in (laid, stock))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_tensors_of_transformers_come_back_bit_by_bit(specimen):
    stock = specimen.build()
    laid = deepcopy(stock)
    bind(laid)
    found = stock_tensors(laid)
    assert list(map(sorted, (found, stock.state_dict()))) == [sorted(found)] * 2
    assert all(torch.equal(found[name], tensor) for name, tensor in stock.state_dict().items())


def test_channels_stay_with_their_expert():
    model = MIXTURES["mixtral"].build()
    plan = bind(model).whole_plan.with_channels(1, [0, 17, 18, 63])
    cut = bind(apply(model, plan))
    assert cut.shape.channels_per_expert == ((16,) * 4, (1, 2, 0, 1), (16,) * 4)
    assert cut.layers[1].experts.expert.tolist() == [0, 1, 1, 3]
    assert stock_tensors(cut.model) is None


@pytest.mark.parametrize(("kept", "form"), [(8, "plain"), (6, "own")])
def test_a_width_that_transformers_cannot_run_is_no_plain_folder(kept, form, tmp_path):
    model = MIXTURES["mixtral"].build()
    bound = bind(model)
    plan = bound.whole_plan
    for layer in range(3):
        plan = plan.with_channels(
            layer, [c for own in bound.shape.channels_of_experts(layer) for c in own[:kept]]
        )
    checkpoint.save(apply(model, plan), tmp_path / "cut", plan=plan)
    assert checkpoint.describe(tmp_path / "cut").form == form
