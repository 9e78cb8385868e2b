"""Entries for the outbox of an agent, and an outbox to put them into."""

from __future__ import annotations

from collections.abc import Sequence

from secateur.edge.agent.config.settings import Outbox as OutboxSettings
from secateur.edge.agent.outbox.database import Database
from secateur.edge.agent.outbox.store import Entry, Outbox


def entry(number: int, *, kind: str = "result", size: int = 20, sensor: str = "a") -> Entry:
    return Entry(
        key=f"{kind}-{sensor}-{number}",
        kind=kind,
        machine="m",
        sensor=sensor,
        payload=f'{{"n": {number}, "pad": "{"x" * size}"}}'.encode(),
    )


def outbox_of(database: Database, sinks: Sequence[str] = ("s",), **changed: object) -> Outbox:
    return Outbox(database, OutboxSettings.model_validate(changed), sinks)
