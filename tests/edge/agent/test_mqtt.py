"""Bursts in and results out through a real broker that comes and goes."""

from __future__ import annotations

import gc
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
import pytest

from agent_machines import machine_settings
from mosquitto import Mosquitto
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.connections import Broker
from secateur.edge.agent.config.connections import MqttSink as MqttSinkSettings
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.config.settings import AgentConfig
from secateur.edge.agent.intake import Submission
from secateur.edge.agent.outbox.store import Record
from secateur.edge.agent.publish import Replay, publish
from secateur.edge.agent.sinks.base import SinkUnavailable
from secateur.edge.agent.sinks.mqtt import MqttSink
from secateur.edge.agent.sources.payloads import Piece, to_json, to_raw
from secateur.edge.agent.sparkplug.codec import DataType, Metric, Payload, decode, encode
from secateur.edge.agent.sparkplug.host import Host


class Consumer:
    """Subscribes and keeps what comes; its subscription outlives a broker that is stopped and started."""

    def __init__(self, port: int, topic: str, **tls: Any) -> None:
        self.messages: list[Any] = []
        self._ready = threading.Event()
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id="consumer", protocol=paho.MQTTv5
        )
        kept = paho.Properties(paho.PacketTypes.CONNECT)
        kept.SessionExpiryInterval = 3600
        if tls:
            self.client.tls_set(**tls)
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = lambda _, __, message: self.messages.append(message)
        self.client.reconnect_delay_set(0.1, 0.1)
        host = "localhost" if tls else "127.0.0.1"
        self.client.connect(host, port, clean_start=False, properties=kept)
        self.client.loop_start()
        assert self._ready.wait(60)

    def wait(self, holds: Callable[[list[Any]], bool], within_s: float = 60.0) -> list[Any]:
        last_s = time.monotonic() + within_s
        while not holds(self.messages):
            assert time.monotonic() < last_s, f"{len(self.messages)} messages came"
            time.sleep(0.01)
        return self.messages

    def publish(self, topic: str, content: bytes, qos: int = 1) -> None:
        self.client.publish(topic, content, qos=qos).wait_for_publish(60)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    found = Mosquitto(tmp_path / "broker")
    yield found
    found.kill()


def _config(tmp_path: Path, sources: list[Any], sinks: list[Any]) -> AgentConfig:
    value = {"machines": [machine_settings()], "sources": sources, "sinks": sinks}
    return parse_config(value, tmp_path / "agent.yaml")


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
    agent = Agent(_config(tmp_path, [source], [{"type": "mqtt", "port": broker.port, "topic": "out"}]))
    agent.start()
    consumer = Consumer(broker.port, "out/#")
    while not agent.sources[0].status()["connected"]:
        time.sleep(0.01)
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
    last_s = time.monotonic() + 60
    while agent.sources[0].counts["refused"] < 2 and time.monotonic() < last_s:
        time.sleep(0.01)
    assert agent.sources[0].counts["refused"] == 2
    agent.stop()
    consumer.close()


def test_what_waits_while_the_broker_is_away_comes_in_order_and_is_marked(
    broker: Mosquitto, tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    config = _config(tmp_path, [], [{"type": "mqtt", "port": broker.port, "topic": "out"}])
    config = config.model_copy(
        update={"outbox": config.outbox.model_copy(update={"historical_after_s": 0.05})}
    )
    consumer = Consumer(broker.port, "out/#")
    broker.stop()
    agent = Agent(config)
    agent.start()
    for number in range(20):
        agent.intake.submit(Submission(burst=make_burst(number)))
    agent.intake.drain()
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


def _record(number: int) -> Record:
    return Record(
        seq=number,
        key=f"k{number}",
        kind="result",
        machine="pump",
        sensor="a",
        payload=json.dumps({"number": number, "bearing": {"level": "normal", "score": 1.5}}).encode(),
        created_unix_s=1.7e9,
        historical=False,
        redelivered=False,
    )


def test_a_half_open_connection_is_given_up(broker: Mosquitto) -> None:
    settings = MqttSinkSettings.model_validate(
        {"type": "mqtt", "port": broker.port, "acknowledged_within_s": 0.5}
    )
    sink = MqttSink(settings, client_id="half-open")
    sink.publish([_record(1)])
    broker.signal(signal.SIGSTOP)
    with pytest.raises(SinkUnavailable, match=r"no acknowledgement within 0\.5 s"):
        sink.publish([_record(2)])
    broker.signal(signal.SIGCONT)
    sink.publish([_record(2)])
    sink.close()


def test_another_client_of_the_same_name_is_told(broker: Mosquitto) -> None:
    settings = MqttSinkSettings.model_validate({"type": "mqtt", "port": broker.port})
    sinks = [MqttSink(settings, client_id="twin") for _ in range(2)]
    sinks[0].publish([_record(1)])
    sinks[1].publish([_record(2)])
    last_s = time.monotonic() + 60
    while sinks[0]._session.is_open and time.monotonic() < last_s:
        time.sleep(0.01)
    assert "another client may use client_id 'twin'" in sinks[0]._session._closed
    for sink in sinks:
        sink.close()


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "closed", ["allow_anonymous false"])
    settings = MqttSinkSettings.model_validate({"type": "mqtt", "port": broker.port})
    with pytest.raises(SinkUnavailable, match="refuses the connection"):
        MqttSink(settings, client_id="nobody").publish([_record(1)])
    broker.kill()


