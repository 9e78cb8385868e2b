"""Fast lengths are those of SciPy's real transform."""

import pytest
from scipy.fft import next_fast_len

from secateur.signals.fast_length import fast_length


@pytest.mark.parametrize("at_least", [1, 2, 3, 7, 11, 97, 1021, 2561, 8193, 65537, 1_000_003])
def test_the_smallest_number_of_twos_threes_and_fives(at_least: int) -> None:
    assert fast_length(at_least) == next_fast_len(at_least, real=True)


def test_every_small_length() -> None:
    assert [fast_length(n) for n in range(1, 3000)] == [next_fast_len(n, real=True) for n in range(1, 3000)]
