"""Signals of a built set of the ``bearing-datasets`` package: lists of samples in Parquet row groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secateur.core.documents import one_line, require_regular_file
from secateur.core.errors import DataError
from secateur.signals.sources.decoded import PIECES
from secateur.signals.sources.extras import required
from secateur.signals.sources.orientation import checked_range, require_real


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the samples of one channel lie.

    Attributes
    ----------
    path : Path
        The Parquet file.
    row_group, row : int
    signal_id : str
        Name that the row must have.
    """

    path: Path
    row_group: int
    row: int
    signal_id: str


@dataclass(frozen=True)
class StoredSignals:
    """The channels of one recording, each a list in a row of a Parquet file.

    Parameters
    ----------
    places : tuple of Place
        One a channel.
    n_samples : int
        Samples per channel, as the metadata say.
    """

    places: tuple[Place, ...]
    n_samples: int

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.places)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 of shape (channels, stop - start)."""
        start, stop = checked_range(start, stop, self.n_samples, self.places[0].path)
        return np.stack([self._signal(place)[start:stop].astype(np.float32) for place in self.places])

    def _signal(self, place: Place) -> np.ndarray:
        require_regular_file(place.path)
        key = (place.path, place.path.stat().st_mtime_ns, place.row_group, place.row)
        samples = PIECES.get(key, lambda: _decode(place))
        if len(samples) != self.n_samples:
            raise DataError(
                f"{place.path} holds {len(samples)} samples of {place.signal_id}, its metadata say "
                f"{self.n_samples}; build the set again."
            )
        return samples


def _decode(place: Place) -> np.ndarray:
    """Unpack the row group of a signal and copy its own samples out of it."""
    parquet = required("pyarrow.parquet", f"{place.path} is a Parquet file")
    try:
        with parquet.ParquetFile(place.path) as file:
            table = file.read_row_group(place.row_group, columns=["signal_id", "signal"], use_threads=False)
        name = table.column("signal_id")[place.row].as_py()
        samples = table.column("signal")[place.row].values.to_numpy(zero_copy_only=False)
    except (OSError, ValueError, RuntimeError, KeyError, IndexError, AttributeError) as error:
        raise DataError(
            f"{place.path}, row group {place.row_group}, cannot be read ({one_line(error)}); build the set "
            "again."
        ) from None
    if name != place.signal_id:
        raise DataError(
            f"{place.path} does not hold {place.signal_id} where its metadata say; build the set again."
        )
    require_real(samples.dtype, f"{place.path} [{place.signal_id}]")
    return np.array(samples)
