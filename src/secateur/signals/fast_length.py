"""Lengths for which a fast Fourier transform is fast."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=256)
def fast_length(at_least: int) -> int:
    """Return the smallest number from ``at_least`` on that has no prime factor above 5.

    Parameters
    ----------
    at_least : int
        Positive.
    """
    best = 1 << max(at_least - 1, 0).bit_length()
    fives = 1
    while fives < best:
        threes = fives
        while threes < best:
            shift = max(-(-at_least // threes) - 1, 0).bit_length()
            best = min(best, threes << shift)
            threes *= 3
        fives *= 5
    return best
