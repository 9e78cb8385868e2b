"""MQTT clients for sources and sinks: MQTT 5, TLS, a user and a password from elsewhere."""

from __future__ import annotations

import ssl

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
    if broker.tls is not None:
        client.tls_set_context(tls_context(broker.tls))
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
        if tls.certificate_file is not None:
            context.load_cert_chain(tls.certificate_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"a certificate or key of tls cannot be used ({error}).") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
