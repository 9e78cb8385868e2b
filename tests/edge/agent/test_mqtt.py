"""Bursts in and results out through a real broker that comes and goes."""

from __future__ import annotations

import gc
import json
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
import pytest

from agent_machines import GUARD_S, feed, linked_config, record, until
from mosquitto import Mosquitto
from mqtt_consumer import Consumer
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.connections import MqttSink as MqttSinkSettings
from secateur.edge.agent.sinks.base import SinkUnavailable
from secateur.edge.agent.sinks.mqtt import MqttSink
from secateur.edge.agent.sources import mqtt as mqtt_source
from secateur.edge.agent.sources.payloads import Piece, to_json, to_raw


def _piece(burst: Burst, **said: Any) -> Piece:
    values = {"number": burst.number, "measured_unix_s": burst.measured_unix_s, "unit": "g"}
    return Piece(**({"samples": burst.samples} | values | said))


@pytest.mark.parametrize("payload", ["json", "raw"])
def test_in_and_out(
    payload: str, broker: Mosquitto, tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    source = {
        "type": "mqtt",
        "port": broker.port,
        "topic": "plant/{machine}/{sensor}/burst",
        "payload": payload,
    }
    agent = Agent(linked_config(tmp_path, [source], [{"type": "mqtt", "port": broker.port, "topic": "out"}]))
    agent.start()
    consumer = Consumer(broker.port, "out/#")
    until(lambda: agent.sources[0].status()["connected"])
    write = to_json if payload == "json" else lambda piece: to_raw(piece, scale=1e-4)
    for number in range(3):
        burst = make_burst(number)
        parts = np.array_split(burst.samples, number + 1)
        for place, samples in enumerate(parts):
            piece = _piece(burst, samples=samples, part=place, parts=len(parts))
            consumer.publish("plant/pump/drive-end/burst", write(piece))
    consumer.publish("plant/pump/drive-end/burst", b"\xff nonsense")
    consumer.publish("plant/pump/elsewhere/burst", write(_piece(make_burst(9))))
    messages = consumer.wait(lambda found: len(found) >= 3)
    results = [json.loads(message.payload) for message in messages]
    assert [message.topic for message in messages] == ["out/pump/drive-end/result"] * 3
    assert [result["number"] for result in results] == [0, 1, 2]
    assert not any(result["redelivered"] or result["historical"] for result in results)
    expected = float(np.std(make_burst(2).samples))
    assert results[2]["indicators"]["rms"] == pytest.approx(expected, rel=1e-3)
    keys = dict(messages[0].properties.UserProperty)
    assert keys["key"] == results[0]["key"]
    until(lambda: agent.sources[0].counts["refused"] == 2)
    assert "there is no sensor 'pump/elsewhere'" in agent.sources[0].status()["last_refusal"]
    agent.stop()
    consumer.close()


def test_what_waits_while_the_broker_is_away_comes_in_order_and_is_marked(
    broker: Mosquitto, tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    config = linked_config(tmp_path, [], [{"type": "mqtt", "port": broker.port, "topic": "out"}])
    config = config.model_copy(
        update={"outbox": config.outbox.model_copy(update={"historical_after_s": 0.05})}
    )
    consumer = Consumer(broker.port, "out/#")
    broker.stop()
    agent = Agent(config)
    agent.start()
    feed(agent, [make_burst(number) for number in range(20)])
    time.sleep(0.1)
    assert agent.outbox.status().waiting == {"mqtt": 20}
    broker.start()
    messages = consumer.wait(lambda found: len({json.loads(m.payload)["key"] for m in found}) == 20)
    results = [json.loads(message.payload) for message in messages]
    first = list({result["key"]: result for result in reversed(results)}.values())[::-1]
    assert [result["number"] for result in first] == list(range(20))
    assert all(result["historical"] for result in results)
    seen: set[str] = set()
    for result in results:
        assert result["key"] not in seen or result["redelivered"]
        seen.add(result["key"])
    agent.stop()
    consumer.close()


def test_a_half_open_connection_is_given_up(broker: Mosquitto) -> None:
    settings = MqttSinkSettings.model_validate(
        {"type": "mqtt", "port": broker.port, "acknowledged_within_s": GUARD_S}
    )
    sink = MqttSink(settings, client_id="half-open")
    sink.publish([record(1)])
    broker.signal(signal.SIGSTOP)
    sink._session._within_s = 0.2
    with pytest.raises(SinkUnavailable, match=r"no acknowledgement within 0\.2 s"):
        sink.publish([record(2)])
    broker.signal(signal.SIGCONT)
    sink.publish([record(2)])
    sink.close()


def test_a_lost_connection_does_not_come_back_and_fight_the_next(broker: Mosquitto, tmp_path: Path) -> None:
    """A client that connected again took the name of the new session from it, which did the same."""
    sink = MqttSink(MqttSinkSettings.model_validate({"type": "mqtt", "port": broker.port}), client_id="one")
    sink.publish([record(1)])
    sink._session._client.socket().shutdown(socket.SHUT_RDWR)
    until(lambda: not sink._session.is_open)
    sink.publish([record(2)])
    session = sink._session
    time.sleep(2.5)  # paho waits a second, and then two
    sink.publish([record(3)])
    assert sink._session is session
    assert (tmp_path / "broker" / "log").read_text().count("as one ") == 2
    sink.close()


def test_a_session_leaves_no_sockets_to_the_garbage_collector(broker: Mosquitto) -> None:
    """A broker that never acknowledges is tried for weeks."""
    sink = MqttSink(MqttSinkSettings.model_validate({"type": "mqtt", "port": broker.port}), client_id="one")
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    gc.disable()
    try:
        for number in range(5):
            sink.publish([record(number)])
            sink.close()
        sink._session = None
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    finally:
        gc.enable()


def test_another_client_of_the_same_name_is_told(broker: Mosquitto) -> None:
    settings = MqttSinkSettings.model_validate({"type": "mqtt", "port": broker.port})
    sinks = [MqttSink(settings, client_id="twin") for _ in range(2)]
    sinks[0].publish([record(1)])
    sinks[1].publish([record(2)])
    until(lambda: not sinks[0]._session.is_open)
    assert "another client may use client_id 'twin'" in sinks[0]._session._closed
    for sink in sinks:
        sink.close()


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "closed", ["allow_anonymous false"])
    settings = MqttSinkSettings.model_validate({"type": "mqtt", "port": broker.port})
    with pytest.raises(SinkUnavailable, match="refuses the connection: Not authorized"):
        MqttSink(settings, client_id="nobody").publish([record(1)])
    broker.kill()


def test_a_subscription_that_the_broker_refuses_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"type": "mqtt", "topic": "plant/{machine}/{sensor}/burst"}
    agent = Agent(linked_config(tmp_path, [source], []))
    (link,) = agent.sources
    asked: list[object] = []
    monkeypatch.setattr(paho.Client, "subscribe", lambda *told, **_: asked.append(told))
    monkeypatch.setattr(mqtt_source, "SUBSCRIBE_AGAIN_S", 0.3)
    refused = paho.ReasonCode(paho.PacketTypes.SUBACK, "Not authorized")  # mosquitto's own list grants all
    link._client.on_subscribe(link._client, None, 1, [refused], None)
    assert "refuses the subscription to plant/+/+/burst: Not authorized" in link.status()["trouble"]
    assert not link.status()["connected"]
    agent.stop()
    assert not asked


