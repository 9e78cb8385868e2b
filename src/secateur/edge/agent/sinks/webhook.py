"""Alarms, or all results, as JSON to an address of somebody else's."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import httpx

from secateur.edge.agent.config.connections import WebhookSink as WebhookSettings
from secateur.edge.agent.outbox.store import Record
from secateur.edge.agent.sinks.base import RecordRefused, Sink, SinkUnavailable
from secateur.edge.agent.sinks.mqtt import marked

_ABOUT_THE_RECORD = (400, 409, 413, 415, 422)
"""Answers that the content earns; a wrong address or token is no reason to give a record up."""


class Webhook(Sink):
    """One POST a record, in order; any answer from 200 to 299 acknowledges it. Redirects are not followed.

    Parameters
    ----------
    settings : WebhookSettings
    """

    def __init__(self, settings: WebhookSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self.takes_results = settings.send == "all"
        headers = {"Content-Type": "application/json"}
        if settings.token is not None:
            headers["Authorization"] = f"Bearer {settings.token.read()}"
        self._client = httpx.Client(headers=headers, timeout=settings.timeout_s, trust_env=False)

    def publish(self, records: Sequence[Record]) -> None:
        """See :class:`~secateur.edge.agent.sinks.base.Sink`."""
        for index, record in enumerate(records):
            self._post(record, index)

    def _post(self, record: Record, index: int) -> None:
        try:
            answer = self._client.post(
                self._settings.url,
                content=marked(record),
                headers={"Idempotency-Key": quote(record.key, safe="/.:")},
            )
        except httpx.HTTPError as error:
            raise SinkUnavailable(
                f"{self._settings.url} does not answer: {error or type(error).__name__}.", acknowledged=index
            ) from None
        if answer.is_success:
            return
        told = f"{self._settings.url} answers {answer.status_code}."
        if answer.status_code in _ABOUT_THE_RECORD:
            raise RecordRefused(told, index=index)
        raise SinkUnavailable(told, acknowledged=index)

    def close(self) -> None:
        """Give up the connection."""
        self._client.close()
