"""One channel of a WAV file: integers of 8 to 32 bits, or floating point; NumPy alone."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.errors import DataError

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF)
"""What recorders write that do not know yet how long the recording will be."""


@dataclass(frozen=True, kw_only=True)
class WavChannel:
    """Samples as they are stored, the factor that brings integers to -1...1, and what the file says."""

    samples: np.ndarray
    scale: float
    sampling_rate_hz: float
    channels: int


def read_wav(path: Path, channel: int = 0) -> WavChannel:
    """Read one channel; the samples stay on the disk where their format allows.

    Raises
    ------
    DataError
        If it is no WAV file, is cut short, or has no such channel.
    """
    form, at, length = _chunks(path)
    kind, channels, rate_hz, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", form)
    if kind == _EXTENSIBLE and len(form) >= 26:
        kind = struct.unpack_from("<H", form, 24)[0]
    if not 0 <= channel < channels:
        raise DataError(f"{path} has {channels} channels; channel {channel} was asked for.")
    width = bits // 8
    if rate_hz == 0 or bits % 8 or frame_bytes != width * channels or (kind, width) not in _FORMATS:
        raise DataError(
            f"{path} holds samples of kind {kind} with {bits} bits; allowed: integers of 8, 16, 24 and 32 "
            "bits, floating point of 32 and 64."
        )
    frames = length // frame_bytes
    if frames == 0:
        raise DataError(f"{path} holds no samples.")
    dtype, scale = _FORMATS[kind, width]
    stored = np.memmap(path, dtype, mode="r", offset=at, shape=(frames * frame_bytes // dtype.itemsize,))
    if width == 3:
        places = stored.reshape(frames, channels, 3)[:, channel].astype(np.int32)
        samples = ((places[:, 2] << 24) | (places[:, 1] << 16) | (places[:, 0] << 8)) >> 8
    else:
        samples = stored[channel::channels]
        if width == 1:
            samples = samples.astype(np.int16) - 128  # bytes count from 128
    return WavChannel(samples=samples, scale=scale, sampling_rate_hz=float(rate_hz), channels=channels)


_FORMATS: dict[tuple[int, int], tuple[np.dtype[Any], float]] = {
    (_PCM, 1): (np.dtype("u1"), 2.0**-7),
    (_PCM, 2): (np.dtype("<i2"), 2.0**-15),
    (_PCM, 3): (np.dtype("u1"), 2.0**-23),
    (_PCM, 4): (np.dtype("<i4"), 2.0**-31),
    (_FLOAT, 4): (np.dtype("<f4"), 1.0),
    (_FLOAT, 8): (np.dtype("<f8"), 1.0),
}


def _chunks(path: Path) -> tuple[bytes, int, int]:
    """Return the description of the samples, where they start, and how many bytes they take."""
    size, form = path.stat().st_size, b""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            raise DataError(f"{path} is no WAV file.")
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            if name == b"fmt ":
                form = file.read(min(length, 64))
                file.seek(length - len(form), 1)
            elif name == b"data":
                left = size - file.tell()
                if len(form) < 16 or (length > left and length not in _UNKNOWN_LENGTHS):
                    raise DataError(f"{path} is cut short. Copy it again.")
                return form, file.tell(), left if length in _UNKNOWN_LENGTHS else length
            else:
                file.seek(length, 1)
            file.seek(length % 2, 1)
    raise DataError(f"{path} is cut short: it holds no samples. Copy it again.")
