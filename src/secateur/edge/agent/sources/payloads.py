"""Bursts, or parts of bursts, as messages: JSON, and raw numbers behind a short header."""

from __future__ import annotations

import codecs
import json
import math
import struct
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from secateur.core.errors import DataError

MOST_SAMPLES = 1 << 22
MOST_PARTS = 4096
TOO_LONG, LEAST_REFUSED = 4, 1 << 16
_COMMAS_BESIDE = 64
"""Of a JSON message, beside those of its samples."""

LATEST_UNIX_S = 1e11
"""The year 5138: what tells a later time tells milliseconds or nonsense."""

MAGIC = b"SVB1"
_HEADER = struct.Struct("<4sBBHHxxqddff8s")
HEADER_BYTES = _HEADER.size
_TYPES: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 1: np.dtype("<i2")}

Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A burst, or one of several parts of it.

    Attributes
    ----------
    samples : ndarray of float32, shape (n,)
    part, parts : int
        Place among the parts, and how many there are.
    number, measured_unix_s, sampling_rate_hz, speed_rpm, unit, key
        As in :class:`~secateur.edge.agent.burst.Burst`; None where the sender does not say.
    """

    samples: np.ndarray
    part: int = 0
    parts: int = 1
    number: int | None = None
    measured_unix_s: float | None = None
    sampling_rate_hz: float | None = None
    speed_rpm: float | None = None
    unit: str | None = None
    key: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.part < self.parts <= MOST_PARTS:
            raise DataError(
                f"part {self.part} of {self.parts}; parts count from 0, and there are at most {MOST_PARTS}."
            )
        if self.parts > 1 and self.number is None and not self.key:
            raise DataError("a part of a burst must carry the number of its burst, or its key.")
        if len(self.samples) > MOST_SAMPLES:
            raise DataError(f"{len(self.samples)} samples; a burst has at most {MOST_SAMPLES}.")
        if self.measured_unix_s is not None and not 0 <= self.measured_unix_s <= LATEST_UNIX_S:
            raise DataError(f"a time of {self.measured_unix_s:g} s since 1970 was given; milliseconds?")


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")

    samples: list[Annotated[float, Field(strict=True)] | None] = Field(max_length=MOST_SAMPLES)
    sampling_rate_hz: Finite | None = Field(default=None, gt=0)
    unit: str | None = Field(default=None, max_length=16)
    measured_unix_s: Finite | None = None
    speed_rpm: Finite | None = None
    number: int | None = Field(default=None, ge=0, lt=1 << 62)
    key: str = Field(default="", max_length=64, pattern=r"^[A-Za-z0-9._:-]*$")
    part: int = Field(default=0, ge=0)
    parts: int = Field(default=1, ge=1)


def most_samples(burst_samples: int) -> int:
    """Return how many samples are read for a sensor.

    A burst of a wrong length is told as such, up to four times its length; what holds more is not read at
    all, since one message could take all memory.
    """
    return min(MOST_SAMPLES, max(TOO_LONG * burst_samples, LEAST_REFUSED))


def require_few(count: int, most: int) -> None:
    """Check the number of samples before they are read.

    Raises
    ------
    DataError
        If there are too many.
    """
    if count > most:
        raise DataError(f"more than {most} samples; that is far more than is taken at once.")


def from_json(content: bytes, most: int = MOST_SAMPLES) -> Piece:
    """Read a JSON message: ``samples``, and what else is known; null is a missing sample.

    Parameters
    ----------
    content : bytes
    most : int
        Of samples; a message with more is not read.

    Raises
    ------
    DataError
        If it is not such a message.
    """
    require_few(content.count(b",") - _COMMAS_BESIDE, most)
    try:
        message = _Message.model_validate_json(content.removeprefix(codecs.BOM_UTF8))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the message"
        raise DataError(f"{place}: {first['msg']}.") from None
    values = message.model_dump()
    samples = np.array([math.nan if value is None else value for value in message.samples], dtype=np.float64)
    return Piece(**values | {"samples": _single(samples)})


def to_json(piece: Piece) -> bytes:
    """Return the JSON message of a piece."""
    samples = [None if math.isnan(value) else value for value in piece.samples.tolist()]
    values = {name: getattr(piece, name) for name in Piece.__dataclass_fields__}
    return json.dumps(
        {name: v for name, v in (values | {"samples": samples}).items() if v not in (None, "")}
    ).encode()


def from_raw(content: bytes, most: int = MOST_SAMPLES) -> Piece:
    """Read a raw message: a header of 52 bytes, little endian, then at most so many float32 or int16 samples.

    The header: ``SVB1``; type (0 float32, 1 int16); 0; part; parts; two bytes of 0; number as int64, -1 for
    none; time of the first sample and sampling rate as float64; speed in rpm and scale of int16 samples as
    float32 (NaN: not said); unit in 8 bytes of ASCII, padded with zeros.

    Raises
    ------
    DataError
        If it is not such a message.
    """
    if len(content) < HEADER_BYTES or content[:4] != MAGIC:
        raise DataError(f"a raw message starts with SVB1 and a header of {HEADER_BYTES} bytes.")
    _, kind, zero, part, parts, number, measured, rate, speed, scale, unit = _HEADER.unpack_from(content)
    dtype = _TYPES.get(kind)
    if dtype is None or zero != 0:
        raise DataError(f"sample type {kind}; allowed: 0 (float32) and 1 (int16).")
    body = content[HEADER_BYTES:]
    if len(body) % dtype.itemsize:
        raise DataError(
            f"{len(body)} bytes of samples are no whole number of {dtype.name} samples; cut short?"
        )
    require_few(len(body) // dtype.itemsize, most)
    with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
        samples = np.frombuffer(body, dtype=dtype).astype(np.float64)
    if kind == 1:
        if not (math.isfinite(scale) and scale > 0):
            raise DataError(f"int16 samples need a positive scale; {scale} was given.")
        samples *= scale
    try:
        word = unit.rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError:
        raise DataError("the unit is not ASCII text.") from None
    return Piece(
        samples=_single(samples),
        part=part,
        parts=parts,
        number=None if number < 0 else number,
        measured_unix_s=_said(measured),
        sampling_rate_hz=_said(rate),
        speed_rpm=_said(speed),
        unit=word or None,
    )


def to_raw(piece: Piece, *, scale: float | None = None) -> bytes:
    """Return the raw message of a piece: float32, or int16 steps of ``scale``."""
    if scale is None:
        body, kind = piece.samples.astype("<f4").tobytes(), 0
    else:
        body, kind = np.clip(np.rint(piece.samples / scale), -32768, 32767).astype("<i2").tobytes(), 1
    header = _HEADER.pack(
        MAGIC,
        kind,
        0,
        piece.part,
        piece.parts,
        -1 if piece.number is None else piece.number,
        _or_nan(piece.measured_unix_s),
        _or_nan(piece.sampling_rate_hz),
        _or_nan(piece.speed_rpm),
        1.0 if scale is None else scale,
        (piece.unit or "").encode("ascii")[:8],
    )
    return header + body


def _single(samples: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return samples.astype(np.float32)


def _said(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
