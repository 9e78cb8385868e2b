"""Windows of a waveform that arrives piece by piece."""

import numpy as np
import pytest

from secateur.core.errors import ConfigError, DataError
from secateur.edge.live import LiveSource


@pytest.mark.parametrize("hop", [3, 5, 8])
@pytest.mark.parametrize("piece", [1, 4, 17])
def test_windows_do_not_depend_on_the_pieces(hop: int, piece: int) -> None:
    series = np.arange(100, dtype=np.float32)
    live = LiveSource(length=5, hop=hop)
    found = [entry for first in range(0, 100, piece) for entry in live.push(series[first : first + piece])]
    assert [start for start, _ in found] == list(range(0, 96, hop))
    assert all(np.array_equal(window, series[start : start + 5]) for start, window in found)
    assert live.position == 100


def test_no_window_reaches_over_a_seam() -> None:
    live = LiveSource(length=4)
    assert live.push(np.arange(6), position=0)[0][0] == 0
    found = live.push(np.arange(100, 106), position=50)
    assert [(start, window.tolist()) for start, window in found] == [(50, [100, 101, 102, 103])]
    assert (live.gaps, live.samples_given_up) == (1, 2)


def test_wrong_use_is_told() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        LiveSource(length=0)
    with pytest.raises(DataError, match="one channel"):
        LiveSource(length=4).push(np.zeros((2, 4)))
