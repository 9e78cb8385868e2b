"""WAV and other sound files, read by block."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile

from secateur.core.documents import one_line, require_regular_file
from secateur.core.errors import DataError
from secateur.signals.sources.choice import Column
from secateur.signals.sources.orientation import checked_range

_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF)
"""What recorders write that do not know yet how long the recording will be."""


@dataclass(frozen=True)
class WavSource:
    """A sound file; integers are scaled to -1...1 as the format has it.

    Parameters
    ----------
    path : Path
        The file.
    """

    path: Path

    @cached_property
    def _info(self) -> tuple[int, int, int]:
        require_regular_file(self.path)
        try:
            info = soundfile.info(self.path)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise DataError(
                f"{self.path} is not a sound file that can be read ({one_line(error)})."
            ) from None
        _require_whole(self.path)
        if info.frames > 0 and len(self._frames(info.frames - 1, 1)) != 1:
            raise DataError(
                f"{self.path} is cut short: its header tells of {info.frames} samples. Copy it again."
            )
        return info.channels, info.frames, info.samplerate

    def _frames(self, start: int, count: int) -> np.ndarray:
        try:
            with soundfile.SoundFile(self.path) as sound:
                sound.seek(start)
                return sound.read(count, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise DataError(
                f"{self.path} is damaged or cut short at sample {start} ({one_line(error)})."
            ) from None

    @property
    def present(self) -> tuple[Column, ...]:
        """Every channel, named by its number."""
        return tuple(Column(name=str(number), n_samples=self.n_samples) for number in range(self.n_channels))

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self._info[0]

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return self._info[1]

    @property
    def sampling_rate_hz(self) -> float:
        """The rate that the file's header states."""
        return float(self._info[2])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 of shape (channels, stop - start)."""
        start, stop = checked_range(start, stop, self.n_samples, self.path)
        frames = self._frames(start, stop - start)
        if len(frames) != stop - start:
            raise DataError(
                f"{self.path} is cut short: it ends at sample {start + len(frames)}. Copy it again."
            )
        return np.ascontiguousarray(frames.T)

    def raw(self, number: int, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` of a channel."""
        return self.read(start, stop)[number]


def _require_whole(path: Path) -> None:
    """Check that a RIFF file holds as many bytes of samples as its header says."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(4) != b"RIFF":
            return
        position = 12
        while position + 8 <= size:
            stream.seek(position)
            name, length = struct.unpack("<4sI", stream.read(8))
            if name == b"data":
                if length not in _UNKNOWN_LENGTHS and position + 8 + length > size:
                    raise DataError(
                        f"{path} is cut short: its header tells of {length} bytes of samples, "
                        f"{size - position - 8} are there. Copy it again."
                    )
                return
            position += 8 + length + length % 2
