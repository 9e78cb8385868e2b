"""Sparkplug B payloads to and from plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from secateur.core.errors import DataError
from secateur.edge.agent.sparkplug.schema import ARRAYS, DataType, PayloadMessage

Value = int | float | bool | str | bytes | None

MOST_METRICS = 10_000
_SIGNED_BITS = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_SMALL = (DataType.INT8, DataType.INT16, DataType.INT32, DataType.UINT8, DataType.UINT16, DataType.UINT32)
_LARGE = (DataType.INT64, DataType.UINT64, DataType.DATE_TIME)
_PACKED = (DataType.BYTES, *ARRAYS)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    Attributes
    ----------
    name : str or None
        None where an alias stands for it.
    alias : int or None
    value : int, float, bool, str, bytes or None
        None is null.
    datatype : DataType or None
        None in data that leave it to the birth.
    timestamp_ms : int or None
        Since 1970.
    historical : bool
    """

    name: str | None
    value: Value
    datatype: DataType | None
    alias: int | None = None
    timestamp_ms: int | None = None
    historical: bool = False


@dataclass(frozen=True, kw_only=True)
class Payload:
    """A message: metrics, and its place in the sequence (None in an NDEATH)."""

    metrics: tuple[Metric, ...]
    seq: int | None
    timestamp_ms: int | None


def type_of(value: Value) -> DataType:
    """Return the type in which a plain value is sent."""
    if isinstance(value, bool):
        return DataType.BOOLEAN
    if isinstance(value, int):
        return DataType.INT64
    if isinstance(value, float):
        return DataType.DOUBLE
    return DataType.BYTES if isinstance(value, bytes) else DataType.STRING


def encode(payload: Payload, *, with_names: bool) -> bytes:
    """Return the bytes of a payload; a birth has names and types, data have aliases alone."""
    message = PayloadMessage()
    if payload.timestamp_ms is not None:
        message.timestamp = payload.timestamp_ms
    if payload.seq is not None:
        message.seq = payload.seq
    for metric in payload.metrics:
        entry = message.metrics.add()
        if metric.name is not None and (with_names or metric.alias is None):
            entry.name = metric.name
        if metric.alias is not None:
            entry.alias = metric.alias
        if metric.timestamp_ms is not None:
            entry.timestamp = metric.timestamp_ms
        if metric.datatype is not None:
            entry.datatype = int(metric.datatype)
        if metric.historical:
            entry.is_historical = True
        _put(entry, metric)
    return message.SerializeToString()


def _put(entry: object, metric: Metric) -> None:
    value, kind = metric.value, metric.datatype
    if value is None:
        entry.is_null = True  # type: ignore[attr-defined]
    elif kind in _SMALL:
        entry.int_value = int(value) & 0xFFFFFFFF  # type: ignore[attr-defined]
    elif kind in _LARGE:
        entry.long_value = int(value) & 0xFFFFFFFFFFFFFFFF  # type: ignore[attr-defined]
    elif kind is DataType.FLOAT:
        entry.float_value = float(value)  # type: ignore[attr-defined]
    elif kind is DataType.DOUBLE:
        entry.double_value = float(value)  # type: ignore[attr-defined]
    elif kind is DataType.BOOLEAN:
        entry.boolean_value = bool(value)  # type: ignore[attr-defined]
    elif kind in _PACKED:
        entry.bytes_value = bytes(value)  # type: ignore[attr-defined, arg-type]
    else:
        entry.string_value = str(value)  # type: ignore[attr-defined]


def decode(content: bytes) -> Payload:
    """Read a payload.

    Raises
    ------
    DataError
        If it is not one.
    """
    message = PayloadMessage()
    try:
        _require_few_fields(content)
        message.ParseFromString(content)
    except (DecodeError, IndexError):
        raise DataError("the message is no Sparkplug B payload, or is cut short.") from None
    return Payload(
        metrics=tuple(_metrics(message.metrics)),
        seq=message.seq if message.HasField("seq") else None,
        timestamp_ms=message.timestamp if message.HasField("timestamp") else None,
    )


def _require_few_fields(content: bytes) -> None:
    """Count what lies side by side in a message before it is read: each metric takes far more memory then."""
    at, found = 0, 0
    while at < len(content):
        found += 1
        if found > MOST_METRICS:
            raise DataError(f"more than {MOST_METRICS} metrics in one payload; that many are not read.")
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(content, at)
        elif kind == 2:
            length, at = _varint(content, at)
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise DecodeError


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends."""
    value = 0
    for place in range(10):
        byte = content[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise DecodeError


def _metrics(entries: Iterable[object]) -> Iterable[Metric]:
    for entry in entries:
        code = entry.datatype  # type: ignore[attr-defined]
        try:
            kind = DataType(code) if code else None
        except ValueError:
            continue  # a type that the agent has no use for
        yield Metric(
            name=entry.name if entry.HasField("name") else None,  # type: ignore[attr-defined]
            alias=entry.alias if entry.HasField("alias") else None,  # type: ignore[attr-defined]
            value=_value(entry, kind),
            datatype=kind,
            timestamp_ms=entry.timestamp if entry.HasField("timestamp") else None,  # type: ignore[attr-defined]
            historical=entry.is_historical,  # type: ignore[attr-defined]
        )


def _value(entry: object, kind: DataType | None) -> Value:
    """Return the value in whichever field it was sent."""
    if entry.is_null:  # type: ignore[attr-defined]
        return None
    for field in ("int_value", "long_value", "float_value", "double_value", "boolean_value", "string_value"):
        if entry.HasField(field):  # type: ignore[attr-defined]
            return signed(getattr(entry, field), kind)
    return entry.bytes_value if entry.HasField("bytes_value") else None  # type: ignore[attr-defined, no-any-return]


def signed(value: Value, kind: DataType | None) -> Value:
    """Return a number of a signed type; on the wire integers have no sign, whatever their type."""
    bits = None if kind is None else _SIGNED_BITS.get(kind)
    if bits is None or not isinstance(value, int) or isinstance(value, bool):
        return value
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >= 1 << (bits - 1) else value
