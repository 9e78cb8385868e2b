"""A result as Sparkplug metrics: flat names, one type each, an alias from the birth on."""

from __future__ import annotations

from typing import Any

from secateur.edge.agent.sparkplug.codec import Metric, Value, type_of
from secateur.edge.agent.sparkplug.schema import DataType


def flattened(result: dict[str, Any]) -> dict[str, Value]:
    """Return the values of a result or an alarm by name, such as ``bearing/level`` or ``indicators/rms``."""
    found: dict[str, Value] = {}
    _flatten("", result, found)
    return found


def _flatten(prefix: str, value: Any, found: dict[str, Value]) -> None:
    if isinstance(value, dict):
        for name, entry in value.items():
            _flatten(f"{prefix}/{name}" if prefix else str(name), entry, found)
    elif isinstance(value, list):
        found[prefix] = ", ".join(map(str, value))
    elif isinstance(value, bool) or value is None or isinstance(value, str):
        found[prefix] = value
    elif prefix in ("number", "sequence"):
        found[prefix] = int(value)
    else:
        found[prefix] = float(value)


class Aliases:
    """Numbers for the metrics of one session, in the order in which names appear; types never change."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        self._types: dict[tuple[str, str], DataType] = {}

    def knows(self, device: str, values: dict[str, Value]) -> bool:
        """Whether every name has been born, and with the type of its value where that is not null."""
        return all(
            (device, name) in (self._numbers if value is None else self._types)
            for name, value in values.items()
        )

    def learn(self, device: str, values: dict[str, Value]) -> None:
        """Give numbers to new names."""
        for name, value in values.items():
            if (device, name) not in self._numbers:
                self._numbers[device, name] = len(self._numbers) + 1
            known = self._types.get((device, name))
            if known is None and value is not None:
                self._types[device, name] = type_of(value)

    def born(self, device: str) -> list[str]:
        """Return all names of a device that have a number."""
        return [name for owner, name in self._numbers if owner == device]

    def metric(
        self, device: str, name: str, value: Value, *, timestamp_ms: int, historical: bool = False
    ) -> Metric:
        """Return a metric with its number; a value of another type than at birth is sent as null."""
        kind = self._types.get((device, name), DataType.STRING)
        if value is not None and type_of(value) is not kind:
            value = None
        return Metric(
            name=name,
            alias=self._numbers[device, name],
            value=value,
            datatype=kind,
            timestamp_ms=timestamp_ms,
            historical=historical,
        )
