"""One burst: the samples that a sensor took without a break, and what its sender said about them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Burst:
    """Samples of one sensor without a break.

    Parameters
    ----------
    machine, sensor : str
        Names in the configuration.
    samples : ndarray of float32, shape (n,)
        In ``unit``.
    sampling_rate_hz : float or None
        As the sender states it; None where it does not.
    unit : str or None
        As the sender states it.
    measured_unix_s : float
        Time of the first sample on the sender's clock, or of arrival where it sends none.
    speed_rpm : float or None
        Shaft speed during the burst, where the sender measures it.
    number : int or None
        The sender's count of bursts, by which gaps are found.
    said_key : str
        Name that the sender gives the burst; it counts among those of its sensor.
    timed : bool
        Whether the sender states the time. A time of arrival tells no burst from one of the same number.

    Attributes
    ----------
    key : str
        The same burst sent twice has the same key, and no other burst has it.
    """

    machine: str
    sensor: str
    samples: np.ndarray
    sampling_rate_hz: float | None = None
    unit: str | None = None
    measured_unix_s: float
    speed_rpm: float | None = None
    number: int | None = None
    said_key: str = ""
    timed: bool = True
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", _key_of(self))

    @property
    def place(self) -> tuple[str, str]:
        """Machine and sensor."""
        return self.machine, self.sensor


def _key_of(burst: Burst) -> str:
    if burst.said_key:
        return f"{burst.machine}/{burst.sensor}/{burst.said_key}"
    at = burst.measured_unix_s if burst.timed or burst.number is None else None
    digest = hashlib.blake2b(digest_size=12)
    digest.update(f"{burst.machine}\0{burst.sensor}\0{at!r}\0{burst.number}\0".encode())
    digest.update(np.ascontiguousarray(burst.samples).tobytes())
    return digest.hexdigest()
