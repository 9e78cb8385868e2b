from __future__ import annotations

import numpy as np
import pytest

from secateur.models.binding import bind
from secateur.scoring.registered import CRITERIA
from secateur.sia.measured.bootstrap import resampling_weights
from secateur.sia.measured.criterion_scores import CHUNKS, ScoreTables
from secateur.sia.measured.evaluation import Evaluator
from secateur.structure.plan import PruningPlan
from secateur.structure.units import Unit
from secateur.surgery.apply import apply
from zoo import ZOO

NAMED = {specimen.name: specimen for specimen in ZOO}
SAMPLE_CRITERIA = ("taylor", "activation")


@pytest.fixture
def tables(make_token_batches):
    evaluator = Evaluator(NAMED["llama"].build(), make_token_batches(n_batches=3, rows=2))
    return evaluator, ScoreTables(evaluator, seed=0)


@pytest.mark.parametrize("criterion", [*SAMPLE_CRITERIA, "magnitude", "surgeon"])
@pytest.mark.parametrize("component", ["group", "head", "channel"])
def test_the_whole_is_what_the_criterion_says(tables, criterion, component):
    evaluator, scores = tables
    expected = CRITERIA.get(criterion)().score(evaluator.model, evaluator.bound, evaluator.batches, seed=0)
    assert scores.whole(criterion, component) == pytest.approx(
        np.concatenate(expected.of(component)), rel=1e-5
    )


@pytest.mark.parametrize("criterion", SAMPLE_CRITERIA)
def test_units_are_scored_as_in_the_model_that_is_cut(tables, criterion):
    evaluator, scores = tables
    model, bound = evaluator.model, evaluator.bound
    plan = PruningPlan.identity("llama", bound.shape).with_channels(0, range(2, 12)).with_groups(1, [1])
    gone = [Unit(kind="channel", layer=0, index=index) for index in (0, 1)]
    found = scores.scores(criterion, "channel", [*gone, Unit(kind="group", layer=1, index=0)])
    cut = apply(model, plan)
    expected = CRITERIA.get(criterion)().score(cut, bind(cut), evaluator.batches, seed=0).of("channel")
    assert found.mean(axis=0)[2:] == pytest.approx(np.concatenate(expected), rel=1e-4)
    assert found.mean(axis=0)[:2] == pytest.approx([0.0, 0.0])


def test_parts_are_single_samples_where_there_are_few_and_take_their_weights(tables):
    _, scores = tables
    assert len(scores.chunks) == 6 < CHUNKS
    weights = resampling_weights(6, seed=0, name="samples")
    assert scores.chunk_weights(weights) == pytest.approx(weights)


def test_parts_of_several_samples_take_the_weights_of_all_of_them(make_token_batches):
    evaluator = Evaluator(NAMED["llama"].build(), make_token_batches(n_batches=2, rows=24))
    scores = ScoreTables(evaluator, seed=0)
    assert len(scores.chunks) == CHUNKS
    weights = resampling_weights(48, seed=0, name="samples")
    found = scores.chunk_weights(weights)
    assert found.shape[0] == CHUNKS
    assert found.sum(axis=0) == pytest.approx(np.ones(weights.shape[1]))
    assert found[0] == pytest.approx(weights[:3].sum(axis=0))


def test_a_layer_is_scored_by_the_sum_of_its_units_where_numbers_compare(tables):
    _, scores = tables
    groups, channels = (
        scores.whole("taylor", component).reshape(3, -1) for component in ("group", "channel")
    )
    assert scores.whole("taylor", "layer") == pytest.approx(groups.sum(axis=1) + channels.sum(axis=1))
    assert scores.scores("magnitude", "layer") is None
