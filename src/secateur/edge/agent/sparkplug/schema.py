"""The Sparkplug B payload as a protobuf message, described here field by field.

Field numbers and data types are those of the Sparkplug specification 3.0, section 6.4. Fields that the agent
neither writes nor reads (data sets, templates, metadata) are left out; protobuf passes over them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "secateur.sparkplug"
_F = descriptor_pb2.FieldDescriptorProto


class DataType(IntEnum):
    """Types of metrics."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATE_TIME = 13
    TEXT = 14
    BYTES = 17
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31


ARRAYS: dict[DataType, np.dtype[Any]] = {
    DataType.INT8_ARRAY: np.dtype("<i1"),
    DataType.INT16_ARRAY: np.dtype("<i2"),
    DataType.INT32_ARRAY: np.dtype("<i4"),
    DataType.INT64_ARRAY: np.dtype("<i8"),
    DataType.UINT8_ARRAY: np.dtype("<u1"),
    DataType.UINT16_ARRAY: np.dtype("<u2"),
    DataType.UINT32_ARRAY: np.dtype("<u4"),
    DataType.UINT64_ARRAY: np.dtype("<u8"),
    DataType.FLOAT_ARRAY: np.dtype("<f4"),
    DataType.DOUBLE_ARRAY: np.dtype("<f8"),
}
"""How the numbers of an array lie in its bytes."""


_METRIC = (
    ("name", 1, _F.TYPE_STRING),
    ("alias", 2, _F.TYPE_UINT64),
    ("timestamp", 3, _F.TYPE_UINT64),
    ("datatype", 4, _F.TYPE_UINT32),
    ("is_historical", 5, _F.TYPE_BOOL),
    ("is_transient", 6, _F.TYPE_BOOL),
    ("is_null", 7, _F.TYPE_BOOL),
    ("int_value", 10, _F.TYPE_UINT32),
    ("long_value", 11, _F.TYPE_UINT64),
    ("float_value", 12, _F.TYPE_FLOAT),
    ("double_value", 13, _F.TYPE_DOUBLE),
    ("boolean_value", 14, _F.TYPE_BOOL),
    ("string_value", 15, _F.TYPE_STRING),
    ("bytes_value", 16, _F.TYPE_BYTES),
)
_PAYLOAD = (
    ("timestamp", 1, _F.TYPE_UINT64),
    ("seq", 3, _F.TYPE_UINT64),
    ("uuid", 4, _F.TYPE_STRING),
    ("body", 5, _F.TYPE_BYTES),
)


def _described() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="secateur/sparkplug_b.proto", package=_PACKAGE, syntax="proto2"
    )
    metric, payload = file.message_type.add(name="Metric"), file.message_type.add(name="Payload")
    for message, fields in ((metric, _METRIC), (payload, _PAYLOAD)):
        for name, number, kind in fields:
            message.field.add(name=name, number=number, type=kind, label=_F.LABEL_OPTIONAL)
    payload.field.add(
        name="metrics",
        number=2,
        type=_F.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.Metric",
        label=_F.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


PayloadMessage: Any = _described()
