"""The catalogue of bearings, looked up by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from secateur.core.errors import ConfigError
from secateur.signals.bearings.bearing import Bearing
from secateur.signals.bearings.estimate import RULES, estimated_geometry
from secateur.signals.bearings.names import compact, element_count_in, geometry_in, match
from secateur.signals.findings import Finding, warning
from secateur.signals.kinematics import BearingGeometry, FaultOrders

_FOLDER = Path(__file__).parent
_SMALL_BORES_MM = (10.0, 12.0, 15.0, 17.0)
_SECTION_TOLERANCE = 0.02
"""Share by which the estimated size of an element moves the lines, beside the count."""
_NEAREST = 5


def find_bearing(name: str) -> Bearing:
    """Return the bearing that a name means.

    Makers, seals, clearance and words without digits do not matter: ``SKF6205``, ``6205-2RS``,
    ``6205 2RS JEM`` and ``6205 deep groove`` are one bearing. A geometry in words goes first:
    ``NICE (8 elements, ball 0.235 in, pitch 1.245 in)``.

    Raises
    ------
    ConfigError
        If the catalogue does not have it, or the name states another number of elements; the message
        quotes the name and the nearest ones, and tells how to give the geometry.
    """
    geometry = geometry_in(name)
    if geometry is not None:
        return Bearing(designation=name, orders=geometry.orders, source="dimensions in the name")
    found = match(name, _by_form())
    if found is None:
        raise ConfigError(
            f"unknown bearing '{name}'; nearest in the catalogue: {', '.join(nearest(name))}. Give the "
            "geometry instead (number of elements, their diameter and the pitch diameter in mm) or the "
            "multiples of the shaft rate (BPFO, BPFI): see docs/data.md, Bearings."
        )
    bearing = _by_form()[found]
    stated = element_count_in(name)
    known = round(bearing.orders.bpfo + bearing.orders.bpfi)
    if stated is not None and stated != known:
        raise ConfigError(
            f"bearing '{name}' states {stated} rolling elements, but {bearing.designation} in the catalogue "
            f"has {known}; give its geometry instead."
        )
    return bearing


def known_bearing(name: str) -> FaultOrders:
    """Return the fault orders of a bearing of the catalogue, see :func:`find_bearing`.

    Raises
    ------
    ConfigError
        If the bearing is not in the catalogue.
    """
    return find_bearing(name).orders


def orders_by_name(subject: str, name: str) -> tuple[FaultOrders | None, tuple[Finding, ...]]:
    """Return the fault orders of a bearing that a data set names, or a finding that quotes the name.

    Parameters
    ----------
    subject : str
        The recording.
    name : str
        Empty if none is named.
    """
    if not name:
        return None, ()
    try:
        return known_bearing(name), ()
    except ConfigError as fault:
        return None, (warning("unknown_bearing", subject, str(fault)),)


def known_bearings() -> tuple[Bearing, ...]:
    """Return every bearing of the catalogue once."""
    return tuple({bearing.designation: bearing for bearing in _by_form().values()}.values())


def nearest(name: str) -> list[str]:
    """Return the designations that are written most like a name."""
    forms = _by_form()
    close = difflib.get_close_matches(compact(name), list(forms), n=3 * _NEAREST, cutoff=0.4) or list(forms)
    return list(dict.fromkeys(forms[form].designation for form in close))[:_NEAREST]


@cache
def _by_form() -> dict[str, Bearing]:
    """Every bearing by the compact form of each of its names; published figures go before estimates."""
    bearings: dict[str, Bearing] = {}
    for names, bearing in (*_published(), *_of_timken(), *estimated_bearings(), *_inserts()):
        for name in names:
            bearings.setdefault(compact(name), replace(bearing, designation=names[0]))
    return bearings


def _read(name: str) -> dict[str, Any]:
    return yaml.safe_load((_FOLDER / name).read_text(encoding="utf-8"))


def _published() -> Iterator[tuple[list[str], Bearing]]:
    for name, entry in _read("published.yaml").items():
        if "multipliers" in entry:
            orders = FaultOrders.from_multipliers(**entry["multipliers"])
        else:
            dimensions = {key: value for key, value in entry.items() if key not in ("aliases", "source")}
            orders = BearingGeometry(designation=name, **dimensions).orders
        yield (
            [name, *entry["aliases"]],
            Bearing(designation=name, orders=orders, source=entry["source"]),
        )


def _of_timken() -> Iterator[tuple[list[str], Bearing]]:
    table = _read("timken.yaml")
    for name, (bpfo, bpfi, spin) in table["sizes"].items():
        count = round(bpfo + bpfi)
        other = table["other_counts"].get(name)
        tolerance = table["tolerance"] if other is None else abs(other - count) / count
        makers = "other makers differ" + (f", some have {other} elements" if other else "")
        orders = FaultOrders.from_multipliers(bpfo=bpfo, bpfi=bpfi, bsf2=2.0 * spin)
        yield (
            [name],
            Bearing(
                designation=name,
                orders=replace(orders, tolerance=tolerance),
                source=f"{table['source']}; {makers}",
            ),
        )


def estimated_bearings() -> Iterator[tuple[list[str], Bearing]]:
    """Yield the names and the estimate of every size of the series; published figures go before them."""
    table = _read("series.yaml")
    for series, entry in table["series"].items():
        for code, outer_mm in enumerate(entry["outer_mm"], start=entry["first"]):
            bore_mm = _SMALL_BORES_MM[code] if code < len(_SMALL_BORES_MM) else 5.0 * code
            prefixes = [series, *entry.get("also", ())]
            names = [f"{prefix}{code:02d}{entry.get('suffix', '')}" for prefix in prefixes]
            yield names, _estimate(names[0], entry["kind"], bore_mm, outer_mm)
    for name, (bore_mm, outer_mm) in table["sizes"].items():
        yield [name], _estimate(name, "deep_groove", bore_mm, outer_mm)


def _estimate(name: str, kind: str, bore_mm: float, outer_mm: float) -> Bearing:
    geometry = estimated_geometry(name, kind, bore_mm, outer_mm)
    tolerance = 1.0 / geometry.n_balls + _SECTION_TOLERANCE
    return Bearing(
        designation=name,
        orders=replace(geometry.orders, tolerance=tolerance),
        source=f"estimated from the dimensions {bore_mm:g} x {outer_mm:g} mm of a {RULES[kind].words}",
    )


def _inserts() -> Iterator[tuple[list[str], Bearing]]:
    table, sizes = _read("series.yaml"), {names[0]: bearing for names, bearing in _of_timken()}
    for code in range(table["insert_first"], table["insert_last"] + 1):
        names = [f"{prefix}2{code:02d}" for prefix in table["insert_prefixes"]]
        yield names, sizes[f"62{code:02d}"]
