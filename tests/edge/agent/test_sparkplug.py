"""Sparkplug B through a real broker, as an edge node and as a host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent_machines import linked_config, until
from mosquitto import Mosquitto
from mqtt_consumer import Consumer
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.intake import Submission
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
