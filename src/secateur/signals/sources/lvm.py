"""LabVIEW measurement files (LVM), which LabVIEW writes as text; needs the extra ``formats``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.documents import one_line
from secateur.core.errors import DataError
from secateur.signals.sources.choice import Column
from secateur.signals.sources.extras import required
from secateur.signals.sources.time_axis import TimeAxis
from secateur.signals.sources.whole_file import Decoded, WholeFileSource, require_decodable

_HEAD = "LabVIEW Measurement"
_TIME = "Time"
_NO_SIGNAL = ("X_Value", "Comment")
_SPACING_DIGITS = 1e-5
"""The spacing is written with six digits."""


class LvmSource(WholeFileSource):
    """Channels of an LVM file under their names; the segments of a long measurement are put together."""

    @staticmethod
    def decode(path: Path) -> Decoded:
        """Return every channel of a file."""
        return [(_column(path, channel), channel.values) for channel in _channels(path)]


@dataclass(frozen=True, kw_only=True)
class _Channel:
    """One channel of a segment, or of all segments one after the other.

    Attributes
    ----------
    values : ndarray, shape (samples,)
    step, start : float
        Spacing of the samples and place of the first: times, or frequencies of a spectrum.
    over, unit : str
        Which of the two, and the unit of the values.
    axis : ndarray
        The place of each sample, where the file lists it; else empty.
    """

    name: str
    values: np.ndarray
    step: float
    start: float
    over: str
    unit: str
    axis: np.ndarray

    @property
    def fault(self) -> str:
        """Why it is no recording of its spacing; empty if it is."""
        if not np.isfinite(self.values).all():
            return f"{np.count_nonzero(~np.isfinite(self.values))} of its values are missing or no numbers"
        listed = self.step
        if len(self.axis) > 1:
            listed = float(self.axis[-1] - self.axis[0]) / (len(self.axis) - 1)
        if abs(listed - self.step) > 0.01 * abs(self.step):
            return f"Delta_X is {self.step:.6g}, and the values of X_Value are {listed:.6g} apart"
        return ""

    def goes_on_from(self, first: _Channel, samples: int) -> bool:
        """Say whether this is the same channel as ``first``, at the time after so many of its samples."""
        same = all(getattr(self, name) == getattr(first, name) for name in ("name", "step", "over", "unit"))
        gap = self.start - first.start - samples * first.step
        return same and abs(gap) <= 0.5 * abs(first.step)


def _column(path: Path, channel: _Channel) -> Column:
    fault = f"{path}, channel '{channel.name}': {channel.fault}." if channel.fault else ""
    return Column(
        name=channel.name,
        n_samples=len(channel.values),
        sampling_rate_hz=None if fault else _rate(channel),
        unit=channel.unit or None,
        fault=fault,
    )


def _channels(path: Path) -> list[_Channel]:
    """Read the whole file.

    Raises
    ------
    DataError
        If it is no whole LVM file, or its segments do not follow each other.
    """
    lvm = required("lvm_read", f"{path} is a LabVIEW measurement file (LVM)")
    require_decodable(path)
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if not text.startswith(_HEAD):
        raise DataError(
            f"{path} does not begin with '{_HEAD}'; if it is a table of text, name it .txt or .csv."
        )
    try:
        file = lvm.read_str(text)
        segments = [list(_of_segment(file[number])) for number in range(file["Segments"])]
    except Exception as error:  # the package answers damaged files with many kinds of error
        raise DataError(f"{path} is not a whole LVM file ({one_line(error)}); copy it again.") from None
    for number, segment in enumerate(segments[1:], start=2):
        if len(segment) != len(segments[0]):
            raise DataError(f"{path}: segment {number} has {len(segment)} channels, not {len(segments[0])}.")
    return [_joined(path, parts) for parts in zip(*segments, strict=True)]


def _joined(path: Path, parts: Sequence[_Channel]) -> _Channel:
    """Return the segments of one channel as one."""
    samples = len(parts[0].values)
    for number, part in enumerate(parts[1:], start=2):
        if not part.goes_on_from(parts[0], samples):
            raise DataError(
                f"{path}: segment {number} of {len(parts)} does not go on where the one before it ends; "
                "save each segment as a file of its own."
            )
        samples += len(part.values)
    values, axis = (np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "axis"))
    return replace(parts[0], values=values, axis=axis)


def _of_segment(segment: dict[str, Any]) -> Iterator[_Channel]:
    names, data = segment["Channel names"], np.atleast_2d(segment["data"])
    places = [place for place, name in enumerate(names) if name not in _NO_SIGNAL]
    axes = [place for place, name in enumerate(names) if name == "X_Value"]
    if len(places) != segment["Channels"]:
        raise ValueError(f"its header tells of {segment['Channels']} channels, {len(places)} are there")
    for number, place in enumerate(places):
        # each channel with an X_Value of its own has two columns, and so its entries in the header
        entry = number * (2 if len(axes) > 1 else 1)
        count = int(segment["Samples"][entry])
        if len(data) < count:
            raise ValueError(f"its header tells of {count} samples, {len(data)} are there")
        before = [axis for axis in axes if axis < place]
        yield _Channel(
            name=names[place],
            values=data[:count, place],
            step=float(segment["Delta_X"][entry]),
            start=float(segment["X0"][entry]),
            over=segment["X_Dimension"][entry],
            unit=segment["Y_Unit_Label"][entry].strip() if "Y_Unit_Label" in segment else "",
            axis=data[:count, before[-1]] if before else np.empty(0),
        )


def _rate(channel: _Channel) -> float | None:
    """Return the rate by ``Delta_X``; None for a step of frequency."""
    if channel.over != _TIME or channel.step <= 0:
        return None
    axis = TimeAxis(name="", step=channel.step, uncertainty=_SPACING_DIGITS, unit_s=1.0)
    return axis.sampling_rate_hz
