"""A vibration recording and where its samples come from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np

from secateur.core.errors import DataError
from secateur.signals.findings import Finding
from secateur.signals.kinematics import FaultOrders

FaultLocation = Literal["normal", "inner_race", "outer_race", "ball"]
FAULT_LOCATIONS: tuple[str, ...] = get_args(FaultLocation)


class WaveformSource(Protocol):
    """Samples that can be read piece by piece, so that a long recording never stands whole in memory."""

    @property
    def n_channels(self) -> int:
        """Number of channels."""

    @property
    def n_samples(self) -> int:
        """Samples per channel."""

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 of shape (channels, stop - start)."""


@dataclass(frozen=True)
class ArraySource:
    """A waveform that is in memory.

    Parameters
    ----------
    samples : ndarray of float32, shape (channels, samples)
    """

    samples: np.ndarray

    def __post_init__(self) -> None:
        if np.iscomplexobj(self.samples):
            raise DataError(
                "complex samples were given; a waveform is real, and their imaginary part would be lost."
            )
        if np.ma.is_masked(self.samples):
            raise DataError("masked samples were given; cut them out or fill them, the mask would be lost.")
        if self.samples.ndim != 2:
            raise DataError(
                f"a waveform of shape {self.samples.shape} was given; it must be (channels, samples)."
            )

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.samples.shape[0]

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return self.samples.shape[1]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 of shape (channels, stop - start)."""
        return self.samples[:, start:stop].astype(np.float32, copy=False)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One uninterrupted vibration measurement with all that is known about it.

    Parameters
    ----------
    recording_id : str
        Unique name.
    source : WaveformSource
        The samples.
    channels : tuple of str
        Channel names, one for each channel of the source.
    sampling_rate_hz : float
        Samples a second. Never guessed: a reader that does not know it raises.
    group_id : str
        The physical specimen. No group may stand on both sides of a split that claims not to leak.
    dataset : str
        Name of the data set.
    fault_location : {'normal', 'inner_race', 'outer_race', 'ball'} or None
        What is damaged; None if unlabelled.
    shaft_speed_rpm : float or None
        From the tachometer, else nominal.
    nominal_speed_rpm : float or None
        The speed that was set, used to group recordings by speed.
    load : float or None
        Load step (horse power at CWRU and the simulated rig).
    fault_size_mil : float or None
        Defect diameter in thousandths of an inch.
    severity : str or None
        Severity in words, where no size is given.
    position : str or None
        Where an outer-race defect sits relative to the load zone ("6:00").
    fault_orders : FaultOrders or None
        Fault rates of the bearing as multiples of the shaft rate.
    path : Path or None
        The file that it was read from.
    sha256 : str or None
        Checksum of that file.
    subset : str
        Part of the data set it belongs to ("12k_drive_end"), where the set has parts.
    notes : str
        Anything else worth knowing.
    bearing : str
        The bearing as it was named or described; empty if it was not.
    specimens_documented : bool
        Whether groups are known to be physical specimens. False where a group is merely one recording:
        then all recordings of one condition may be of one bearing.
    findings : tuple of Finding
        Statements that the reader could not understand or that are doubtful.
    unit : str or None
        Of the samples ("g", "mm/s"), where it is known.
    """

    recording_id: str
    source: WaveformSource
    channels: tuple[str, ...]
    sampling_rate_hz: float
    group_id: str
    dataset: str
    fault_location: FaultLocation | None = None
    shaft_speed_rpm: float | None = None
    nominal_speed_rpm: float | None = None
    load: float | None = None
    fault_size_mil: float | None = None
    severity: str | None = None
    position: str | None = None
    fault_orders: FaultOrders | None = None
    path: Path | None = None
    sha256: str | None = None
    subset: str = ""
    notes: str = ""
    bearing: str = ""
    specimens_documented: bool = True
    findings: tuple[Finding, ...] = ()
    unit: str | None = None

    def __post_init__(self) -> None:
        stated = (
            ("sampling rate", self.sampling_rate_hz, "Hz"),
            ("shaft speed", self.shaft_speed_rpm, "rpm"),
            ("nominal speed", self.nominal_speed_rpm, "rpm"),
            ("fault size", self.fault_size_mil, "mil"),
        )
        for quantity, value, unit in stated:
            if value is not None and not 0 < value < math.inf:
                raise DataError(
                    f"recording {self.recording_id}: {quantity} {value} {unit}; it must be positive and "
                    "finite. Leave it out if it is not known."
                )
        if self.load is not None and not math.isfinite(self.load):
            raise DataError(f"recording {self.recording_id}: load {self.load}; it must be a finite number.")
        if self.fault_location is not None and self.fault_location not in FAULT_LOCATIONS:
            raise DataError(
                f"recording {self.recording_id}: fault location '{self.fault_location}'; "
                f"allowed: {', '.join(FAULT_LOCATIONS)}."
            )

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return self.source.n_samples

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sampling_rate_hz

    @property
    def shaft_rate_hz(self) -> float | None:
        """Turns a second, or None if the speed is unknown."""
        return None if self.shaft_speed_rpm is None else self.shaft_speed_rpm / 60.0

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return samples ``start`` to ``stop`` (default: the end), float32 (channels, samples)."""
        return self.source.read(start, self.n_samples if stop is None else min(stop, self.n_samples))
