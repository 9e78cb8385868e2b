"""What studies of several rigs share: their options, and the files of their results."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secateur.core.provenance import provenance
from secateur.core.records import write_json


def options(doc: str, *, works: bool = True) -> argparse.ArgumentParser:
    """Return a parser with the places that every study reads and writes; ``doc`` is that of its module.

    One that ``works`` keeps models and answers, so that it goes on after a stop.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    if works:
        parser.add_argument("--work", type=Path, required=True, help="models and answers")
    parser.add_argument("--out", type=Path, required=True, help="without ending: .json and .md are written")
    return parser


def origin(places: Mapping[str, Path]) -> dict[str, Any]:
    """Return the origin of a result; places on this machine go by the names that the docs give them."""
    found = provenance()
    for name, place in places.items():
        found["command"] = found["command"].replace(str(place), name)
    return found


def write_results(given: argparse.Namespace, text: str, **figures: Any) -> None:
    """Write figures with their origin, and the table."""
    places = {name.upper(): vars(given)[name] for name in ("data", "work") if name in given}
    write_json(given.out.with_suffix(".json"), {**figures, "provenance": origin(places)})
    given.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text, flush=True)
