"""Recognise a time axis among the columns of a file, and read the sampling rate from it.

Columns are read in pieces, in double precision: times need more digits than samples do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from secateur.core.errors import DataError
from secateur.core.progress import track
from secateur.signals.sources.quantities import seconds_in, unit_of, unknown_unit_of

PROBE = 4096
BLOCK = 1 << 18
FEW_BLOCKS = 4
"""More take longer than a moment, and progress is shown."""

LEAST_SAMPLES = 8
RATE_TOLERANCE = 0.005
"""Rates of one recording may be written with three digits."""

SLOWEST_HZ, FASTEST_HZ = 200.0, 1e7
"""Between these lies what vibration is recorded at; it tells a time in seconds where no unit is written."""

SINCE_1970 = 1e9
"""Whole numbers above this are times since 1970 rather than row numbers (1e9 s is 2001)."""

NO_GAP = 1.55
"""Usual steps that a step may have everywhere; times that are rounded to half a step make one of 1.5."""

MOST_SCATTER = 3.0
"""Usual steps that a step may have where many are long: times are rounded, or stamped unevenly."""

MOST_ASTRAY = 2.5
"""Steps by which times may stray from even ones, besides a drift of the rate within RATE_TOLERANCE."""

Reader = Callable[[int, int], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class TimeAxis:
    """A column of times.

    Attributes
    ----------
    name : str
        Of the column.
    step : float
        Mean step from sample to sample, in the column's own unit.
    uncertainty : float
        How far the step may be off, relatively: times are rounded.
    unit_s : float or None
        Seconds in that unit; None if the column does not say.
    unknown_unit : str
        The unit that its name gives, if that is none that is known; else empty.
    """

    name: str
    step: float
    uncertainty: float
    unit_s: float | None
    unknown_unit: str = ""

    @property
    def sampling_rate_hz(self) -> float | None:
        """The rate that the column tells.

        None where its unit is not known, where it has none and seconds make no sense, or where its times are
        rounded so coarsely that they do not tell it.
        """
        if self.is_coarse or self.unknown_unit:
            return None
        unit_s = self.unit_s
        if unit_s is None and SLOWEST_HZ <= 1.0 / self.step <= FASTEST_HZ:
            unit_s = 1.0
        if unit_s is None:
            return None
        rate = 1.0 / (self.step * unit_s)
        whole = round(rate)
        return float(whole) if whole and abs(rate - whole) <= max(self.uncertainty, 1e-6) * rate else rate

    @property
    def is_coarse(self) -> bool:
        """Whether the times are rounded too coarsely for the rate: whole seconds over a few seconds."""
        return self.uncertainty > RATE_TOLERANCE

    def agrees(self, sampling_rate_hz: float) -> bool:
        """Say whether a stated rate fits; without a unit, seconds down to nanoseconds are tried.

        Times of an unknown unit contradict no rate.
        """
        if self.unknown_unit:
            return True
        units = (1.0, 1e-3, 1e-6, 1e-9) if self.unit_s is None else (self.unit_s,)
        allowed = max(RATE_TOLERANCE, self.uncertainty)
        return any(abs(self.step * unit_s * sampling_rate_hz - 1.0) <= allowed for unit_s in units)


def is_ramp(values: np.ndarray) -> bool:
    """Say whether values never fall, rise over all, and do so in even steps (times may be rounded)."""
    if len(values) < LEAST_SAMPLES or not np.isfinite(values).all():
        return False
    steps = np.diff(values)
    rise = values[-1] - values[0]
    # a switch rises too, but seldom
    if not rise > 0 or (steps < 0).any() or np.count_nonzero(steps) < LEAST_SAMPLES - 1:
        return False
    straight = values[0] + rise * np.arange(len(values)) / (len(values) - 1)
    rounding = np.median(steps[steps > 0])
    return bool((np.abs(values - straight) <= 1.5 * max(rounding, rise / (len(values) - 1))).mean() > 0.9)


def is_count(values: np.ndarray) -> bool:
    """Say whether values are whole numbers that go on by one, perhaps wrapping: a row or packet number."""
    if len(values) < LEAST_SAMPLES or not np.isfinite(values).all() or (values != np.round(values)).any():
        return False
    return bool((np.diff(values) == 1).mean() > 0.9)


def in_numbers(values: np.ndarray) -> tuple[np.ndarray, float | None]:
    """Return times as float64 from the first one on, with the seconds of their unit if it is known.

    Dates come as nanoseconds since the first, so that no digit is lost.
    """
    if values.dtype.kind == "M":
        return (values - values[0]).astype("timedelta64[ns]").astype(np.float64), 1e-9
    if values.dtype.kind == "m":
        return values.astype("timedelta64[ns]").astype(np.float64), 1e-9
    return values.astype(np.float64), None


def read_time_axis(name: str, read: Reader, n_samples: int, where: str) -> TimeAxis:
    """Read a column of times from end to end.

    Parameters
    ----------
    name : str
        Of the column; may name a unit.
    read : callable
        ``read(start, stop)`` gives values in the file's own type.
    n_samples : int
    where : str
        File and column, for messages.

    Raises
    ------
    DataError
        If times are missing, go back, repeat or leave a gap: what follows was not recorded evenly.
    """
    read = _times_only(read, where)
    first, last = read(0, 1), read(n_samples - 1, n_samples)
    ends, unit_s = in_numbers(np.concatenate([first, last]))
    if unit_s is None:
        unit_s = seconds_in(unit_of(name)) or _epoch_unit_s(float(ends[0]))
    step = float(ends[1] - ends[0]) / max(n_samples - 1, 1)
    if not (np.isfinite(ends).all() and step > 0):
        raise DataError(
            f"{where} is a time axis from {first[0]} to {last[0]}; times must rise and be finite."
        )
    sizes = _first_steps(read, n_samples)
    rounding = float(np.median(sizes[sizes > 0])) if (sizes > 0).any() else step
    exact = rounding <= 1.01 * step
    usual = rounding if exact and rounding else step
    span = float(ends[1] - ends[0])
    allowed = _widest_step(sizes, usual) if exact else np.inf
    farthest, sample, before = 0.0, 0, 0.0
    blocks = range(0, n_samples, BLOCK)
    for start in track(blocks, f"reading the times of {where}") if len(blocks) > FEW_BLOCKS else blocks:
        times = _relative(read(start, min(start + BLOCK, n_samples)), first)
        steps = np.diff(times, prepend=before)
        _require_even(steps, start, where=where, step=usual, allowed=allowed, unit_s=unit_s)
        astray = np.abs(times - step * np.arange(start, start + len(times)))
        if (most := float(astray.max())) > farthest:
            farthest, sample = most, start + int(np.argmax(astray))
        before = times[-1]
    if not exact:
        near = 1.5 * (rounding + step)
    elif _is_lattice(sizes, usual) and allowed > NO_GAP * usual:
        near = MOST_ASTRAY * step  # rounded times keep to the clock, where lost samples wander off
    else:
        near = MOST_ASTRAY * step + RATE_TOLERANCE / 4.0 * span
    if farthest > near:
        raise DataError(
            f"{where}: the time of sample {sample} is {_duration(farthest, unit_s)} away from even steps; "
            "there is a gap, times repeat, or the rate changes. Cut the file there, or repair the times."
        )
    return TimeAxis(
        name=name,
        step=step,
        uncertainty=2.0 * rounding / span if not exact else 1e-6,
        unit_s=unit_s,
        unknown_unit="" if unit_s is not None else unknown_unit_of(name) or "",
    )


def _times_only(read: Reader, where: str) -> Reader:
    """Return a reader that refuses words: a column may begin with times and end with a remark."""
    kinds = "Mm" if read(0, 1).dtype.kind in "Mm" else "iuf"

    def checked(start: int, stop: int) -> np.ndarray:
        values = read(start, stop)
        if values.dtype.kind not in kinds:
            raise DataError(
                f"{where}: among the samples {start} to {stop - 1} are words or other values that are no "
                "times; cut the file there, or repair the times."
            )
        return values

    return checked


def _relative(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "M":
        return (values - first[0]).astype("timedelta64[ns]").astype(np.float64)
    return in_numbers(values)[0] - in_numbers(first)[0][0]


def _first_steps(read: Reader, n_samples: int) -> np.ndarray:
    """Return the steps of the first piece in which the times rise at all."""
    sizes = np.zeros(0)
    for start in range(0, n_samples - 1, BLOCK):
        values = read(start, min(start + BLOCK + 1, n_samples))
        sizes = np.diff(_relative(values, values[:1]))
        if (sizes > 0).any():
            break
    return sizes


def _widest_step(sizes: np.ndarray, usual: float) -> float:
    """Return the widest step that is no gap.

    Where many steps are long, times are rounded or stamped unevenly, and the steps themselves tell how long.
    Steps of once and twice the usual one are lost samples, unless times rounded to that step make them:
    people round to 0.001, never to 1/25600.
    """
    long = float(np.quantile(sizes, 0.99)) / usual
    if not _is_lattice(sizes, usual):
        return usual * min(max(NO_GAP, 1.5 * long), MOST_SCATTER)
    tens = np.log10(usual)
    is_rounding = abs(tens - round(tens)) < 1e-3
    return usual * (max(NO_GAP, 1.05 * min(long, 2.0)) if is_rounding else NO_GAP)


def _is_lattice(sizes: np.ndarray, usual: float) -> bool:
    """Say whether nearly all steps are whole numbers of the usual one."""
    multiples = sizes / usual
    return bool((np.abs(multiples - np.round(multiples)) <= 0.1).mean() >= 0.99)


def _require_even(
    steps: np.ndarray, start: int, *, where: str, step: float, allowed: float,
    unit_s: float | None,
) -> None:  # fmt: skip
    wrong = ~(steps <= allowed) | (steps < 0)
    repeats = (steps == 0) if np.isfinite(allowed) and allowed <= 1.6 * step else np.zeros(len(steps), bool)
    if start == 0:
        repeats[0] = False
    wrong |= repeats
    if not wrong.any():
        return
    at = int(np.argmax(wrong))
    size, sample = steps[at], start + at
    if not np.isfinite(size):
        what = "is no time"
    elif size < 0:
        what = f"goes back by {_duration(-size, unit_s)}"
    elif size == 0:
        what = "repeats the time before"
    else:
        what = f"comes {_duration(size, unit_s)} after the one before, {size / step:.0f} steps instead of 1"
    raise DataError(
        f"{where}: the time of sample {sample} {what}. The samples are not one even recording; cut the file "
        "there, or repair the times."
    )


def _duration(size: float, unit_s: float | None) -> str:
    return f"{size:.6g} units" if unit_s is None else f"{size * unit_s:.6g} s"


def _epoch_unit_s(start: float) -> float | None:
    """Unit of times since 1970, told by their size (1e9 s is 2001, 5e9 s is 2128)."""
    return next((unit_s for unit_s in (1.0, 1e-3, 1e-6, 1e-9) if 1e9 <= start * unit_s <= 5e9), None)
