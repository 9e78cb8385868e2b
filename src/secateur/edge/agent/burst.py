"""One burst: the samples that a sensor took without a break, and what its sender said about them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

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
    key : str
        The same burst sent twice has the same key.
    """

    machine: str
    sensor: str
    samples: np.ndarray
    sampling_rate_hz: float | None = None
    unit: str | None = None
    measured_unix_s: float
    speed_rpm: float | None = None
    number: int | None = None
    key: str = ""

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", _key_of(self))

    @property
    def place(self) -> tuple[str, str]:
        """Machine and sensor."""
        return self.machine, self.sensor


def _key_of(burst: Burst) -> str:
    digest = hashlib.blake2b(digest_size=12)
    digest.update(f"{burst.machine}\0{burst.sensor}\0{burst.measured_unix_s!r}\0{burst.number}\0".encode())
    digest.update(np.ascontiguousarray(burst.samples).tobytes())
    return digest.hexdigest()
