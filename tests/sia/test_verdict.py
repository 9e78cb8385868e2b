"""The verdict on figures made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from scipy import stats

from made_measured import apart, estimate, fidelity, gap, interaction, made, removal, stability
from secateur.core.errors import ConfigError
from secateur.sia.figures import of_few
from secateur.sia.measured.bootstrap import TAIL
from secateur.sia.prediction import predict, removed_share, together
from secateur.sia.structural import check_structure
from secateur.sia.thresholds import read_thresholds, thresholds
from secateur.sia.verdict import judge, recommended_criterion
from secateur.structure.counting import block_parameters, shape_parameters
from secateur.structure.shape import ModelShape
from secateur.structure.spec import load_spec


def shape(groups: int = 2, layers: int = 8) -> ModelShape:
    return ModelShape(
        n_layers=layers,
        hidden=8,
        head_dim=2,
        heads_per_layer=(4,) * layers,
        kv_groups_per_layer=(groups,) * layers,
        channels_per_layer=(16,) * layers,
        other_parameters=40,
    )


def verdict(measured=None, *, family="llama", groups=2, ratio=2.0, layers=8):
    model = shape(groups, layers)
    return judge(
        check_structure(load_spec(family), model),
        measured,
        shape=model,
        ratio=ratio,
        default_criterion="taylor",
    )


def without_curves(measured):
    """The same, the costs of cuts by score not measured: so nothing is known of their cost over a lot."""
    return replace(measured, removal_loss=())


def by_name(found):
    return {entry.granularity: entry for entry in found.granularities}


def test_structure_alone_tells_closed_from_open_definitions():
    plain = by_name(verdict(family="gpt2", groups=4))
    assert {name: entry.verdict for name, entry in plain.items()} == dict.fromkeys(plain, "reliable")
    shared = by_name(verdict(family="llama", groups=2))
    assert {name: entry.verdict for name, entry in shared.items()} == {
        "layers": "reliable",
        "heads": "reliable with closed units",
        "channels": "reliable with closed units",
    }
    assert (shared["heads"].definition, shared["heads"].units) == ("head", "group")
    assert (shared["channels"].definition, shared["channels"].units) == ("matrix", "channel")
    assert {entry.basis for entry in shared.values()} == {"structure"}
    assert all(entry.predicted is None and entry.criterion is None for entry in shared.values())


def test_query_heads_of_the_only_key_are_cut_as_they_are():
    heads = by_name(verdict(family="gemma", groups=1))["heads"]
    assert (heads.definition, heads.units, heads.verdict) == ("head", "head", "reliable")


def test_good_figures_hold():
    found = verdict(made())
    heads = by_name(found)["heads"]
    assert heads.basis == "measured"
    assert heads.verdict == "reliable with closed units"
    assert heads.settled
    assert {check.figure for check in heads.checks} == set(thresholds().limits)
    assert found.unreliable == ()


@pytest.mark.parametrize(
    "spoilt",
    [
        {"additivity": (gap("channel", 0.2, estimate(0.9, 0.1)),)},
        {"interactions": (interaction("channel", estimate(1.2, 0.2)),)},
        {"rank_stability": (stability("channel", "taylor", estimate(0.3, 0.1), ceiling=0.9),)},
        {"fidelity": (fidelity("channel", "taylor", estimate(0.1, 0.2)),)},
    ],
)
def test_one_figure_wholly_beyond_its_limit_condemns_a_granularity_unless_the_choice_is_known_to_serve(
    spoilt,
):
    known = replace(made(), **spoilt)
    served = by_name(verdict(known))["channels"]
    assert {check.outcome for check in served.checks if check.figure == "cost_over_lot"} == {"holds"}
    assert (served.verdict, served.settled) == ("reliable with closed units", True)
    unknown = verdict(without_curves(known))
    assert by_name(unknown)["channels"].verdict == "unreliable"
    assert [entry.granularity for entry in unknown.unreliable] == ["channels"]
    wide = removal("channel", "taylor", ((0.2, 0.2, 0.9),), width=0.3)
    doubtful = by_name(verdict(replace(known, removal_loss=(wide,))))["channels"]
    assert {check.outcome for check in doubtful.checks if check.figure == "cost_over_lot"} == {"open"}
    assert (doubtful.verdict, doubtful.settled) == ("unreliable", False)


def test_a_figure_whose_interval_holds_the_limit_is_open_and_condemns_nothing():
    doubtful = without_curves(replace(made(), additivity=(gap("channel", 0.2, estimate(0.6, 0.2)),)))
    found = by_name(verdict(doubtful))["channels"]
    assert found.verdict == "reliable with closed units"
    assert [check.outcome for check in found.checks if check.figure == "additivity_gap"] == ["open"]
    assert not found.settled


@pytest.mark.parametrize(
    ("additivity", "pairs", "sums"),
    [(0.2, 0.1, "holds"), (1.2, 0.1, "fails"), (0.2, 1.2, "fails"), (0.5, 0.1, "open")],
)
def test_whether_costs_add_up_is_told_beside_the_verdict(additivity, pairs, sums):
    figures = replace(
        made(),
        additivity=(gap("channel", 0.2, estimate(additivity, 0.1)),),
        interactions=(interaction("channel", estimate(pairs, 0.1)),),
    )
    found = by_name(verdict(figures))
    assert (found["channels"].verdict, found["channels"].sums) == ("reliable with closed units", sums)
    assert found["heads"].sums is None


def test_additivity_counts_up_to_the_fraction_of_the_file():
    small, large = gap("group", 0.2, estimate(0.1, 0.01)), gap("group", 0.5, estimate(1.5, 0.01))
    unknown = gap("group", 0.22, estimate(math.nan, 0.0))
    curve = replace(small, points=(*small.points, *unknown.points, *large.points))
    found = by_name(verdict(replace(made(), additivity=(curve,))))["heads"]
    assert next(check for check in found.checks if check.figure == "additivity_gap").value.value == 0.1


def test_stability_is_held_against_its_noise_ceiling():
    """0.6 is little, but not where the same scores on other samples agree by 0.65 only."""
    noisy = stability("group", "taylor", estimate(0.6, 0.02), ceiling=0.65)
    found = by_name(verdict(replace(made(), rank_stability=(noisy,))))["heads"]
    check = next(check for check in found.checks if check.figure == "rank_stability")
    assert check.value.value == pytest.approx(0.6 / 0.65)
    assert check.outcome == "holds"


def test_where_removal_costs_nothing_no_figure_condemns():
    curve = gap("channel", 0.2, estimate(1.9, 0.05))
    cheap = replace(curve.points[0], joint=estimate(0.004, 0.001), summed=estimate(0.002, 0.001))
    idle = replace(made(), additivity=(replace(curve, points=(cheap,)),))
    found = by_name(verdict(idle))["channels"]
    assert found.verdict == "reliable with closed units"
    assert {check.outcome for check in found.checks} == {"idle"}
    assert found.settled


def test_a_few_units_have_no_rank_correlation_worth_a_verdict():
    wrong = without_curves(replace(made(), fidelity=(fidelity("group", "taylor", estimate(-0.4, 0.1)),)))
    assert by_name(verdict(wrong, layers=4))["heads"].verdict == "unreliable"
    few = by_name(verdict(wrong, layers=3))["heads"]
    assert few.verdict == "reliable with closed units"
    assert {check.figure for check in few.checks} == {"additivity_gap", "interaction"}


def test_a_choice_by_score_that_costs_more_than_a_lot_is_unreliable():
    """Random fifths cost 0.2 (0.15 to 0.25); the scored curve reaches 0.1 there, 0.5 in the second case."""
    lot = (gap("channel", 0.2, estimate(0.1, 0.05)),)

    def with_curve(cost: float):
        points = ((0.2, cost / 1.1, 0.9), (0.5, 2 * cost, 0.8))
        curve = removal("channel", "taylor", points, width=0.02)
        return by_name(verdict(replace(made(), additivity=lot, removal_loss=(curve,)), ratio=1.1))["channels"]

    def figure(found):
        return next(check for check in found.checks if check.figure == "cost_over_lot")

    good, bad = with_curve(0.1), with_curve(0.5)
    assert figure(good).value.value == pytest.approx(0.5)
    # 0.02 of 0.2 by the curve, 0.5 times 0.05 of 0.2 by the lots, widened for a mean of 8
    widened = 2.3646 / 1.96 * math.sqrt(8 / 7)
    assert figure(good).value.high == pytest.approx(0.5 + math.hypot(0.1, 0.125 * widened), rel=1e-4)
    assert (figure(good).outcome, good.verdict) == ("holds", "reliable with closed units")
    assert (figure(bad).outcome, bad.verdict) == ("fails", "unreliable")


@pytest.mark.parametrize(("sets", "outcome"), [(7, "open"), (8, "fails")])
@pytest.mark.parametrize("figure", ["cost_over_lot", "additivity_gap"])
def test_fewer_sets_than_needed_leave_a_figure_open_and_the_verdict_unsettled(figure, sets, outcome):
    """By score five times a lot, or a gap of 1.5 alone: beyond their limits, if there are sets enough."""
    curve = gap("channel", 0.2, estimate(1.5 if figure == "additivity_gap" else 0.1, 0.01))
    lots = (replace(curve, points=(replace(curve.points[0], n_subsets=sets),)),)
    scored = removal("channel", "taylor", ((0.2, 1 / 1.1, 0.9),), width=0.002)
    curves = (scored,) if figure == "cost_over_lot" else ()
    found = by_name(verdict(replace(made(), additivity=lots, removal_loss=curves)))["channels"]
    check = next(check for check in found.checks if check.figure == figure)
    assert (check.outcome, check.sets, check.too_few_sets) == (outcome, sets, outcome == "open")
    assert found.verdict == ("unreliable" if outcome == "fails" else "reliable with closed units")
    assert found.settled is (outcome == "fails")


def test_good_figures_over_too_few_sets_do_not_settle_a_verdict():
    curve = gap("channel", 0.2, estimate(0.1, 0.01))
    lots = (replace(curve, points=(replace(curve.points[0], n_subsets=3),)),)
    found = by_name(verdict(replace(made(), additivity=lots)))["channels"]
    too_few = {check.figure for check in found.checks if check.too_few_sets}
    assert too_few == {"additivity_gap", "cost_over_lot"}
    assert not found.settled


def test_what_needs_no_sets_says_so():
    checks = by_name(verdict(made()))["channels"].checks
    assert {check.figure for check in checks if check.sets is None} == {
        "interaction",
        "rank_stability",
        "fidelity",
    }


@pytest.mark.parametrize("n", [3, 6, 8, 32])
def test_the_interval_of_a_mean_of_few_is_students(n):
    """Bootstrap of the mean of n normal numbers, widened, against scipy's t interval."""
    draw = np.random.default_rng(n)
    numbers = draw.normal(10, 1, size=n)
    spread = TAIL * numbers.std() / math.sqrt(n)
    wide = of_few(estimate(float(numbers.mean()), float(spread)), n)
    exact = stats.t.interval(0.95, n - 1, loc=numbers.mean(), scale=stats.sem(numbers))
    assert (wide.low, wide.high) == pytest.approx(exact)


