"""Refine a shaft speed from the lines of the vibration itself.

A tachometer or a name plate can be wrong by a few percent, and a fault line that is looked for 2 % beside
its place is missed or taken for another. The shaft leaves lines at its rate and multiples, in the spectrum
and in the envelope's; all of them move together when the speed does. Needs numpy alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from secateur.core.errors import DataError

REACH = 0.03
"""Share of the nominal rate within which the true one is sought."""
LEAST_GAP = 0.01
"""Share by which the lines must stand beside a stated rate to contradict it."""
LOOKED_AT_S = 30.0
"""Seconds of a recording that a stated rate is held against."""
WATCHED = 2.0
"""Times the reach that is searched: a best place outside the reach means that nothing is known."""
LEAST_MARGIN = 2.5
"""Lead of the best place over any other, in units of the logarithm of amplitude over its surroundings,
summed over the lines. White noise reaches 1.9 in 60 trials."""
SAME_PLACE = 0.004
"""Places closer than this share count as one."""
LEAST_TURNS = 80
SPECTRUM_LINES, ENVELOPE_LINES = 6, 4
MULTIPLES = np.array([*range(1, SPECTRUM_LINES + 1), *range(1, ENVELOPE_LINES + 1)])
STANDS_OUT = 1.0
"""Height from which on a line counts as one that is there."""
CAP = 3.0
"""Most that one line counts, so that no single strong line that is not the shaft's decides."""
MAINS_HZ = (50.0, 60.0)
SEGMENT_S = 10.0
ENVELOPE_ABOVE = 0.08
"""Share of the spectrum below which nothing enters the envelope: shaft lines themselves must not."""


@dataclass(frozen=True, kw_only=True)
class RefinedSpeed:
    """What the lines of a recording say about its shaft speed.

    Parameters
    ----------
    nominal_hz : float
        The rate that was stated, in turns a second.
    refined_hz : float or None
        The rate that the lines tell; None where they do not tell it clearly.
    confidence : float
        From 0 to 1; 0.5 is the least that is accepted.
    doubt : str
        Why the rate is not known; empty if it is.
    points_beyond : bool
        Whether the lines clearly point to a rate beyond the reach.
    """

    nominal_hz: float
    refined_hz: float | None
    confidence: float
    doubt: str = ""
    points_beyond: bool = False

    @property
    def gap(self) -> float | None:
        """Refined over nominal rate minus 1; None where unknown."""
        return None if self.refined_hz is None else self.refined_hz / self.nominal_hz - 1.0

    @property
    def refined_rpm(self) -> float | None:
        """Turns a minute; None where unknown."""
        return None if self.refined_hz is None else 60.0 * self.refined_hz


def refine_shaft_rate(
    samples: np.ndarray, sampling_rate_hz: float, nominal_hz: float, *, reach: float = REACH
) -> RefinedSpeed:
    """Seek the shaft rate near the nominal one whose multiples stand out best.

    For each rate the logarithms of amplitude over the local median are summed at its multiples: six of the
    spectrum, four of the envelope's. Lines of the mains (50 and 60 Hz and multiples) do not count for a
    rate, but its rivals may have lines behind them. The best rate is taken if it leads every other by a
    margin, lies within reach, and its lines have no factor in common: a fault line near three times the
    shaft rate stands at its third and sixth multiple alone.

    Parameters
    ----------
    samples : ndarray, shape (samples,)
        One channel at a constant speed; 80 turns or more. Recordings longer than 10 s are averaged in
        pieces of 10 s.
    sampling_rate_hz : float
    nominal_hz : float
        Stated turns a second.
    reach : float
        Share of the nominal rate to either side within which the true one may lie.

    Returns
    -------
    RefinedSpeed
        Without a refined rate where the lines are not clear.

    Raises
    ------
    DataError
        If a rate or the reach is not positive and finite.
    """
    if not (0 < nominal_hz < np.inf and 0 < sampling_rate_hz < np.inf and 0 < reach <= 0.1):
        raise DataError(
            f"shaft rate {nominal_hz} Hz at a sampling rate of {sampling_rate_hz} Hz within {reach}; both "
            "rates must be positive, and the reach above 0, up to 0.1."
        )
    samples = np.asarray(samples)
    turns = samples.size / sampling_rate_hz * nominal_hz
    if turns < LEAST_TURNS:
        return _unknown(nominal_hz, f"{turns:.0f} turns are too few; {LEAST_TURNS} are needed")
    if 4 * nominal_hz > sampling_rate_hz / 4:
        return _unknown(nominal_hz, f"the lines of {nominal_hz:g} Hz lie too high for the sampling rate")
    if not np.isfinite(samples).all() or np.ptp(samples) == 0:
        return _unknown(nominal_hz, "the samples are flat or not finite")
    share, heights, hidden = _lines_of_rates(samples, sampling_rate_hz, nominal_hz, WATCHED * reach)
    strength = heights.sum(axis=0)
    place = int(strength.argmax())
    highest = strength[place]
    same = np.abs(share / share[place] - 1.0) <= SAME_PLACE
    margin = float(highest - _rivals(heights, hidden)[~same].max())
    # capped lines make a plateau; the rate is the centre of what stands above all other places
    weight = np.where(same, np.clip(strength - (highest - margin), 0.0, None), 0.0)
    best = float(weight @ share / weight.sum()) if margin > 0 else 1.0
    confidence = max(0.0, margin / (margin + LEAST_MARGIN))
    if margin < LEAST_MARGIN:
        return _unknown(nominal_hz, "no rate stands out in the spectrum", confidence)
    factor = math.gcd(*MULTIPLES[heights[:, place] >= STANDS_OUT].tolist())
    if factor > 1:
        return _unknown(nominal_hz, f"of the lines only every {factor}. stands out", confidence)
    rate_hz = best * nominal_hz
    if abs(best - 1.0) > reach:
        doubt = (
            f"the lines point to {60 * rate_hz:.0f} rpm, {100 * (best - 1):+.1f} % from what is stated "
            f"(reach {100 * reach:g} %)"
        )
        return replace(_unknown(nominal_hz, doubt, confidence), points_beyond=True)
    return RefinedSpeed(nominal_hz=nominal_hz, refined_hz=rate_hz, confidence=confidence)


