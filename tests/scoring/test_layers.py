"""Loss of removing layers equals the loss of the model cut without them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secateur.core.errors import PlanError
from secateur.core.progress import quiet
from secateur.models.binding import bind
from secateur.models.skipping import skipped
from secateur.scoring.layers import rank_layers
from secateur.scoring.objective import references_of, sample_losses
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply


@pytest.fixture(autouse=True)
def silent():
    with quiet():
        yield


def loss_of_cut(model, batches, removed, references=None):
    bound = bind(model)
    cut = apply(model, PruningPlan.identity(bound.spec.family, bound.shape).without_layers(removed))
    return float(sample_losses(cut, batches, references).mean())


def test_removal_loss_equals_that_of_the_cut_model(model, bound, make_batches):
    batches = make_batches(6, 3)
    found = rank_layers(model, bound, batches, n_removed=0).single_increases
    whole = float(sample_losses(model, batches).mean())
    expected = [loss_of_cut(model, batches, (position,)) - whole for position in range(3)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_layer_that_adds_nothing_costs_nothing(model, bound, make_batches):
    layer = bound.layers[1]
    with torch.no_grad():
        for module in (layer.output("group"), layer.output("channel")):
            for parameter in module.parameters():
                parameter.zero_()
    batches = make_batches(6, 3)
    assert rank_layers(model, bound, batches, n_removed=0).single_increases[1] == 0.0


def test_ranking_measures_again_after_each_removal(model, bound, make_batches):
    batches = make_batches(6, 3)
    references = references_of(model, batches)
    ranking = rank_layers(model, bound, batches, references, n_removed=2)
    singles = [loss_of_cut(model, batches, (p,), references) for p in range(3)]
    assert ranking.order[0] == int(np.argmin(singles))
    first = ranking.order[0]
    pairs = {p: loss_of_cut(model, batches, (first, p), references) for p in range(3) if p != first}
    assert ranking.order[1] == min(pairs, key=pairs.get)
    assert ranking.losses == pytest.approx(
        [loss_of_cut(model, batches, (), references), min(singles), min(pairs.values())], abs=1e-6
    )


def test_a_pass_that_begins_at_a_layer_is_the_whole_pass(model, bound, make_batches):
    batches = make_batches(6, 3)
    references = references_of(model, batches)
    ranking = rank_layers(model, bound, batches, references, n_removed=2)
    for gone in (1, 2):
        with skipped(bound, ranking.order[:gone]):
            whole = float(sample_losses(model, batches, references).mean())
        assert ranking.losses[gone] == whole


def test_ranking_nothing_still_measures_each_layer(model, bound, make_batches):
    ranking = rank_layers(model, bound, make_batches(4, 2), n_removed=0)
    assert ranking.order == ()
    assert len(ranking.single_increases) == 3


def test_the_last_layer_cannot_be_removed(model, bound, make_batches):
    with pytest.raises(PlanError, match="0 to 2"):
        rank_layers(model, bound, make_batches(2, 2), n_removed=3)


def test_kl_to_itself_is_zero_and_to_another_is_positive(model, make_batches):
    batches = make_batches(4, 2)
    own = references_of(model, batches)
    plain = sample_losses(model, batches)
    np.testing.assert_allclose(sample_losses(model, batches, own), plain, atol=1e-6)
    other = [logits.flip(-1) for logits in own]
    assert (sample_losses(model, batches, other) > plain).all()