def test_one_number_has_no_interval():
    assert math.isnan(of_few(estimate(1.0, 0.1), 1).width)


def test_the_lot_is_as_large_as_the_cut_that_is_asked_for():
    """By score a fifth costs half of a lot, a half costs twice as much: it depends on the ratio."""
    small, large = gap("channel", 0.2, estimate(0.1, 0.02)), gap("channel", 0.5, estimate(0.1, 0.02))
    lots = (replace(small, points=small.points + large.points),)
    curve = removal("channel", "taylor", ((0.2, 0.1 / 1.1, 0.9), (0.5, 0.4 / 1.1, 0.8)), width=0.02)
    measured = replace(made(), additivity=lots, removal_loss=(curve,))

    def figure(ratio):
        checks = by_name(verdict(measured, ratio=ratio))["channels"].checks
        return next(check for check in checks if check.figure == "cost_over_lot").value.value

    assert removed_share("llama", shape(), 1.1) < 0.25 < 0.5 < removed_share("llama", shape(), 4.0)
    assert figure(1.1) == figure(None) == pytest.approx(0.5)
    assert figure(4.0) == pytest.approx(2.0)
    assert by_name(verdict(measured, ratio=4.0))["channels"].verdict == "unreliable"


def test_the_cost_of_another_criterion_says_nothing():
    curve = removal("channel", "magnitude", ((0.2, 0.9, 0.5),), width=0.02)
    found = by_name(verdict(replace(made(), removal_loss=(curve,))))["channels"]
    assert found.criterion == "taylor"
    assert "cost_over_lot" not in {check.figure for check in found.checks}


