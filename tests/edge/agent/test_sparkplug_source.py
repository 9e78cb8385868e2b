"""Bursts from Sparkplug edge nodes, through a real broker and without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent_machines import linked_config, until
from mosquitto import Mosquitto
from mqtt_consumer import Consumer
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.intake import IntakeFull, Submission
from secateur.edge.agent.sparkplug.codec import DataType, Metric, Payload, decode, encode


@pytest.mark.parametrize(
    ("datatype", "dtype", "scale"),
    [
        (DataType.FLOAT_ARRAY, "<f4", None),
        (DataType.DOUBLE_ARRAY, "<f8", None),
        (DataType.BYTES, "<f4", None),
        (DataType.INT8_ARRAY, "<i1", 0.5),
        (DataType.INT16_ARRAY, "<i2", 0.5),
        (DataType.INT32_ARRAY, "<i4", 0.5),
        (DataType.INT64_ARRAY, "<i8", 0.5),
        (DataType.UINT16_ARRAY, "<u2", 0.5),
    ],
)
def test_waveforms_of_the_types_that_sparkplug_has(
    tmp_path: Path, datatype: DataType, dtype: str, scale: float | None
) -> None:
    agent = Agent(linked_config(tmp_path, [{"type": "mqtt", "topic": "works", "payload": "sparkplug"}], []))
    (source,) = agent.sources
    taken: list[Burst] = []
    source._inlet = replace(source._inlet, submit=lambda submission: taken.append(submission.burst))
    values = np.array([1, 2, 100], dtype=dtype) * (1 if dtype == "<u2" else -1)
    metrics = [Metric(name="samples", value=values.tobytes(), datatype=datatype)]
    if scale is not None:
        metrics.append(Metric(name="scale", value=scale, datatype=DataType.DOUBLE))
    content = encode(Payload(metrics=tuple(metrics), seq=0, timestamp_ms=5000), with_names=True)
    source._take_sparkplug("spBv1.0/works/DDATA/pump/drive-end", content, (1, 1, 0))
    assert taken[0].samples.tolist() == (values.astype(float) * (scale or 1.0)).tolist()
    assert taken[0].measured_unix_s == 5.0
    if scale is not None:
        bare = encode(Payload(metrics=(metrics[0],), seq=1, timestamp_ms=5000), with_names=True)
        source._take_sparkplug("spBv1.0/works/DDATA/pump/drive-end", bare, (2, 1, 0))
        assert "need a metric 'scale'" in source.status()["last_refusal"]
    words = Metric(name="samples", value="1, 2", datatype=DataType.STRING)
    content = encode(Payload(metrics=(words,), seq=2, timestamp_ms=5000), with_names=True)
    source._take_sparkplug("spBv1.0/works/DDATA/pump/drive-end", content, (3, 1, 0))
    assert "'samples' is str" in source.status()["last_refusal"]
    assert len(taken) == 1
    agent.stop()


def _source(broker: Mosquitto) -> dict[str, Any]:
    return {"type": "mqtt", "port": broker.port, "topic": "works", "payload": "sparkplug"}


def _waveform(burst: Burst, *, seq: int, at_ms: int) -> bytes:
    samples = burst.samples.tobytes()
    metric = Metric(name=None, alias=7, value=samples, datatype=DataType.BYTES, timestamp_ms=at_ms)
    return encode(Payload(metrics=(metric,), seq=seq, timestamp_ms=1), with_names=False)


def _births(bdseq: int) -> list[tuple[str, bytes]]:
    number = Metric(name="bdSeq", value=bdseq, datatype=DataType.INT64)
    born = Metric(name="samples", alias=7, value=None, datatype=DataType.BYTES)
    node = Payload(metrics=(number,), seq=0, timestamp_ms=1)
    device = Payload(metrics=(born,), seq=1, timestamp_ms=1)
    return [
        ("spBv1.0/works/NBIRTH/pump", encode(node, with_names=True)),
        ("spBv1.0/works/DBIRTH/pump/drive-end", encode(device, with_names=True)),
    ]


DATA_TOPIC = "spBv1.0/works/DDATA/pump/drive-end"


def test_sparkplug_as_a_source(broker: Mosquitto, tmp_path: Path, make_burst: Callable[..., Burst]) -> None:
    agent = Agent(linked_config(tmp_path, [_source(broker)], [{"type": "csv", "folder": "log"}]))
    agent.start()
    consumer = Consumer(broker.port, "spBv1.0/works/NCMD/#")
    until(lambda: agent.sources[0].status()["connected"])
    at_ms = 1_700_000_000_000
    consumer.publish("spBv1.0/works/DDATA/fan/drive-end", b"of another machine")
    named = Metric(name="samples", value=b"1234", datatype=DataType.BYTES)
    nameless = encode(Payload(metrics=(named,), seq=6, timestamp_ms=1), with_names=True)
    consumer.publish("spBv1.0/works/DDATA/pump", nameless)  # which belongs to no device
    for number in range(3):  # before any birth: more than the broker may leave unacknowledged
        consumer.publish(DATA_TOPIC, _waveform(make_burst(number), seq=number + 7, at_ms=at_ms + number))
    consumer.wait(lambda found: len(found) == 1)
    (command,) = consumer.messages
    assert decode(command.payload).metrics[0].name == "Node Control/Rebirth"
    until(lambda: agent.sources[0].status()["open_bursts"] == 3)
    assert agent.intake.counts["taken"] == 0
    for topic, content in _births(3):
        consumer.publish(topic, content)
    late = Metric(name="bdSeq", value=2, datatype=DataType.INT64)
    late_death = encode(Payload(metrics=(late,), seq=None, timestamp_ms=1), with_names=True)
    consumer.publish("spBv1.0/works/NDEATH/pump", late_death)  # of the former session
    consumer.publish(DATA_TOPIC, _waveform(make_burst(3), seq=2, at_ms=at_ms + 3))
    until(lambda: agent.intake.counts["taken"] == 4)
    result = agent.paths["pump", "drive-end"].view.result
    assert result["measured_unix_s"] == pytest.approx(1.7e9 + 0.003)
    assert result["indicators"]["rms"] == pytest.approx(float(np.std(make_burst(3).samples)), rel=1e-4)
    counts = agent.sources[0].status()["counts"]
    assert counts["bursts"] == 4
    assert (counts["late deaths"], counts["of no sensor"], counts["rebirths asked for"]) == (1, 2, 1)
    assert not {"waited for a birth in vain", "refused"} & set(counts)
    agent.stop()
    consumer.close()


def test_bursts_that_came_while_the_agent_was_away_are_named_by_the_rebirth(
    broker: Mosquitto, tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    """More of them than acknowledgements may be held back; none is lost, none comes twice."""
    config = linked_config(tmp_path, [_source(broker)], [{"type": "csv", "folder": "log"}])
    first = Agent(config)
    first.start()
    until(lambda: first.sources[0].status()["connected"])
    first.stop()
    gateway = Consumer(broker.port, "spBv1.0/works/NCMD/#")
    at_ms = 1_700_000_000_000
    for number in range(30):
        gateway.publish(DATA_TOPIC, _waveform(make_burst(number), seq=number + 2, at_ms=at_ms + number))
    agent = Agent(config)
    agent.start()
    gateway.wait(lambda found: len(found) >= 1)
    until(lambda: agent.sources[0].status()["open_bursts"] == 30)
    for topic, content in _births(1):
        gateway.publish(topic, content)
    until(lambda: agent.intake.counts["taken"] == 30)
    assert agent.intake.drain()
    times = [row["start_unix_s"] for row in agent.trends.read("pump", "drive-end")]
    assert times == [pytest.approx(1.7e9 + number / 1e3) for number in range(30)]
    agent.stop()
    gateway.close()


def test_what_waited_is_acknowledged_once_it_is_stored_and_comes_again_where_there_is_no_room(
    tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    """Numbers of messages that are not acknowledged are what the broker gives again."""
    agent = Agent(linked_config(tmp_path, [{"type": "mqtt", "topic": "works", "payload": "sparkplug"}], []))
    (source,) = agent.sources
    acknowledged: list[int] = []
    source._client.ack = lambda mid, _: acknowledged.append(mid)
    source._client.publish = lambda *_, **__: None
    source._reconnect = lambda: None
    submitted: list[Submission] = []

    def submit(submission: Submission) -> None:
        if len(submitted) == 2:
            raise IntakeFull("too many wait")
        submitted.append(submission)

    source._inlet = replace(source._inlet, submit=submit)

    def come(mid: int, topic: str, content: bytes, qos: int = 1) -> None:
        source._on_message(None, None, SimpleNamespace(mid=mid, qos=qos, topic=topic, payload=content))

    at_ms = 1_700_000_000_000
    for number in range(4):
        come(number, DATA_TOPIC, _waveform(make_burst(number), seq=number + 2, at_ms=at_ms + number))
    assert (acknowledged, source.status()["open_bursts"]) == ([], 4)
    for mid, (topic, content) in enumerate(_births(1), start=10):
        come(mid, topic, content)
    assert acknowledged == [10]  # the birth of the device brought more than there is room for
    for submission in submitted:
        submission.done(None)
    assert acknowledged == [10, 0, 1]
    assert source.status()["counts"]["turned away"] == 2
    assert source.status()["open_bursts"] == 0
    assert source._held == {}
    agent.stop()


def test_bursts_that_a_node_kept_come_in_one_message_each_with_its_own_time_and_speed(tmp_path: Path) -> None:
    agent = Agent(linked_config(tmp_path, [{"type": "mqtt", "topic": "works", "payload": "sparkplug"}], []))
    (source,) = agent.sources
    acknowledged: list[int] = []
    source._client.ack = lambda mid, _: acknowledged.append(mid)
    submitted: list[Submission] = []
    source._inlet = replace(source._inlet, submit=submitted.append)

    def metric(name: str, value: object, at_ms: int, datatype: DataType) -> Metric:
        return Metric(name=name, value=value, datatype=datatype, timestamp_ms=at_ms, historical=True)

    kept = [
        metric(name, value, at_ms, datatype)
        for at_ms, number in ((1_700_000_001_000, 1), (1_700_000_002_000, 2), (1_700_000_003_000, 3))
        for name, value, datatype in (
            ("samples", np.full(number, number, "<f4").tobytes(), DataType.FLOAT_ARRAY),
            ("speed_rpm", 1000.0 + number, DataType.DOUBLE),
            ("number", number, DataType.INT64),
        )
    ]
    kept[6] = metric("samples", b"123", 1_700_000_003_000, DataType.FLOAT_ARRAY)  # the last is cut short
    unit = Metric(name="unit", value="g", datatype=DataType.STRING)
    content = encode(Payload(metrics=(*kept, unit), seq=3, timestamp_ms=1_700_000_009_000), with_names=True)
    source._on_message(None, None, SimpleNamespace(mid=5, qos=1, topic=DATA_TOPIC, payload=content))
    said = [
        (b.measured_unix_s - 1.7e9, b.number, b.speed_rpm, b.unit, len(b.samples))
        for b in (submission.burst for submission in submitted)
    ]
    assert said == [(1.0, 1, 1001.0, "g", 1), (2.0, 2, 1002.0, "g", 2)]
    assert source.status()["counts"]["refused"] == 1
    submitted[0].done(None)
    assert acknowledged == []
    submitted[1].done(None)
    assert acknowledged == [5]
    agent.stop()