# paho leaves the socket of a failed attempt to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_source_without_a_broker_says_so_once_and_connects_when_it_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Mosquitto(tmp_path / "late")
    broker.kill()
    topic = "plant/{machine}/{sensor}/burst"
    agent = Agent(_config(tmp_path, [{"type": "mqtt", "port": broker.port, "topic": topic}], []))
    agent.start()
    (source,) = agent.sources
    _until(lambda: "cannot be reached" in source.status()["trouble"])
    assert not source.status()["connected"]
    broker.start()
    _until(lambda: source.status()["connected"])
    assert source.status()["trouble"] == ""
    agent.stop()
    told = [record for record in caplog.records if "the broker cannot be reached" in record.message]
    assert len(told) == 1
    broker.kill()


def _until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    last_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < last_s
        time.sleep(0.02)


# paho leaves the socket of a failed handshake to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls(tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    _write_certificates(folder)
    broker = Mosquitto(
        tmp_path / "broker",
        [f"cafile {folder}/ca.pem", f"certfile {folder}/server.pem", f"keyfile {folder}/server.key"],
    )
    consumer = Consumer(broker.port, "out/#", ca_certs=str(folder / "ca.pem"))
    good = {"type": "mqtt", "host": "localhost", "port": broker.port, "topic": "out"}
    sink = MqttSink(
        MqttSinkSettings.model_validate(good | {"tls": {"ca_file": str(folder / "ca.pem")}}), client_id="tls"
    )
    sink.publish([_record(1)])
    consumer.wait(lambda found: len(found) == 1)
    sink.close()
    with pytest.raises(SinkUnavailable, match="cannot be reached"):
        MqttSink(MqttSinkSettings.model_validate(good | {"tls": {}}), client_id="x").publish([_record(1)])
    gc.collect()
    consumer.close()
    broker.kill()


def _write_certificates(folder: Path) -> None:
    """Write an authority and a certificate of localhost that it signed."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir()
    now = datetime.datetime.now(datetime.UTC)

    def certificate(name: str, key: Any, issuer: str, issuer_key: Any, ca: bool) -> x509.Certificate:
        built = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
            )
        )
        if not ca:
            names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
            built = built.add_extension(names, critical=False)
        return built.sign(issuer_key, hashes.SHA256())

    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(certificate("test ca", ca_key, "test ca", ca_key, True).public_bytes(pem))
    (folder / "server.pem").write_bytes(
        certificate("localhost", key, "test ca", ca_key, False).public_bytes(pem)
    )
    (folder / "server.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def test_sparkplug_births_data_rebirth_and_death(
    broker: Mosquitto, tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    consumer = Consumer(broker.port, "spBv1.0/works/#")
    sink = {"type": "sparkplug", "port": broker.port, "group": "works", "node": "gateway"}
    config = _config(tmp_path, [], [sink])
    for session in range(2):
        agent = Agent(config)
        agent.start()
        base = 10 * session
        agent.intake.submit(Submission(burst=make_burst(base)))
        _wait_for(consumer, "DDATA", 2 * session + 1)
        if session == 1:
            rebirth = Metric(name="Node Control/Rebirth", value=True, datatype=DataType.BOOLEAN)
            content = encode(Payload(metrics=(rebirth,), seq=None, timestamp_ms=1), with_names=True)
            consumer.publish("spBv1.0/works/NCMD/gateway", content)
            _wait_for(consumer, "NBIRTH", 3)
        agent.intake.submit(Submission(burst=make_burst(base + 1)))
        _wait_for(consumer, "DDATA", 2 * session + 2)
        agent.stop()
        _wait_for(consumer, "NDEATH", session + 1)
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


def _wait_for(consumer: Consumer, kind: str, count: int) -> None:
    consumer.wait(lambda found: [m.topic.split("/")[2] for m in found].count(kind) >= count)


def test_sparkplug_as_a_source(broker: Mosquitto, tmp_path: Path, make_burst: Callable[..., Burst]) -> None:
    source = {"type": "mqtt", "port": broker.port, "topic": "works", "payload": "sparkplug"}
    agent = Agent(_config(tmp_path, [source], [{"type": "csv", "folder": "log"}]))
    agent.start()
    consumer = Consumer(broker.port, "spBv1.0/works/NCMD/#")
    while not agent.sources[0].status()["connected"]:
        time.sleep(0.01)
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
    last_s = time.monotonic() + 60
    while agent.intake.counts["taken"] < 1 and time.monotonic() < last_s:
        time.sleep(0.01)
    result = agent.paths["pump", "drive-end"].view.result
    assert result["measured_unix_s"] == 1.7e9
    assert result["indicators"]["rms"] == pytest.approx(float(np.std(make_burst(5).samples)), rel=1e-4)
    assert agent.sources[0].status()["counts"]["late deaths"] == 1
    agent.stop()
    consumer.close()


def test_a_certificate_that_is_not_there_is_told(tmp_path: Path) -> None:
    from secateur.core.errors import ConfigError

    settings = MqttSinkSettings.model_validate(
        {"type": "mqtt", "tls": {"ca_file": str(tmp_path / "none.pem")}}
    )
    with pytest.raises(ConfigError, match="certificate"):
        MqttSink(settings, client_id="x").publish([_record(1)])


def test_several_recordings_are_published_at_once(broker: Mosquitto, tmp_path: Path) -> None:
    np.save(tmp_path / "wave.npy", np.random.default_rng(0).standard_normal(6400).astype(np.float32))
    replays = [
        Replay(
            file=tmp_path / "wave.npy",
            topic=f"plant/{name}/drive-end/burst",
            sampling_rate_hz=6400,
            burst_samples=640,
            speed_factor=2.0,
        )
        for name in ("pump", "fan", "mill")
    ]
    where = Broker(host="127.0.0.1", port=broker.port)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda replay: publish(replay, where), replays)) == [10, 10, 10]