def test_figures_are_those_of_the_distance_and_not_of_the_loss():
    """One removal adds noise of either sign to the loss; its distance to the dense answers is what counts."""
    noisy = replace(fidelity("channel", "taylor", estimate(-0.2, 0.1)), objective="loss")
    found = by_name(verdict(replace(made(), fidelity=(noisy, *made().fidelity))))["channels"]
    assert next(check for check in found.checks if check.figure == "fidelity").value.value == 0.85


def test_figures_that_were_not_measured_decide_nothing():
    blank = estimate(math.nan, 0.0)
    found = by_name(verdict(replace(made(), fidelity=(fidelity("group", "taylor", blank),))))["heads"]
    assert "fidelity" not in {check.figure for check in found.checks}


def test_the_better_criterion_is_recommended():
    entries = tuple(
        fidelity(component, criterion, estimate(value, 0.05))
        for component in ("group", "channel")
        for criterion, value in (("taylor", 0.5), ("activation", 0.8), ("random", 0.99))
    )
    measured = replace(made(), fidelity=entries)
    assert recommended_criterion(measured, "taylor") == "activation"
    assert verdict(measured).criterion == "activation"


def test_the_default_stays_where_the_difference_does_not_show():
    entries = (
        fidelity("channel", "taylor", estimate(0.6, 0.2)),
        fidelity("channel", "activation", estimate(0.7, 0.01)),
    )
    assert recommended_criterion(replace(made(), fidelity=entries), "taylor") == "taylor"
    assert recommended_criterion(replace(made(), fidelity=()), "taylor") is None


