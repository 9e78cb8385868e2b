"""Results and alarms as they wait in the outbox: JSON with the name of their agent."""

from __future__ import annotations

import json
from typing import Any

from secateur.edge.agent.outbox.store import Entry
from secateur.edge.agent.state.alarms import Alarm

ALARM_SCHEMA = "secateur.alarm/1"


def result_entry(agent: str, result: dict[str, Any]) -> Entry:
    """Return a result as an entry of the outbox."""
    return Entry(
        key=result["key"],
        kind="result",
        machine=result["machine"],
        sensor=result["sensor"],
        payload=_json(result | {"agent": agent}),
    )


def alarm_entry(agent: str, alarm: Alarm, event: str, key: str) -> Entry:
    """Return what happened to an alarm as an entry of the outbox."""
    value = alarm.to_json() | {
        "schema": ALARM_SCHEMA,
        "agent": agent,
        "event": event,
        "measured_unix_s": alarm.changed_unix_s,
    }
    return Entry(key=key, kind="alarm", machine=alarm.machine, sensor=alarm.sensor, payload=_json(value))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
