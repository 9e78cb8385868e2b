"""How a stored array becomes channels by samples, and which part of it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from secateur.core.errors import DataError

MOST_CHANNELS = 32
"""More rows than a measuring device has inputs are windows cut beforehand, or axes that are swapped."""

LEAST_ASPECT = 4
"""A recording is longer than it has channels, by far."""


def require_real(dtype: np.dtype, where: str) -> None:
    """Check that values are real numbers.

    Raises
    ------
    DataError
        If they are complex, objects, words or records: a part of them would be lost.
    """
    if dtype.kind in "iufb":
        return
    if dtype.kind == "c":
        raise DataError(
            f"{where} holds complex numbers; a waveform is real. Store the part that was measured, not a "
            "spectrum."
        )
    if dtype.kind == "O":
        raise DataError(f"{where} holds Python objects or gaps; store plain numbers (float32, int16, ...).")
    raise DataError(f"{where} holds {dtype} values; a waveform must be real numbers.")


def channels_first(array: np.ndarray, path: Path, name: str = "") -> np.ndarray:
    """Return a view of shape (channels, samples); the longer axis of a table is time.

    Axes of length 1 are left out.

    Raises
    ------
    DataError
        If the array is not numeric, holds nothing, or is no recording: windows stacked, or an image.
    """
    where = f"{path}" + (f" [{name}]" if name else "")
    require_real(array.dtype, where)
    rows, samples, turned = channel_shape(array.shape, where)
    return array.reshape(samples, rows).T if turned else array.reshape(rows, samples)


def channel_shape(shape: tuple[int, ...], where: str) -> tuple[int, int, bool]:
    """Return channels, samples, and whether samples come first in the array.

    Raises
    ------
    DataError
        If no axis can be time alone.
    """
    if not shape:
        raise DataError(f"{where} is a single number, not a waveform.")
    lengths = tuple(length for length in shape if length != 1) or shape[-1:]
    if 0 in shape:
        raise DataError(f"{where} is empty: an array of shape {shape} holds no sample.")
    if len(lengths) > 2:
        raise DataError(
            f"{where} has shape {shape}: windows that were stacked, not one recording. A waveform has shape "
            "(samples,), (samples, channels) or (channels, samples); store each recording whole."
        )
    if len(lengths) == 1:
        return 1, lengths[0], False
    rows, samples = min(lengths), max(lengths)
    if rows > MOST_CHANNELS or (rows > 2 and samples < LEAST_ASPECT * rows):
        raise DataError(
            f"{where} has shape {shape}: it looks like {lengths[0]} stacked windows of {lengths[1]} "
            "samples, not "
            f"like one recording of at most {MOST_CHANNELS} channels. Store each recording whole, as "
            "(channels, samples)."
        )
    return rows, samples, lengths[0] > lengths[1]


def checked_range(start: int, stop: int, n_samples: int, path: Path) -> tuple[int, int]:
    """Return ``(start, stop)`` if it lies within the recording.

    Raises
    ------
    DataError
        If it does not.
    """
    if not 0 <= start <= stop <= n_samples:
        raise DataError(f"{path}: samples {start} to {stop} were asked for; it holds 0 to {n_samples}.")
    return start, stop
