"""Known answers: D is a set function whose gap and interaction can be worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from secateur.sia.measured.additivity import Additivity, judged_sizes, subset_sizes
from secateur.sia.measured.bootstrap import resampling_weights
from secateur.sia.measured.interactions import Interactions
from secateur.sia.measured.pool import UnitPool, shares
from secateur.sia.measured.quantities import Calibration
from secateur.structure.units import units

SAMPLES = 12


def worth(unit) -> float:
    return 1.0 + unit.layer + 0.1 * unit.index


def additive(chosen) -> np.ndarray:
    return np.array([sum(map(worth, chosen)) * (1 + 0.1 * sample) for sample in range(SAMPLES)])


def quadratic(chosen) -> np.ndarray:
    """D(S) = (sum of worths)^2, so I(i, j) = 2 worth(i) worth(j)."""
    return np.full(SAMPLES, sum(map(worth, chosen)) ** 2)


def in_layers_only(chosen) -> np.ndarray:
    """Layers add up; inside a layer the second unit costs nothing more: I = -1 within, 0 across."""
    return np.full(SAMPLES, float(len({unit.layer for unit in chosen})))


@pytest.fixture
def measured(set_function):
    def make(cost, component="group", measured_units=None):
        evaluator = set_function(cost, SAMPLES)
        calibration = Calibration(
            evaluator=evaluator,
            scores=SimpleNamespace(),
            weights=resampling_weights(SAMPLES, seed=0, name="samples"),
            seed=0,
        )
        pool = UnitPool(evaluator, component, seed=0)
        while not pool.is_exhausted and (measured_units is None or len(pool.measured) < measured_units):
            pool.measure()
        return calibration, pool

    return make


def run(quantity, steps: int) -> None:
    for _ in range(steps):
        quantity.step()


def test_an_additive_function_has_no_gap_at_any_size(measured):
    quantity = Additivity(*measured(additive))
    run(quantity, 20)
    for curve in quantity.curves():
        assert len(curve.points) > 3
        for point in curve.points:
            assert (point.gap.value, point.gap.high) == pytest.approx((0.0, 0.0), abs=1e-12)
            assert point.joint.value == pytest.approx(point.summed.value)


def test_the_gap_of_a_quadratic_function_is_the_one_worked_out(measured):
    calibration, pool = measured(lambda chosen: np.full(SAMPLES, float(len(chosen)) ** 2))
    quantity = Additivity(calibration, pool)
    run(quantity, 20)
    for point in next(quantity.curves()).points:
        # D(S) = n^2 and the sum is n, so the gap is 1 - 1/n
        assert point.gap.value == pytest.approx(1 - 1 / point.size)
        assert point.n_subsets > 1


def test_members_that_were_not_measured_are_estimated_without_bias(measured):
    calibration, pool = measured(additive, component="channel", measured_units=9)
    quantity = Additivity(calibration, pool)
    run(quantity, 40)
    largest = next(quantity.curves()).points[-1]
    assert largest.size > 9 - 1
    assert largest.summed.value == pytest.approx(largest.joint.value, rel=0.1)
    assert largest.summed.low <= largest.joint.value <= largest.summed.high


def test_pairs_of_a_quadratic_function_interact_as_worked_out(measured):
    calibration, pool = measured(quadratic)
    quantity = Interactions(calibration, pool)
    while not quantity.is_exhausted:
        quantity.step()
    everything = units(pool.evaluator.bound.shape, "group")
    pairs = [
        (one, other)
        for number, one in enumerate(everything)
        for other in everything[number + 1 :]
        if one.layer == other.layer
    ]
    within = next(entry for entry in quantity.interactions() if entry.place == "within")
    assert within.n_pairs == len(pairs) == 18
    assert within.mean.value == pytest.approx(
        np.mean([2 * worth(one) * worth(other) for one, other in pairs])
    )
    joint = [(worth(one) + worth(other)) ** 2 for one, other in pairs]
    expected = sum(2 * worth(one) * worth(other) for one, other in pairs) / sum(joint)
    assert within.normalised.value == pytest.approx(expected)
    assert within.signed.value == pytest.approx(expected)


def test_interaction_inside_layers_shows_on_the_diagonal_of_the_map_only(measured):
    quantity = Interactions(*measured(in_layers_only))
    while not quantity.is_exhausted:
        quantity.step()
    found = {entry.place: entry for entry in quantity.interactions() if entry.objective == "loss"}
    assert found["within"].mean.value == pytest.approx(-1.0)
    assert found["within"].signed.value == pytest.approx(-0.5)
    assert found["across"].normalised.value == found["across"].normalised.high == 0.0
    picture = next(quantity.maps())
    assert np.array(picture.normalised) == pytest.approx(0.5 * np.eye(3))
    assert np.array(picture.signed) == pytest.approx(-0.5 * np.eye(3))
    assert np.array(picture.n_pairs).tolist() == [[6, 16, 16], [16, 6, 16], [16, 16, 6]]


def test_cells_of_the_map_take_turns(measured):
    quantity = Interactions(*measured(additive))
    run(quantity, 6)
    counts = np.array(next(quantity.maps()).n_pairs)
    assert counts[np.triu_indices(3)].max() - counts[np.triu_indices(3)].min() <= 1


def test_layers_interact_across_only(measured):
    quantity = Interactions(*measured(quadratic, component="layer"))
    while not quantity.is_exhausted:
        quantity.step()
    assert {entry.place for entry in quantity.interactions()} == {"across"}


def test_a_pool_takes_units_from_every_layer_in_turn(measured):
    _, pool = measured(additive, component="channel", measured_units=6)
    assert np.bincount(pool.layers[pool.measured]).tolist() == [2, 2, 2]


def test_subsets_are_drawn_among_measured_units_only_where_these_are_many_times_as_many(measured):
    _, pool = measured(additive, component="channel", measured_units=16)
    drawn = [set(pool.draw_subset(2, np.random.default_rng(number))) for number in range(40)]
    assert set.union(*drawn) <= set(pool.measured)
    assert len(set(pool.draw_subset(9, np.random.default_rng(0)))) == 9


def test_an_early_subset_is_a_lot_of_all_units(measured):
    """Among the 6 that were measured so far there is one set of six: its cost would stand for all sets."""
    _, pool = measured(additive, component="channel", measured_units=6)
    drawn = [pool.draw_subset(6, np.random.default_rng(number)) for number in range(300)]
    costs = [float(additive([pool.units[position] for position in subset]).mean()) for subset in drawn]
    every = float(additive(pool.units).mean()) * 6 / 18
    assert np.mean(costs) == pytest.approx(every, rel=0.01)
    assert np.std(costs) > 0


def test_sizes_that_a_verdict_rests_on_have_their_subsets_first(measured):
    calibration, pool = measured(additive, component="channel")
    additivity = Additivity(calibration, pool)
    assert additivity.sizes == (2, 3, 4, 5, 7, 9)
    run(additivity, 2)
    assert [point.n_subsets for point in next(additivity.curves()).points] == [1] * 6
    # a quarter of 18 is 4.5: a ratio may ask for 4 and all above; 3 subsets a step
    run(additivity, 9)
    counts = [point.n_subsets for point in next(additivity.curves()).points]
    assert counts[:2] == [1, 1] and sum(counts) == 33
    run(additivity, 1)
    assert min(point.n_subsets for point in next(additivity.curves()).points[2:]) == 8
    run(additivity, 4)
    assert min(point.n_subsets for point in next(additivity.curves()).points) >= 4


@pytest.mark.parametrize(
    ("sizes", "n_units", "judged"),
    [((2, 3, 4), 8, (4, 2, 3)), ((2, 5, 11, 26, 61, 144), 288, (144, 61)), ((2,), 4, (2,)), ((), 1, ())],
)
def test_judged_are_the_last_size_up_to_a_quarter_and_all_above(sizes, n_units, judged):
    assert judged_sizes(sizes, n_units, None) == judged


@pytest.mark.parametrize(
    ("share", "judged"), [(0.1, (61,)), (0.3, (61,)), (0.5, (144, 61)), (0.93, (144, 61))]
)
def test_judged_for_a_share_are_its_own_size_and_a_quarter(share, judged):
    assert judged_sizes((2, 5, 11, 26, 61, 144), 288, share) == judged


def test_what_the_verdict_of_a_share_rests_on_is_drawn_first(measured):
    calibration, pool = measured(additive, component="channel")
    curve = Additivity(calibration, pool, share=0.5)
    own, quarter = judged_sizes(curve.sizes, len(pool.units), 0.5)

    def counts() -> dict[int, int]:
        return {point.size: point.n_subsets for point in next(curve.curves()).points if point.n_subsets}

    curve.step()
    assert counts() == {own: 8}
    curve.step()
    assert counts() == {own: 8, quarter: 8}
    run(curve, 3)
    assert set(counts()) == set(curve.sizes)
    assert counts()[own] == counts()[quarter] == 8


def test_subsets_take_as_many_units_of_every_layer(measured):
    """As a cut by score does, which is held against them; uniform inside each layer."""
    _, pool = measured(additive, component="channel", measured_units=18)
    drawn = [pool.draw_subset(8, np.random.default_rng(number)) for number in range(200)]
    counts = np.array([np.bincount(pool.layers[list(subset)], minlength=3) for subset in drawn])
    assert set(map(tuple, np.sort(counts, axis=1).tolist())) == {(2, 3, 3)}
    assert (np.abs(counts.mean(axis=0) - 8 / 3) < 0.1).all()
    often = np.bincount(np.concatenate(drawn), minlength=18) / 200
    assert (np.abs(often - 8 / 18) < 0.12).all()


def test_shares_stand_in_for_the_units_that_were_not_measured():
    layers = np.array([0, 0, 0, 1, 1, 2])
    exact, estimated = shares([(0, 1, 3), (4, 5)], [0, 3], layers)
    assert exact.tolist() == [[1, 1], [0, 0]]
    # unit 1 as the mean of layer 0, unit 4 of layer 1, unit 5 of all: its layer has no measured unit
    assert estimated.tolist() == [[1, 0], [0.5, 1.5]]


@pytest.mark.parametrize(("n_units", "removable"), [(2, 1), (4, 3), (12, 11), (10_000, 9_999)])
def test_sizes_grow_from_pairs_to_half_of_all(n_units, removable):
    sizes = subset_sizes(n_units, removable)
    assert list(sizes) == sorted(set(sizes))
    if removable > 1:
        assert sizes[0] == 2
        assert sizes[-1] == max(2, n_units // 2)
