"""The catalogue of bearings, looked up by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from secateur.core.errors import ConfigError
from secateur.signals.bearings.bearing import Bearing
from secateur.signals.kinematics import BearingGeometry, FaultOrders

_PUBLISHED = Path(__file__).with_name("published.yaml")


@cache
def _catalogue() -> dict[str, Bearing]:
    bearings: dict[str, Bearing] = {}
    for name, entry in yaml.safe_load(_PUBLISHED.read_text(encoding="utf-8")).items():
        if "multipliers" in entry:
            orders = FaultOrders.from_multipliers(**entry["multipliers"])
        else:
            dimensions = {key: value for key, value in entry.items() if key not in ("aliases", "source")}
            orders = BearingGeometry(designation=name, **dimensions).orders
        found = Bearing(designation=name, orders=orders, source=entry["source"])
        bearings[name] = found
        bearings.update(dict.fromkeys(entry["aliases"], found))
    return bearings


def known_bearings() -> tuple[str, ...]:
    """Names under which :func:`find_bearing` finds a bearing, aliases included."""
    return tuple(_catalogue())


def find_bearing(name: str) -> Bearing:
    """Return a bearing of the catalogue; upper or lower case does not matter.

    Raises
    ------
    ConfigError
        If the bearing is not in the catalogue.
    """
    for known, bearing in _catalogue().items():
        if known.lower() == name.strip().lower():
            return bearing
    raise ConfigError(
        f"unknown bearing '{name}'; known: {', '.join(known_bearings())}. For another one give its geometry "
        "(n_balls, ball_diameter_mm, pitch_diameter_mm) or its multipliers (bpfo, bpfi)."
    )


def known_bearing(name: str) -> FaultOrders:
    """Return the fault orders of a bearing of the catalogue, see :func:`find_bearing`.

    Raises
    ------
    ConfigError
        If the bearing is not in the catalogue.
    """
    return find_bearing(name).orders
