"""How a stored array becomes channels by samples, and which part of it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from secateur.core.errors import DataError


def channels_first(array: np.ndarray, path: Path, name: str = "") -> np.ndarray:
    """Return a view of shape (channels, samples); the longer axis of a table is time.

    Raises
    ------
    DataError
        If the array is not numeric, has more than two axes or holds nothing.
    """
    where = f"{path}" + (f" [{name}]" if name else "")
    if array.dtype.kind not in "iuf":
        raise DataError(f"{where} holds {array.dtype} values; a waveform must be real numbers.")
    if array.ndim == 0 or array.ndim > 2 or array.size == 0:
        raise DataError(
            f"{where} has shape {array.shape}; a waveform has shape (samples,), (samples, channels) "
            "or (channels, samples)."
        )
    table = array[np.newaxis, :] if array.ndim == 1 else array
    return table if table.shape[0] <= table.shape[1] else table.T


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
