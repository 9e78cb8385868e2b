"""Whether a burst can be trusted: rate, unit, length, values, a stuck or dead sensor, speed, clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.machines import Sensor, Speed

Flag = Literal[
    "wrong rate",
    "wrong unit",
    "wrong length",
    "not finite",
    "out of range",
    "dead",
    "stuck",
    "repeated",
    "clipped",
    "offset",
    "gap",
    "clock ahead",
    "clock not set",
    "standing still",
    "speed changing",
    "speed unknown",
    "speed stale",
    "speed not believed",
]
SensorState = Literal["ok", "defect", "wrongly set up", "silent"]

SETUP_FLAGS: tuple[Flag, ...] = ("wrong rate", "wrong unit", "wrong length")
DEFECT_FLAGS: tuple[Flag, ...] = (
    "not finite",
    "out of range",
    "dead",
    "stuck",
    "repeated",
    "clipped",
    "offset",
)
STANDING_STILL: Flag = "standing still"
"""A bearing that does not turn shows nothing: such bursts are neither learned nor judged."""

SPEED_CHANGING: Flag = "speed changing"
"""A machine that runs up or coasts down is no example of anything: such bursts are left out too."""

SILENCE_FLAGS: tuple[Flag, ...] = ("dead", "stuck", "repeated", "clipped")
"""A machine that stands still is as silent as a dead sensor; a coarse converter gives a step or two of it."""

RATE_TOLERANCE = 0.005
STUCK_SHARE, STUCK_LEAST = 0.02, 64
CLIPPED_SHARE, CLIPPED_LEAST, CLIPPED_RUN = 0.001, 6, 3
CLIPPED_FROM = 0.999
"""Of the full scale."""
OFFSET_SHARE = 0.5
CLOCK_AHEAD_S = 60.0
"""Clocks differ; a burst that began so long after it arrived tells a clock that is wrong."""
EARLIEST_UNIX_S = 1_577_836_800.0
"""The year 2020: a clock that says less has forgotten the time, as it does without power."""

_DEAD = 1e-6

QUIETEST, LOUDEST = 1e-12, 1e12
"""Of the largest sample: less or more no sensor gives in any unit, and squares stay in range by far."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What is wrong with a burst.

    Attributes
    ----------
    flags : tuple of str
        All findings; empty for a sound burst.
    speed_rpm : float or None
        The speed to go by; None if there is none that can be trusted.
    speed_age_s : float or None
        Seconds between it and the burst; None if unknown, 0 for a fixed speed or one sent with the burst.
    measured_unix_s : float
        The time to go by: as stated, or of arrival where the sender's clock is wrong.
    """

    flags: tuple[Flag, ...]
    speed_rpm: float | None
    speed_age_s: float | None
    measured_unix_s: float

    @property
    def usable(self) -> bool:
        """Whether indicators and a diagnosis may be made of it."""
        unfit = (*SETUP_FLAGS, *DEFECT_FLAGS, STANDING_STILL, SPEED_CHANGING)
        return not any(flag in unfit for flag in self.flags)

    @property
    def sensor_state(self) -> SensorState:
        """State of the sensor, apart from that of the bearing."""
        if any(flag in SETUP_FLAGS for flag in self.flags):
            return "wrongly set up"
        return "defect" if any(flag in DEFECT_FLAGS for flag in self.flags) else "ok"


@dataclass(frozen=True, kw_only=True)
class MeasuredSpeed:
    """The latest speed of a machine, and the seconds that lie between it and the burst."""

    rpm: float
    age_s: float


def assess(
    burst: Burst,
    sensor: Sensor,
    speed: Speed,
    *,
    latest_speed: MeasuredSpeed | None = None,
    after_gap: bool = False,
    last_samples: np.ndarray | None = None,
    last_speed_rpm: float | None = None,
    arrived_unix_s: float | None = None,
) -> Quality:
    """Judge a burst by what its sensor is set up to send.

    Parameters
    ----------
    burst : Burst
    sensor : Sensor
    speed : Speed
        Of the machine.
    latest_speed : MeasuredSpeed, optional
        From a feed, where there is one.
    after_gap : bool
        Whether the sender's count shows that bursts are missing before this one.
    last_samples : ndarray, optional
        Of the burst before: no vibration is ever the same twice, so a sender that repeats one has stopped.
    last_speed_rpm : float, optional
        At the burst before; 0 where the machine stood still.
    arrived_unix_s : float, optional
        On the clock of the agent; default: now.
    """
    flags: list[Flag] = []
    if burst.sampling_rate_hz is not None and not is_rate_of(sensor, burst.sampling_rate_hz):
        flags.append("wrong rate")
    if burst.unit is not None and burst.unit != sensor.unit:
        flags.append("wrong unit")
    if len(burst.samples) != sensor.burst_samples:
        flags.append("wrong length")
    flags.extend(found := _waveform_flags(burst.samples, sensor.full_scale))
    if not found and last_samples is not None and np.array_equal(burst.samples, last_samples):
        flags.append("repeated")
    if after_gap:
        flags.append("gap")
    arrived_unix_s = time.time() if arrived_unix_s is None else arrived_unix_s
    clock = _clock_flag(burst, arrived_unix_s)
    if clock is not None:
        flags.append(clock)
    rpm, age_s, trouble = _speed_of(burst, speed, latest_speed)
    if trouble is not None:
        flags.append(trouble)
    if _is_changing(rpm, last_speed_rpm, speed.steady_within):
        flags.append(SPEED_CHANGING)
    if trouble == STANDING_STILL and not _reaches(burst.samples, sensor.full_scale):
        flags = [flag for flag in flags if flag not in SILENCE_FLAGS]
    return Quality(
        flags=tuple(flags),
        speed_rpm=rpm,
        speed_age_s=age_s,
        measured_unix_s=burst.measured_unix_s if clock is None else arrived_unix_s,
    )


def _is_changing(rpm: float | None, last_rpm: float | None, steady_within: float | None) -> bool:
    if rpm is None or last_rpm is None or steady_within is None:
        return False
    return abs(rpm - last_rpm) > steady_within * max(rpm, last_rpm)


def _reaches(x: np.ndarray, full_scale: float | None) -> bool:
    return full_scale is not None and bool(np.abs(x).max(initial=0.0) >= CLIPPED_FROM * full_scale)


def _clock_flag(burst: Burst, arrived_unix_s: float) -> Flag | None:
    if not burst.timed:
        return None
    if burst.measured_unix_s > arrived_unix_s + CLOCK_AHEAD_S:
        return "clock ahead"
    return "clock not set" if burst.measured_unix_s < EARLIEST_UNIX_S else None


def is_rate_of(sensor: Sensor, stated_hz: float) -> bool:
    """Whether a stated rate is that of a sensor; clocks of converters differ by less than half a percent."""
    return abs(stated_hz - sensor.sampling_rate_hz) <= RATE_TOLERANCE * sensor.sampling_rate_hz


def _waveform_flags(x: np.ndarray, full_scale: float | None) -> list[Flag]:
    if len(x) == 0 or not np.isfinite(x).all():
        return ["not finite"]
    low, high = float(x.min()), float(x.max())
    if max(abs(low), abs(high)) > LOUDEST:
        return ["out of range"]
    if high - low <= max(QUIETEST, _DEAD * max(abs(low), abs(high), full_scale or 0.0)):
        return ["dead"]
    flags: list[Flag] = []
    runs = _equal_runs(x)
    at_limit = np.isclose(runs.value, low, atol=0) | np.isclose(runs.value, high, atol=0)
    clipped = int(runs.length[at_limit & (runs.length >= CLIPPED_RUN)].sum())
    if full_scale is not None:
        at_limit |= np.abs(runs.value) >= CLIPPED_FROM * full_scale
        clipped = max(clipped, int(np.count_nonzero(np.abs(x) >= CLIPPED_FROM * full_scale)))
    if clipped >= max(CLIPPED_LEAST, CLIPPED_SHARE * len(x)):
        flags.append("clipped")
    inside = runs.length[~at_limit]
    if inside.max(initial=0) >= max(STUCK_LEAST, STUCK_SHARE * len(x)):
        flags.append("stuck")
    if full_scale is not None and abs(float(x.mean(dtype=np.float64))) >= OFFSET_SHARE * full_scale:
        flags.append("offset")
    return flags


@dataclass(frozen=True, kw_only=True)
class _Runs:
    value: np.ndarray
    length: np.ndarray


def _equal_runs(x: np.ndarray) -> _Runs:
    """Return value and length of each run of equal neighbours."""
    starts = np.concatenate([[0], np.flatnonzero(x[1:] != x[:-1]) + 1])
    return _Runs(value=x[starts], length=np.diff(np.append(starts, len(x))))


def _speed_of(
    burst: Burst, speed: Speed, latest: MeasuredSpeed | None
) -> tuple[float | None, float | None, Flag | None]:
    if burst.speed_rpm is not None:
        rpm, age_s = burst.speed_rpm, 0.0
    elif speed.rpm is not None:
        rpm, age_s = speed.rpm, 0.0
    elif latest is not None:
        rpm, age_s = latest.rpm, latest.age_s
    else:
        return None, None, "speed unknown"
    if age_s > speed.max_age_s:
        return None, age_s, "speed stale"
    if rpm == 0 or 0 < rpm < speed.lowest_rpm:
        return None, age_s, STANDING_STILL
    if not 0 < rpm <= speed.highest_rpm:
        return None, age_s, "speed not believed"
    return rpm, age_s, None
