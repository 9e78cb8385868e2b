"""Results as JSON over MQTT 5, acknowledged by the broker."""

from __future__ import annotations

import json
from collections.abc import Sequence

from secateur.edge.agent.config.connections import MqttSink as MqttSinkSettings
from secateur.edge.agent.outbox.store import Record
from secateur.edge.agent.sinks.base import Sink
from secateur.edge.agent.sinks.mqtt_session import Message, MqttSession


class MqttSink(Sink):
    """Publishes to ``PREFIX/MACHINE/SENSOR/result`` and ``.../alarm``.

    Parameters
    ----------
    settings : MqttSinkSettings
    client_id : str
        Used if the settings name none.
    """

    def __init__(self, settings: MqttSinkSettings, *, client_id: str) -> None:
        self.name = settings.name
        self._settings, self._client_id = settings, settings.client_id or client_id
        self._session: MqttSession | None = None

    def publish(self, records: Sequence[Record]) -> None:
        """See :class:`~secateur.edge.agent.sinks.base.Sink`."""
        self._open().publish([self._message(record) for record in records])

    def be_ready(self) -> None:
        """Keep the connection, so that a broker that is gone is noticed before there is something to send."""
        self._open()

    def _open(self) -> MqttSession:
        if self._session is None or not self._session.is_open:
            self._session = MqttSession(
                self._settings,
                client_id=self._client_id,
                acknowledged_within_s=self._settings.acknowledged_within_s,
            )
        return self._session

    def _message(self, record: Record) -> Message:
        return Message(
            topic=f"{self._settings.topic}/{record.machine}/{record.sensor}/{record.kind}",
            content=marked(record),
            properties={
                "key": record.key,
                "sequence": str(record.seq),
                "historical": _word(record.historical),
                "redelivered": _word(record.redelivered),
            },
        )

    def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            self._session.close()


def marked(record: Record) -> bytes:
    """Return the JSON of a record with what its delivery adds: sequence, historical, redelivered."""
    value = json.loads(record.payload)
    value |= {
        "key": record.key,
        "sequence": record.seq,
        "historical": record.historical,
        "redelivered": record.redelivered,
    }
    return json.dumps(value, separators=(",", ":")).encode()


def _word(value: bool) -> str:
    return "true" if value else "false"
