"""Sparkplug B through a real broker, as an edge node and as a host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from agent_machines import linked_config, record, until
from mosquitto import Mosquitto
from mqtt_consumer import Consumer
from secateur.core.errors import DataError
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.connections import SparkplugSink as SparkplugSettings
from secateur.edge.agent.intake import Submission
from secateur.edge.agent.sinks.mqtt_session import Message
from secateur.edge.agent.sinks.sparkplug import SparkplugSink
from secateur.edge.agent.sparkplug.codec import DataType, Metric, Payload, decode, encode
from secateur.edge.agent.sparkplug.host import Host
from secateur.edge.agent.sparkplug.metrics import Aliases


def test_sparkplug_births_data_rebirth_and_death(
    broker: Mosquitto, tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    consumer = Consumer(broker.port, "spBv1.0/works/#")
    sink = {"type": "sparkplug", "port": broker.port, "group": "works", "node": "gateway"}
    config = linked_config(tmp_path, [], [sink])
    for session in range(2):
        agent = Agent(config)
        agent.start()
        base = 10 * session
        agent.intake.submit(Submission(burst=make_burst(base)))
        wait_for_kind(consumer, "DDATA", 2 * session + 1)
        if session == 1:
            rebirth = Metric(name="Node Control/Rebirth", value=True, datatype=DataType.BOOLEAN)
            content = encode(Payload(metrics=(rebirth,), seq=None, timestamp_ms=1), with_names=True)
            consumer.publish("spBv1.0/works/NCMD/gateway", content)
            wait_for_kind(consumer, "NBIRTH", 3)
        agent.intake.submit(Submission(burst=make_burst(base + 1)))
        wait_for_kind(consumer, "DDATA", 2 * session + 2)
        agent.stop()
        wait_for_kind(consumer, "NDEATH", session + 1)
    host, numbers, bdseqs = Host(), [], []
    for message in consumer.messages:
        kind = message.topic.split("/")[2]
        if kind == "NCMD":
            continue
        payload = decode(message.payload)
        if kind == "NBIRTH":
            assert payload.seq == 0
            bdseqs.append(next(m.value for m in payload.metrics if m.name == "bdSeq"))
        metrics, rebirth_wanted = host.take(kind, "gateway", payload)
        assert not rebirth_wanted
        if kind == "DDATA":
            assert all(metric.name is None for metric in payload.metrics)
            values = {metric.name: metric.value for metric in metrics}
            numbers.append(values["number"])
            assert values["indicators/rms"] == pytest.approx(0.3, rel=0.1)
            assert values["bearing/level"] == "normal"
    assert numbers == [0, 1, 10, 11]
    assert bdseqs == [0, 1, 1]
    assert host.counts == {}
    assert not host.is_alive("gateway")
    consumer.close()


def test_a_value_that_was_null_at_birth_is_born_again_with_its_type() -> None:
    aliases = Aliases()
    aliases.learn("pump:a", {"speed/rpm": None})
    assert aliases.knows("pump:a", {"speed/rpm": None})
    values = {"speed/rpm": 1480.0}
    assert not aliases.knows("pump:a", values)
    aliases.learn("pump:a", values)
    metric = aliases.metric("pump:a", "speed/rpm", 1480.0, timestamp_ms=1)
    assert (metric.value, metric.datatype, metric.alias) == (1480.0, DataType.DOUBLE, 1)


def _payload(seq: int, *metrics: Metric) -> Payload:
    return Payload(metrics=metrics, seq=seq, timestamp_ms=1)


def test_a_value_holds_until_it_is_sent_again_and_has_the_type_of_its_birth() -> None:
    host = Host(staying=("speed_rpm",))
    host.take("NBIRTH", "n", _payload(0, Metric(name="bdSeq", value=1, datatype=DataType.INT64)))
    born = Metric(name="speed_rpm", alias=4, value=1500, datatype=DataType.INT32)
    host.take("DBIRTH", "n", _payload(1, born), device="d")
    assert host.values("n", "d") == {"speed_rpm": 1500}
    assert host.values("n", "other") == {}
    # on the wire an integer has no sign, and data need not repeat the type
    bare = decode(
        encode(_payload(2, Metric(name=None, alias=4, value=-20, datatype=DataType.INT32)), with_names=False)
    )
    (sent,) = bare.metrics
    untyped = Metric(name=None, alias=4, value=(1 << 32) - 20, datatype=None)
    for seq, metric in ((2, sent), (3, untyped)):
        ((found,), rebirth) = host.take("DDATA", "n", _payload(seq, metric), device="d")
        assert (found.name, found.value, rebirth) == ("speed_rpm", -20, False)
    old = Metric(name="speed_rpm", value=7, datatype=DataType.INT32, historical=True)
    host.take("DDATA", "n", _payload(4, old), device="d")
    assert host.values("n", "d") == {"speed_rpm": -20}
    host.take("NDEATH", "n", _payload(0, Metric(name="bdSeq", value=1, datatype=DataType.INT64)))
    assert host.values("n", "d") == {}


def test_data_that_carry_their_names_count_before_a_birth() -> None:
    named = Metric(name="samples", value=b"1234", datatype=DataType.BYTES)
    aliased = Metric(name=None, alias=1, value=3.0, datatype=DataType.DOUBLE)
    assert Host().take("DDATA", "n", _payload(9, named, aliased)) == ([named], True)


def test_sequence_numbers_wrap_after_255() -> None:
    host = Host()
    host.take("NBIRTH", "n", _payload(0, Metric(name="bdSeq", value=0, datatype=DataType.INT64)))
    for number in range(1, 600):
        assert host.take("NDATA", "n", _payload(number % 256))[1] is False
    assert host.counts == {}


@pytest.mark.parametrize(
    ("datatype", "dtype", "scale"),
    [
        (DataType.FLOAT_ARRAY, "<f4", None),
        (DataType.DOUBLE_ARRAY, "<f8", None),
        (DataType.INT16_ARRAY, "<i2", 0.5),
    ],
)
def test_waveforms_of_the_types_that_sparkplug_has(
    tmp_path: Path, datatype: DataType, dtype: str, scale: float | None
) -> None:
    agent = Agent(linked_config(tmp_path, [{"type": "mqtt", "topic": "works", "payload": "sparkplug"}], []))
    (source,) = agent.sources
    taken: list[Burst] = []
    source._inlet = replace(source._inlet, submit=lambda submission: taken.append(submission.burst))
    values = np.array([1, -2, 300], dtype=dtype)
    metrics = [Metric(name="samples", value=values.tobytes(), datatype=datatype)]
    if scale is not None:
        metrics.append(Metric(name="scale", value=scale, datatype=DataType.DOUBLE))
    content = encode(Payload(metrics=tuple(metrics), seq=0, timestamp_ms=5000), with_names=True)
    source._take_sparkplug("spBv1.0/works/DDATA/pump/drive-end", content, (1, 1, 0))
    assert taken[0].samples.tolist() == [value * (scale or 1.0) for value in (1, -2, 300)]
    assert taken[0].measured_unix_s == 5.0
    if scale is not None:
        bare = encode(Payload(metrics=(metrics[0],), seq=1, timestamp_ms=5000), with_names=True)
        with pytest.raises(DataError, match="need a metric 'scale'"):
            source._take_sparkplug("spBv1.0/works/DDATA/pump/drive-end", bare, (2, 1, 0))
    agent.stop()


def test_a_birth_after_an_outage_does_not_pass_old_values_off_as_new() -> None:
    settings = SparkplugSettings.model_validate({"type": "sparkplug", "group": "g", "node": "n"})
    sink = SparkplugSink(settings, client_id="c", next_bdseq=lambda: 0)
    sent: list[Message] = []
    sink._open = lambda: SimpleNamespace(publish=sent.extend)
    old = replace(record(1), created_unix_s=1000.0, historical=True)
    alarm = replace(record(2), kind="alarm", created_unix_s=2000.0)
    sink.publish([old, alarm])
    birth, _, again, _ = (decode(message.content) for message in sent)
    assert {(metric.timestamp_ms, metric.historical) for metric in birth.metrics} == {(1_000_000, True)}
    found = {metric.name: metric for metric in again.metrics}
    assert (found["bearing/level"].value, found["bearing/level"].historical) == ("normal", True)
    assert (found["alarm/bearing/level"].timestamp_ms, found["alarm/bearing/level"].historical) == (
        2_000_000,
        False,
    )


def test_a_host_follows_many_sessions_worth_of_data() -> None:
    settings = SparkplugSettings.model_validate({"type": "sparkplug", "group": "g", "node": "n"})
    sink = SparkplugSink(settings, client_id="c", next_bdseq=lambda: 0)
    sent: list[Message] = []
    session = SimpleNamespace(publish=sent.extend)
    sink._births(session)
    sink._open = lambda: session
    for number in range(700):
        sink.publish([record(number)])
        if number == 300:
            sink._births(session)  # a rebirth amid them
    host, numbers = Host(), []
    for message in sent:
        _, _, kind, node, *device = message.topic.split("/")
        metrics, rebirth = host.take(kind, node, decode(message.content), device="".join(device))
        assert not rebirth
        if kind == "DDATA":
            numbers.append(next(metric.value for metric in metrics if metric.name == "sequence"))
    assert numbers == list(range(700))


def wait_for_kind(consumer: Consumer, kind: str, count: int) -> None:
    consumer.wait(lambda found: [m.topic.split("/")[2] for m in found].count(kind) >= count)


def test_sparkplug_as_a_source(broker: Mosquitto, tmp_path: Path, make_burst: Callable[..., Burst]) -> None:
    source = {"type": "mqtt", "port": broker.port, "topic": "works", "payload": "sparkplug"}
    agent = Agent(linked_config(tmp_path, [source], [{"type": "csv", "folder": "log"}]))
    agent.start()
    consumer = Consumer(broker.port, "spBv1.0/works/NCMD/#")
    until(lambda: agent.sources[0].status()["connected"])
    samples = make_burst(5).samples.tobytes()
    data = encode(
        Payload(
            metrics=(
                Metric(
                    name=None, alias=7, value=samples, datatype=DataType.BYTES, timestamp_ms=1_700_000_000_000
                ),
            ),
            seq=2,
            timestamp_ms=1,
        ),
        with_names=False,
    )
    consumer.publish("spBv1.0/works/DDATA/pump/drive-end", data)  # before any birth
    consumer.wait(lambda found: len(found) == 1)
    (command,) = consumer.messages
    assert decode(command.payload).metrics[0].name == "Node Control/Rebirth"
    bdseq = Metric(name="bdSeq", value=3, datatype=DataType.INT64)
    birth = Payload(metrics=(bdseq,), seq=0, timestamp_ms=1)
    born = Metric(name="samples", alias=7, value=None, datatype=DataType.BYTES)
    device = Payload(metrics=(born,), seq=1, timestamp_ms=1)
    consumer.publish("spBv1.0/works/NBIRTH/pump", encode(birth, with_names=True))
    late = Metric(name="bdSeq", value=2, datatype=DataType.INT64)
    late_death = encode(Payload(metrics=(late,), seq=None, timestamp_ms=1), with_names=True)
    consumer.publish("spBv1.0/works/NDEATH/pump", late_death)  # of the former session
    consumer.publish("spBv1.0/works/DBIRTH/pump/drive-end", encode(device, with_names=True))
    consumer.publish("spBv1.0/works/DDATA/pump/drive-end", data)
    until(lambda: agent.intake.counts["taken"] == 1)
    result = agent.paths["pump", "drive-end"].view.result
    assert result["measured_unix_s"] == 1.7e9
    assert result["indicators"]["rms"] == pytest.approx(float(np.std(make_burst(5).samples)), rel=1e-4)
    assert agent.sources[0].status()["counts"]["late deaths"] == 1
    agent.stop()
    consumer.close()
