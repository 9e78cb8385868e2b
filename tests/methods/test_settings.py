"""Settings are checked, and steps are shared out whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import ConfigError
from secateur.methods.floor import Floors
from secateur.methods.settings import CascadeSettings, HandAllocation, SearchSettings, split_steps


@given(st.integers(0, 10_000), st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_steps_add_up_and_follow_the_shares(total, cuts):
    low, high = sorted(cuts)
    shares = (low, high - low, 1 - high)
    steps = split_steps(total, shares)
    assert sum(steps) == total
    assert all(abs(part - total * share) <= 1.01 for part, share in zip(steps, shares, strict=True))


def test_the_default_gives_all_to_the_last_stage():
    assert split_steps(1000, CascadeSettings().shares) == (0, 0, 1000)
    assert CascadeSettings(order=("layers", "groups", "heads", "channels")).shares == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: CascadeSettings(order=("layers", "groups", "groups")), "groups, heads, channels, each once"),
        (lambda: CascadeSettings(order=("groups", "channels")), "must name layers"),
        (lambda: CascadeSettings(order=("layers", "neurons")), "unknown order 'neurons'; allowed: layers"),
        (lambda: CascadeSettings(recovery_shares=(0.5, 0.4, 0.3)), "add up to 1"),
        (lambda: Floors(min_accuracy=98.0), "0..1"),
        (lambda: SearchSettings(criterion="tailor"), "taylor"),
        (lambda: SearchSettings(max_depths=0), "at least 1"),
        (lambda: HandAllocation(layers=0, heads=1, channels=1), "at least 1"),
    ],
)
def test_wrong_settings_say_what_is_allowed(build, said):
    with pytest.raises(ConfigError, match=said):
        build()
