"""Sparkplug B through a real broker, as an edge node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent_machines import feed, linked_config, record
from mosquitto import Mosquitto
from mqtt_consumer import Consumer
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
        taken = host.take(kind, "gateway", payload)
        assert not taken.rebirth
        if kind == "DDATA":
            assert all(metric.name is None for metric in payload.metrics)
            values = {metric.name: metric.value for metric in taken.data[0].metrics}
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
        taken = host.take(kind, node, decode(message.content), device="".join(device))
        assert not taken.rebirth
        numbers += [m.value for data in taken.data for m in data.metrics if m.name == "sequence"]
    assert numbers == list(range(700))


def wait_for_kind(consumer: Consumer, kind: str, count: int) -> None:
    consumer.wait(lambda found: [m.topic.split("/")[2] for m in found].count(kind) >= count)


def test_a_silent_sensor_is_a_dead_device_until_it_speaks_again(
    broker: Mosquitto, tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    consumer = Consumer(broker.port, "spBv1.0/works/#")
    sink = {"type": "sparkplug", "port": broker.port, "group": "works", "node": "gateway"}
    agent = Agent(linked_config(tmp_path, [], [sink]))
    agent.start()
    path = agent.paths["pump", "drive-end"]
    feed(agent, [make_burst(0)])
    wait_for_kind(consumer, "DDATA", 1)
    path.last_sign_running_s -= 2 * path.sensor.silent_after_s
    agent.watch_itself()
    agent.watch_itself()
    wait_for_kind(consumer, "DDEATH", 1)
    rebirth = Metric(name="Node Control/Rebirth", value=True, datatype=DataType.BOOLEAN)
    command = encode(Payload(metrics=(rebirth,), seq=None, timestamp_ms=1), with_names=True)
    consumer.publish("spBv1.0/works/NCMD/gateway", command)
    wait_for_kind(consumer, "NBIRTH", 2)  # which a device that is dead is no part of
    feed(agent, [make_burst(1)])
    wait_for_kind(consumer, "DDATA", 3)
    agent.stop()
    wait_for_kind(consumer, "NDEATH", 1)
    kinds = [message.topic.split("/")[2] for message in consumer.messages]
    kinds.remove("NCMD")
    birth, alive, dead = ["NBIRTH"], ["DBIRTH", "DDATA"], ["DDATA", "DDEATH"]
    assert kinds == [*birth, *alive, *dead, *birth, *alive, "NDEATH"]
    host, states = Host(), []
    for message in consumer.messages:
        _, _, kind, node, *device = message.topic.split("/")
        if kind == "NCMD":
            continue
        payload = decode(message.payload)
        taken = host.take(kind, node, payload, device="".join(device))
        assert not taken.rebirth
        assert payload.timestamp_ms is not None
        assert (payload.seq is None) == (kind == "NDEATH")
        states += [m.value for data in taken.data for m in data.metrics if m.name == "sensor_state"]
    assert states == ["ok", "silent", "ok"]
    assert host.counts == {}
    consumer.close()


def test_an_alarm_of_a_silent_sensor_is_told_and_leaves_its_device_dead() -> None:
    settings = SparkplugSettings.model_validate({"type": "sparkplug", "group": "g", "node": "n"})
    sink = SparkplugSink(settings, client_id="c", next_bdseq=lambda: 0)
    sent: list[Message] = []
    sink._open = lambda: SimpleNamespace(publish=sent.extend)
    silent = replace(record(1), payload=b'{"sensor_state": "silent"}')
    alarm = replace(record(2), kind="alarm", payload=b'{"event": "acknowledged"}')
    sink.publish([silent, alarm, record(3)])
    kinds = [message.topic.split("/")[2] for message in sent]
    assert kinds == ["DBIRTH", "DDATA", "DDEATH"] * 2 + ["DBIRTH", "DDATA"]