def test_share_of_the_blocks_that_a_ratio_takes():
    whole = shape_parameters("llama", shape())
    blocks = block_parameters("llama", shape())
    assert removed_share("llama", shape(), 1.0) == 0
    assert removed_share("llama", shape(), 2.0) == pytest.approx(whole / 2 / blocks)
    assert removed_share("llama", shape(), 1000.0) is None


def test_prediction_between_points_by_hand():
    curve = removal("channel", "taylor", ((0.25, 0.1, 0.90), (0.75, 0.5, 0.50)), width=0.04)
    found = predict(curve, 0.5, n_samples=64)
    assert found.loss.value == pytest.approx(0.3)
    assert found.score_change.value == pytest.approx(0.70 - 0.96)
    assert (found.loss.low, found.loss.high) == (pytest.approx(0.26), pytest.approx(0.34))
    assert not found.beyond
    start = predict(curve, 0.125, n_samples=64)
    assert start.score_change.value == pytest.approx((0.96 + 0.90) / 2 - 0.96)
    far = predict(curve, 0.9, n_samples=64)
    assert far.beyond and far.loss.value == pytest.approx(0.5)


def test_accuracy_that_no_sample_changed_is_not_certain():
    curve = removal("channel", "taylor", ((0.5, 0.0, 0.96),), width=0.0)
    change = predict(curve, 0.5, n_samples=60).score_change
    assert (change.value, change.low, change.high) == pytest.approx((0.0, -0.05, 0.04))


def test_heads_and_channels_cost_together_what_they_cost_alone():
    heads = predict(removal("group", "taylor", ((0.5, 0.1, 0.86),), width=0.03), 0.5, n_samples=64)
    channels = predict(removal("channel", "taylor", ((0.5, 0.2, 0.76),), width=0.04), 0.5, n_samples=64)
    both = together([heads, channels])
    assert both.loss.value == pytest.approx(0.3)
    assert both.loss.high - both.loss.value == pytest.approx(0.05)
    assert both.score_change.value == pytest.approx(-0.3)
    ruined = predict(removal("channel", "taylor", ((0.5, 3.0, 0.05),), width=0.01), 0.5, n_samples=64)
    assert together([heads, ruined, ruined]).score_change.value == pytest.approx(-0.96)
    assert together([ruined, ruined], chance=0.25).score_change.value == pytest.approx(0.25 - 0.96)


def test_prediction_of_the_whole_model_and_of_its_naive_cut():
    found = verdict(made(), ratio=2.0)
    assert found.share == pytest.approx(removed_share("llama", shape(), 2.0))
    channels = by_name(found)["channels"]
    assert channels.predicted is not None and channels.predicted_apart is not None
    assert channels.predicted_apart.loss.value > channels.predicted.loss.value
    assert found.predicted.loss.value == pytest.approx(
        channels.predicted.loss.value + by_name(found)["heads"].predicted.loss.value
    )
    assert found.predicted_apart.loss.value > found.predicted.loss.value
    assert verdict(made(), ratio=1000.0).predicted is None
    assert verdict(made(), ratio=None).predicted is None
    plain = replace(made(), removal_loss=tuple(curve for curve in made().removal_loss if curve != apart()))
    assert verdict(plain, family="gpt2", groups=4).predicted_apart is None


def test_shipped_limits_name_their_day():
    assert date.fromisoformat(thresholds().fixed_on)
    assert thresholds().fixed_by


def test_limits_that_are_incomplete_are_refused(tmp_path):
    path = tmp_path / "limits.yaml"
    path.write_text(
        "fixed_on: 2026-01-01\nfixed_by: x\nat_fraction: 0.2\nnegligible: 0\n"
        "fewest_units: 1\nfewest_sets: 1\n"
        "limits: {interaction: {at_most: 1}}\n"
    )
    with pytest.raises(ConfigError, match="additivity_gap"):
        read_thresholds(path)
    path.write_text("fixed_on: 2026-01-01\n")
    with pytest.raises(ConfigError, match="missing"):
        read_thresholds(path)
