"""How many parameters a language model may keep when several targets are given, and of what it is cut."""

from __future__ import annotations

import pytest

from even_shapes import whole
from secateur.core.errors import PlanError
from secateur.methods.largest import narrowest
from secateur.methods.rounds import kinds_to_cut
from secateur.structure.counting import parameters
from secateur.structure.memory import parameters_within
from secateur.workflow.cut_options import cut_of_model
from secateur.workflow.target import target_parameters

IDENTITY = whole("llama", 4, groups=2, other=5000)
DENSE = parameters(IDENTITY)


def target(**options) -> int:
    return target_parameters(cut_of_model(criterion="magnitude", **options), IDENTITY)


def test_the_tightest_target_decides():
    assert target(max_parameters=20_000) == 20_000
    assert target(ratio=2.0) == DENSE // 2
    assert target(ratio=2.0, max_parameters=15_000) == 15_000
    assert target(ratio=2.0, max_parameters=10**9) == DENSE // 2
    by_fraction = target(block_fraction=0.25)
    assert target(block_fraction=0.25, max_parameters=by_fraction - 1) == by_fraction - 1
    assert target(block_fraction=0.25, max_parameters=by_fraction + 1) == by_fraction


def test_a_model_that_fits_is_left_whole():
    assert target(max_parameters=parameters_within(1.0, "fp32")) == DENSE


def test_a_memory_that_holds_no_such_model_is_refused_with_what_does():
    with pytest.raises(PlanError, match=r"a limit of 1,000 parameters leaves 1,000 .* largest ratio"):
        target(max_parameters=1000)
    with pytest.raises(PlanError):
        cut_of_model(criterion="magnitude", max_parameters=0)
    with pytest.raises(PlanError, match="--memory-mib"):
        cut_of_model(criterion="magnitude")


@pytest.mark.parametrize(
    ("units", "said"),
    [
        (("channel",), "with one FFN channel in each layer"),
        (("group",), "with one key/value group in each layer"),
        (("group", "channel"), "with one key/value group and one FFN channel in each layer"),
        (("group", "head"), "with one key/value group and one query head a group in each layer"),
    ],
)
def test_the_largest_ratio_is_that_of_the_units_that_may_go(units, said):
    with pytest.raises(PlanError, match=said) as refusal:
        target(ratio=50.0, units=units)
    largest = float(str(refusal.value).split("can be reached is ")[1].split(" ")[0])
    least = parameters(narrowest(IDENTITY, units))
    assert least <= target(ratio=largest, units=units) < 1.02 * least
    if units == ("channel",):
        assert largest < float(DENSE / parameters(narrowest(IDENTITY)))


def test_the_largest_ratio_is_that_of_the_order_of_a_cascade(tmp_path):
    text = tmp_path / "text"
    text.touch()
    cut = cut_of_model(method="cascade", ratio=50.0, order=("layers", "channels"), calibration=text)
    with pytest.raises(PlanError, match="with one FFN channel in one layer"):
        target_parameters(cut, IDENTITY)


@pytest.mark.parametrize(
    ("criterion", "groups", "share", "kinds"),
    [
        ("surgeon", 2, 0.2, ("group", "channel")),  # query heads share keys
        ("surgeon", 4, 0.2, ("channel",)),
        ("taylor", 2, 0.2, ("channel",)),
        ("surgeon", 4, 0.8, ("group", "channel")),  # channels alone would become too thin
        ("taylor", 2, 0.8, ("group", "channel")),
    ],
)
def test_groups_are_ranked_with_channels_where_that_serves(criterion, groups, share, kinds, tmp_path):
    identity = whole("llama", 4, groups=groups)
    text = tmp_path / "text"
    text.touch()
    cut = cut_of_model(criterion=criterion, block_fraction=share, calibration=text)
    assert kinds_to_cut(criterion, identity, target_parameters(cut, identity)) == kinds
