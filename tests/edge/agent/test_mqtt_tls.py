"""Connections to a broker by TLS, with an authority of its own."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent_machines import linked_config, record, until
from mosquitto import Mosquitto
from mqtt_consumer import Consumer
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.config.connections import MqttSink as MqttSinkSettings
from secateur.edge.agent.config.settings import Outbox as OutboxSettings
from secateur.edge.agent.outbox.database import Database
from secateur.edge.agent.outbox.delivery import Delivery
from secateur.edge.agent.outbox.store import Outbox
from secateur.edge.agent.sinks.base import SinkUnavailable
from secateur.edge.agent.sinks.mqtt import MqttSink
from secateur.edge.agent.trial import idle


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
    sink.publish([record(1)])
    consumer.wait(lambda found: len(found) == 1)
    sink.close()
    with pytest.raises(SinkUnavailable, match="cannot be reached"):
        MqttSink(MqttSinkSettings.model_validate(good | {"tls": {}}), client_id="x").publish([record(1)])
    plain = {"host": "localhost", "port": broker.port}
    with pytest.raises(SinkUnavailable, match="as a broker does that asks for TLS"):
        MqttSink(MqttSinkSettings.model_validate(good), client_id="plain").publish([record(1)])
    agent = Agent(linked_config(tmp_path, [{"type": "mqtt", "topic": "a/{machine}/{sensor}", **plain}], []))
    agent.start()
    until(lambda: "as a broker does that asks for TLS" in agent.sources[0].status()["trouble"])
    agent.stop()
    gc.collect()
    consumer.close()
    broker.kill()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_certificate_of_our_own_that_has_ended_is_told_and_its_successor_taken(tmp_path: Path) -> None:
    """The broker hangs up on it without a word."""
    folder = tmp_path / "certificates"
    _write_certificates(folder, client_days=-0.5)
    broker = Mosquitto(
        tmp_path / "broker",
        [
            *(f"cafile {folder}/ca.pem", f"certfile {folder}/server.pem", f"keyfile {folder}/server.key"),
            "require_certificate true",
        ],
    )
    tls = {
        "ca_file": str(folder / "ca.pem"),
        "certificate_file": str(folder / "client.pem"),
        "key_file": str(folder / "client.key"),
    }
    link = {"type": "mqtt", "host": "localhost", "port": broker.port, "tls": tls}
    config = linked_config(tmp_path, [link | {"topic": "p/{machine}/{sensor}"}], [link | {"topic": "out"}])
    told = f"the certificate {folder}/client.pem ended on "
    assert [f"sources.0.tls: {told}", f"sinks.0.tls: {told}"] == [
        line[: line.index(told) + len(told)] for line in idle(config) if told in line
    ]
    agent = Agent(config)
    agent.start()
    until(lambda: told in agent.sources[0].status()["trouble"])
    until(lambda: told in agent.deliveries[0].trouble)
    shutil.copy(folder / "server.pem", folder / "client.pem")
    shutil.copy(folder / "server.key", folder / "client.key")
    until(lambda: agent.sources[0].status()["connected"] and agent.deliveries[0].available)
    agent.stop()
    gc.collect()
    broker.kill()


def _write_certificates(folder: Path, client_days: float = 2.0) -> None:
    """Write an authority, and certificates of localhost and of a client that it signed."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir()
    now = datetime.datetime.now(datetime.UTC)

    def certificate(
        name: str, key: Any, issuer: str, issuer_key: Any, ca: bool, days: float = 2.0
    ) -> x509.Certificate:
        built = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=days))
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
    for name, days in (("server", 2.0), ("client", client_days)):
        signed = certificate("localhost", key, "test ca", ca_key, False, days)
        (folder / f"{name}.pem").write_bytes(signed.public_bytes(pem))
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / f"{name}.key").write_bytes(secret)


def test_a_certificate_that_is_not_there_is_told(tmp_path: Path) -> None:
    from secateur.core.errors import ConfigError

    settings = MqttSinkSettings.model_validate(
        {"type": "mqtt", "tls": {"ca_file": str(tmp_path / "none.pem")}}
    )
    with pytest.raises(ConfigError, match="certificate"):
        MqttSink(settings, client_id="x").publish([record(1)])


def test_a_certificate_that_is_being_replaced_ends_no_delivery(
    tmp_path: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    authority = tmp_path / "ca.pem"
    settings = MqttSinkSettings.model_validate({"type": "mqtt", "tls": {"ca_file": str(authority)}})
    outbox = Outbox(database, OutboxSettings(), ["mqtt"])
    delivery = Delivery(outbox, MqttSink(settings, client_id="x"), replay_per_s=1)
    authority.write_text("half of a certif")
    delivery.start()
    until(lambda: not delivery.available)
    delivery.stop()
    assert "a certificate or key of tls cannot be used" in delivery.trouble
    assert all(entry.exc_info is None for entry in caplog.records)