def _unknown(nominal_hz: float, doubt: str, confidence: float = 0.0) -> RefinedSpeed:
    return RefinedSpeed(nominal_hz=nominal_hz, refined_hz=None, confidence=confidence, doubt=doubt)


def _lines_of_rates(
    samples: np.ndarray, sampling_rate_hz: float, nominal_hz: float, watched: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return shares of the nominal rate, and at :data:`MULTIPLES` of each (lines, shares) the height and
    whether the mains hide it; hidden lines have none.
    """
    spectrum, envelope, step_hz = _power_spectra(samples, sampling_rate_hz)
    share = np.arange(1.0 - watched, 1.0 + watched, step_hz / (SPECTRUM_LINES * nominal_hz))
    heights, hidden = [], []
    for power, n_lines in ((spectrum, SPECTRUM_LINES), (envelope, ENVELOPE_LINES)):
        level = _level(power, step_hz, nominal_hz)
        frequency_hz = np.arange(level.size) * step_hz
        for multiple in range(1, n_lines + 1):
            rates_hz = share * multiple * nominal_hz
            hidden.append(_of_mains(rates_hz, step_hz))
            heights.append(np.where(hidden[-1], 0.0, np.interp(rates_hz, frequency_hz, level)))
    return share, np.array(heights), np.array(hidden)


def _rivals(heights: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return the strength of each rate, (shares,), if its hidden lines are like those that are seen.

    None counts more than half a capped line; where all are hidden, each counts that much.
    """
    seen = (heights.sum(axis=0) + CAP / 2.0) / ((~hidden).sum(axis=0) + 1)
    likely = np.minimum(seen, CAP / 2.0)
    return np.asarray(np.where(hidden, likely, heights).sum(axis=0))


def _power_spectra(samples: np.ndarray, sampling_rate_hz: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the power spectra of waveform and squared envelope, and the step of their lines in Hz."""
    length = min(samples.size, int(SEGMENT_S * sampling_rate_hz))
    length -= length % 1024 if length > 10_240 else 0  # lengths of large prime factors transform slowly
    taper = np.hanning(length)
    spectrum = np.zeros(length + 1)
    envelope = np.zeros(length + 1)
    for start in range(0, samples.size - length + 1, length):
        piece = samples[start : start + length].astype(np.float64)
        piece -= piece.mean()
        spectrum += np.abs(np.fft.rfft(piece * taper, 2 * length)) ** 2
        lines = np.fft.rfft(piece)
        lines[: int(ENVELOPE_ABOVE * lines.size)] = 0.0
        squared = np.fft.irfft(lines, length) ** 2
        squared -= squared.mean()
        envelope += np.abs(np.fft.rfft(squared * taper, 2 * length)) ** 2
    return spectrum, envelope, sampling_rate_hz / (2 * length)


def _level(power: np.ndarray, step_hz: float, nominal_hz: float) -> np.ndarray:
    """Return the logarithm of amplitude over its local median, from 0 to the cap, without the mains."""
    half = max(10, int(0.25 * nominal_hz / step_hz))
    last = min(power.size, int((SPECTRUM_LINES + 0.8) * nominal_hz / step_hz) + half)
    amplitude = 0.5 * np.log(power[:last] + np.finfo(np.float64).tiny)
    hop = max(1, half // 8)
    around = sliding_window_view(np.pad(amplitude, half, mode="reflect"), 2 * half + 1)[::hop]
    medians = np.median(around, axis=1)
    level = amplitude - np.interp(np.arange(last), np.arange(medians.size) * hop, medians)
    level[_of_mains(np.arange(last) * step_hz, step_hz)] = 0.0
    level = np.clip(level, 0.0, CAP)
    # a line between two bins is read where either shows it
    return np.maximum(level, np.maximum(np.roll(level, 1), np.roll(level, -1)))


def _of_mains(frequency_hz: np.ndarray, step_hz: float) -> np.ndarray:
    """Whether a line at a frequency cannot be told from one of the mains."""
    near = np.zeros(frequency_hz.shape, dtype=bool)
    for mains_hz in MAINS_HZ:
        distance_hz = np.abs((frequency_hz + mains_hz / 2) % mains_hz - mains_hz / 2)
        near |= (distance_hz < max(0.3, 3 * step_hz)) & (frequency_hz > mains_hz / 2)
    return near