def test_a_subscription_is_asked_for_again_when_the_broker_gives_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_source, "SUBSCRIBE_AGAIN_S", 0.01)
    source = {"type": "mqtt", "topic": "plant/{machine}/{sensor}/burst"}
    agent = Agent(linked_config(tmp_path, [source], []))
    (link,) = agent.sources
    answers = [paho.ReasonCode(paho.PacketTypes.SUBACK, name) for name in ("Quota exceeded", "Granted QoS 1")]
    given = iter(answers)

    def subscribe(*_: object, **__: object) -> None:
        link._client.on_subscribe(link._client, None, 1, [next(given)], None)

    monkeypatch.setattr(paho.Client, "subscribe", subscribe)
    link._client.on_connect(
        link._client, None, None, paho.ReasonCode(paho.PacketTypes.CONNACK, "Success"), None
    )
    until(lambda: link.status()["connected"])
    assert link.status()["trouble"] == ""
    link._client.on_subscribe(
        link._client, None, 1, [paho.ReasonCode(paho.PacketTypes.SUBACK, "Granted QoS 0")], None
    )
    assert "QoS 0" in link.status()["trouble"]
    agent.stop()


def test_a_broker_that_refuses_messages_for_want_of_rights_loses_none(tmp_path: Path) -> None:
    (tmp_path / "rights").write_text("topic read #\n")
    broker = Mosquitto(tmp_path / "strict", [f"acl_file {tmp_path / 'rights'}"])
    settings = MqttSinkSettings.model_validate({"type": "mqtt", "port": broker.port, "topic": "out"})
    sink = MqttSink(settings, client_id="agent")
    with pytest.raises(SinkUnavailable, match="refuses out/pump/a/result: Not authorized") as error:
        sink.publish([record(1), record(2)])
    assert error.value.acknowledged == 0
    broker.stop()
    (tmp_path / "rights").write_text("topic readwrite #\n")
    broker.start()
    sink.publish([record(1), record(2)])
    sink.close()
    broker.kill()


def test_messages_of_an_earlier_connection_are_not_acknowledged_on_a_later_one(tmp_path: Path) -> None:
    source = {"type": "mqtt", "topic": "plant/{machine}/{sensor}/burst"}
    agent = Agent(linked_config(tmp_path, [source], []))
    (link,) = agent.sources
    acknowledged: list[int] = []
    link._client.ack = lambda mid, _: acknowledged.append(mid)
    link._client.subscribe = lambda *_, **__: None
    granted = paho.ReasonCode(paho.PacketTypes.CONNACK, "Success")
    link._on_connect(link._client, None, None, granted, None)
    early = (5, 1, link._connection)
    link._on_connect(link._client, None, None, granted, None)
    link._acknowledge([early, (6, 1, link._connection)])
    assert acknowledged == [6]
    agent.stop()


