"""MQTT clients for sources and sinks: MQTT 5, TLS, a user and a password from elsewhere."""

from __future__ import annotations

import contextlib
import ssl
from datetime import UTC, datetime

import paho.mqtt.client as paho
from paho.mqtt.properties import Properties

from secateur.core.errors import ConfigError
from secateur.edge.agent.config.connections import Broker, Tls

LARGEST_PACKET = 64 << 20


def new_client(
    broker: Broker,
    *,
    client_id: str,
    clean_start: bool,
    session_s: int,
    manual_ack: bool = False,
    connects_again: bool = True,
) -> tuple[paho.Client, dict[str, object]]:
    """Return a client that is not connected yet, and the arguments of its ``connect``.

    Parameters
    ----------
    broker : Broker
    client_id : str
    clean_start : bool
        Whether the broker forgets an earlier session of this client.
    session_s : int
        For how long it keeps the session of a client that is gone.
    manual_ack : bool
        Whether the receiver acknowledges messages itself.
    connects_again : bool
        Whether it connects anew by itself when a connection is lost.

    Raises
    ------
    ConfigError
        If a secret or a certificate cannot be read.
    """
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=paho.MQTTv5,
        manual_ack=manual_ack,
        reconnect_on_failure=connects_again,
    )
    client.connect_timeout = 5.0
    if broker.username is not None:
        client.username_pw_set(broker.username, None if broker.password is None else broker.password.read())
    tls = broker.tls
    if tls is not None:
        context = tls_context(tls)
        client.tls_set_context(context)
        client.on_pre_connect = lambda *_: _read_again(context, tls)
    properties = Properties(paho.PacketTypes.CONNECT)  # type: ignore[attr-defined]
    properties.SessionExpiryInterval = session_s
    properties.MaximumPacketSize = LARGEST_PACKET
    arguments = {
        "host": broker.host,
        "port": broker.port,
        "keepalive": broker.keepalive_s,
        "clean_start": clean_start,
        "properties": properties,
    }
    return client, arguments


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return what a TLS connection is made with.

    Raises
    ------
    ConfigError
        If a certificate or key cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=None if tls.ca_file is None else str(tls.ca_file))
        _read(context, tls)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"a certificate or key of tls cannot be used ({error}).") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _read(context: ssl.SSLContext, tls: Tls) -> None:
    if tls.ca_file is not None:
        context.load_verify_locations(str(tls.ca_file))
    if tls.certificate_file is not None:
        context.load_cert_chain(tls.certificate_file, tls.key_file)


def _read_again(context: ssl.SSLContext, tls: Tls) -> None:
    """Take certificates that were renewed; while they are being written the former ones hold on."""
    with contextlib.suppress(OSError, ssl.SSLError):
        _read(context, tls)


def ended_certificate(tls: Tls | None) -> str | None:
    """Tell a certificate of our own that has ended; brokers hang up on it without a word."""
    from cryptography.x509 import load_pem_x509_certificate

    if tls is None or tls.certificate_file is None:
        return None
    try:
        until = load_pem_x509_certificate(tls.certificate_file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None
    if until > datetime.now(UTC):
        return None
    return f"the certificate {tls.certificate_file} ended on {until:%Y-%m-%d at %H:%M} UTC; renew it"


def why_hung_up(tls: Tls | None, *, answered: bool) -> str | None:
    """Tell why a broker may have hung up without a word.

    Parameters
    ----------
    tls : Tls or None
        Of our connection.
    answered : bool
        Whether it had answered before.
    """
    if ended := ended_certificate(tls):
        return ended
    if tls is None and not answered:
        return "it hung up before it answered, as a broker does that asks for TLS; if it does, give tls"
    return None
