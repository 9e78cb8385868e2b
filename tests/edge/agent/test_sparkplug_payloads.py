"""Bytes of Sparkplug payloads."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secateur.edge.agent.sparkplug.codec import DataType, Metric, Payload, decode, encode

VALUES = st.one_of(
    st.tuples(st.just(DataType.INT64), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(DataType.INT8), st.integers(-128, 127)),
    st.tuples(st.just(DataType.UINT32), st.integers(0, 2**32 - 1)),
    st.tuples(st.just(DataType.DOUBLE), st.floats(allow_nan=False)),
    st.tuples(st.just(DataType.FLOAT), st.floats(allow_nan=False, width=32)),
    st.tuples(st.just(DataType.BOOLEAN), st.booleans()),
    st.tuples(st.just(DataType.STRING), st.text(max_size=20)),
    st.tuples(st.just(DataType.BYTES), st.binary(max_size=20)),
    st.tuples(st.sampled_from(DataType), st.none()),
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(VALUES, max_size=8), st.integers(0, 255), st.booleans())
def test_sparkplug_round_trip(values: list[tuple[DataType, object]], seq: int, historical: bool) -> None:
    metrics = tuple(
        Metric(name=f"m/{n}", alias=n, value=value, datatype=kind, timestamp_ms=n, historical=historical)
        for n, (kind, value) in enumerate(values)
    )
    payload = Payload(metrics=metrics, seq=seq, timestamp_ms=123)
    assert decode(encode(payload, with_names=True)) == payload


def test_known_bytes_of_a_birth() -> None:
    """Field numbers and wire types as the specification has them, written out by hand."""
    payload = Payload(
        metrics=(Metric(name="bdSeq", value=2, datatype=DataType.INT64),), seq=0, timestamp_ms=1
    )
    metric = b"\x0a\x05bdSeq" + b"\x20\x04" + b"\x58\x02"
    assert (
        encode(payload, with_names=True)
        == b"\x08\x01" + b"\x12" + bytes([len(metric)]) + metric + b"\x18\x00"
    )
