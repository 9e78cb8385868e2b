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

_STREAMED = 0xFFFFFFFF
"""What is written for a length that is not known yet; the samples then go to the end of the file."""

_LOOKED_AT = 4096


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
        _require_whole(self.path, info.extra_info)
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
        n_channels, n_samples, rate = self._info
        return tuple(
            Column(name=str(number), n_samples=n_samples, sampling_rate_hz=float(rate))
            for number in range(n_channels)
        )

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self._info[0]

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return self._info[1]

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


def _require_whole(path: Path, found: str) -> None:
    """Check that a file holds as many bytes of samples as its header says.

    ``found`` is what the library tells of the header; of a RIFF file it does not tell which part is short.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(4) != b"RIFF":
            if "(should be" in found:
                raise DataError(f"{path} is cut short: its header tells of a longer file. Copy it again.")
            return
        position = 12
        while position + 8 <= size:
            stream.seek(position)
            name, length = struct.unpack("<4sI", stream.read(8))
            position += 8
            if name == b"data":
                break
            position += length + length % 2
        else:
            return
        if length == _STREAMED:
            return
        if position + length > size:
            raise DataError(
                f"{path} is cut short: its header tells of {length} bytes of samples, {size - position} are "
                "there. Copy it again."
            )
        stream.seek(position + length)
        behind = stream.read(_LOOKED_AT)
        if len(behind) > 8 and any(behind) and not any(_is_name(behind[at : at + 4]) for at in (0, 1)):
            raise DataError(
                f"{path}: its header tells of {length} bytes of samples, but {size - position} are there, as "
                "after a recording that was broken off or is larger than 4 GiB. Save it anew from its "
                "recorder, or as RF64, FLAC or NPY."
            )


def _is_name(sign: bytes) -> bool:
    """Say whether four bytes can be the name of a part of a RIFF file."""
    return all(0x20 <= byte < 0x7F for byte in sign)