def test_parts_of_a_burst_that_never_becomes_whole_are_acknowledged_and_forgotten(tmp_path: Path) -> None:
    source = {"type": "mqtt", "topic": "plant/{machine}/{sensor}/burst", "incomplete_after_s": 1e-9}
    agent = Agent(linked_config(tmp_path, [source], []))
    (link,) = agent.sources
    acknowledged: list[int] = []
    link._client.ack = lambda mid, _: acknowledged.append(mid)
    ones = np.ones(2, dtype=np.float32)
    for number in range(50):
        piece = Piece(samples=ones, number=number, part=0, parts=2)
        link._take("pump", "drive-end", piece, [(number, 1, link._connection)])
    assert link.status()["open_bursts"] == 0
    assert acknowledged == list(range(50))
    assert link._held == {}
    agent.stop()


def test_parts_on_both_sides_of_a_reconnection_are_one_burst(
    broker: Mosquitto, tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    topic = "plant/{machine}/{sensor}/burst"
    source = {
        "type": "mqtt",
        "port": broker.port,
        "topic": topic,
        "payload": "raw",
        "incomplete_after_s": GUARD_S,
    }
    config = linked_config(tmp_path, [source], [])
    agent = Agent(config)
    agent.start()
    consumer = Consumer(broker.port, "nothing")
    until(lambda: agent.sources[0].status()["connected"])
    burst = make_burst(1)
    parts = [
        to_raw(_piece(burst, samples=samples, part=place, parts=3))
        for place, samples in enumerate(np.array_split(burst.samples, 3))
    ]
    consumer.publish("plant/pump/drive-end/burst", parts[2])
    until(lambda: agent.sources[0].status()["open_bursts"] == 1)
    broker.stop()
    until(lambda: not agent.sources[0].status()["connected"])
    broker.start()
    until(lambda: agent.sources[0].status()["counts"].get("parts twice") == 1)  # it was not acknowledged
    for part in (parts[0], parts[0], parts[1]):
        consumer.publish("plant/pump/drive-end/burst", part)
    until(lambda: agent.intake.counts["taken"] == 1)
    expected = float(np.std(burst.samples))
    assert agent.paths["pump", "drive-end"].view.result["indicators"]["rms"] == pytest.approx(
        expected, rel=1e-3
    )
    assert agent.intake.drain(GUARD_S)  # "taken" comes before the acknowledgement
    agent.stop()
    again = Agent(config)
    again.start()
    until(lambda: again.sources[0].status()["connected"])
    consumer.publish("plant/pump/drive-end/burst", to_raw(_piece(make_burst(2))))
    until(lambda: again.intake.counts["taken"] == 1)
    assert again.sources[0].counts["messages"] == 1  # every part had been acknowledged
    again.stop()
    consumer.close()


def test_what_a_broker_retained_is_not_taken_for_live(
    broker: Mosquitto, tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    consumer = Consumer(broker.port, "nothing")
    topic = "plant/pump/drive-end/burst"
    kept = to_raw(Piece(samples=make_burst(1).samples))
    consumer.client.publish(topic, kept, qos=1, retain=True).wait_for_publish(GUARD_S)
    source = {
        "type": "mqtt",
        "port": broker.port,
        "topic": "plant/{machine}/{sensor}/burst",
        "payload": "raw",
    }
    agent = Agent(linked_config(tmp_path, [source], []))
    agent.start()
    until(lambda: agent.sources[0].status()["connected"])
    live = to_raw(Piece(samples=make_burst(2).samples, number=2))
    consumer.client.publish(topic, live, qos=1, retain=True).wait_for_publish(GUARD_S)
    until(lambda: agent.intake.counts["taken"] > 0)
    assert agent.paths["pump", "drive-end"].view.result["number"] == 2
    assert agent.sources[0].counts["messages"] == 1
    agent.stop()
    consumer.close()


# paho leaves the socket of a failed attempt to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_source_without_a_broker_says_so_once_and_connects_when_it_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Mosquitto(tmp_path / "late")
    broker.kill()
    topic = "plant/{machine}/{sensor}/burst"
    agent = Agent(linked_config(tmp_path, [{"type": "mqtt", "port": broker.port, "topic": topic}], []))
    agent.start()
    (source,) = agent.sources
    until(lambda: "cannot be reached" in source.status()["trouble"])
    assert not source.status()["connected"]
    broker.start()
    until(lambda: source.status()["connected"])
    assert source.status()["trouble"] == ""
    agent.stop()
    told = [record for record in caplog.records if "the broker cannot be reached" in record.message]
    assert len(told) == 1
    broker.kill()
