"""Variables of MATLAB files (version 5), fields of structures included."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatReadError

from secateur.core.errors import DataError
from secateur.signals.sources.decoded import PIECES
from secateur.signals.sources.orientation import channels_first, checked_range

_DAMAGED = (MatReadError, ValueError, TypeError, EOFError, OSError, KeyError, IndexError)


def mat_variables(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the variables in a MATLAB file, without reading their values."""
    try:
        return {name: shape for name, shape, _ in whosmat(path, appendmat=False)}
    except FileNotFoundError:
        raise DataError(f"{path} is missing.") from None
    except NotImplementedError:
        raise DataError(
            f"{path} is a MATLAB 7.3 (HDF5) file; save it again with \"save(name, '-v7')\"."
        ) from None
    except Exception as error:  # scipy answers damaged files with many kinds of error
        raise DataError(f"{path} is not a whole MATLAB file ({error}); fetch or copy it again.") from None


def mat_value(path: Path, name: str) -> np.ndarray:
    """Return a variable, or a field of a structure written as ``structure.field``.

    Raises
    ------
    DataError
        If the file is damaged or has no such variable; the message lists what it has.
    """
    variable, _, field = name.partition(".")
    present = mat_variables(path)
    if variable not in present:
        raise DataError(f"{path} has no variable '{variable}'; it has: {', '.join(sorted(present))}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # duplicate names in files of the 1990s: the last one counts
            value = loadmat(path, variable_names=[variable], appendmat=False)[variable]
    except _DAMAGED as error:
        raise DataError(f"{path} [{variable}] cannot be read ({error}); fetch or copy it again.") from None
    if not field:
        return value
    if value.dtype.names is None or field not in value.dtype.names:
        fields = ", ".join(value.dtype.names or ()) or "none"
        raise DataError(f"{path} [{variable}] has no field '{field}'; it has: {fields}.")
    return value[field].reshape(-1)[0]


@dataclass(frozen=True)
class MatSource:
    """Variables of a MATLAB file as channels, decoded on first use and kept among the pieces used last.

    Parameters
    ----------
    path : Path
        The file.
    variables : tuple of str
        Names, one a channel, or one with several channels; ``structure.field`` enters a structure.
    """

    path: Path
    variables: tuple[str, ...]

    @cached_property
    def _shape(self) -> tuple[int, int]:
        shapes = [self._decoded(name).shape for name in self.variables]
        lengths = {shape[1] for shape in shapes}
        if len(lengths) > 1:
            raise DataError(
                f"{self.path}: the variables {', '.join(self.variables)} have lengths {sorted(lengths)}; "
                "channels of one recording must be equally long."
            )
        return sum(shape[0] for shape in shapes), lengths.pop()

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self._shape[0]

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return self._shape[1]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 of shape (channels, stop - start)."""
        start, stop = checked_range(start, stop, self.n_samples, self.path)
        pieces = [self._decoded(name)[:, start:stop] for name in self.variables]
        return np.concatenate(pieces, axis=0).astype(np.float32, copy=False)

    def _decoded(self, name: str) -> np.ndarray:
        if not self.path.exists():
            raise DataError(f"{self.path} is missing.")
        key = (self.path, self.path.stat().st_mtime_ns, name)

        def decode() -> np.ndarray:
            return channels_first(mat_value(self.path, name), self.path, name).astype(np.float32)

        return PIECES.get(key, decode)
