"""WAV and other sound files, read by block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile

from secateur.core.errors import DataError
from secateur.signals.sources.orientation import checked_range


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
        if not self.path.exists():
            raise DataError(f"{self.path} is missing.")
        try:
            info = soundfile.info(self.path)
        except soundfile.LibsndfileError as error:
            raise DataError(f"{self.path} is not a sound file that can be read ({error}).") from None
        return info.channels, info.frames, info.samplerate

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
        with soundfile.SoundFile(self.path) as sound:
            sound.seek(start)
            return np.ascontiguousarray(sound.read(stop - start, dtype="float32", always_2d=True).T)
