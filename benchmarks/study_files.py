"""What studies of several rigs share: their options, and the files of their results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from secateur.core.provenance import provenance
from secateur.core.records import write_json


def options(doc: str) -> argparse.ArgumentParser:
    """Return a parser with the places that every study reads and writes; ``doc`` is that of its module."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="models and answers")
    parser.add_argument("--out", type=Path, required=True, help="without ending: .json and .md are written")
    return parser


def write_results(given: argparse.Namespace, text: str, **figures: Any) -> None:
    """Write figures with their origin, and the table; places on this machine go by the names in the docs."""
    origin = provenance()
    for place, name in ((given.data, "DATA"), (given.work, "WORK")):
        origin["command"] = origin["command"].replace(str(place), name)
    write_json(given.out.with_suffix(".json"), {**figures, "provenance": origin})
    given.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text, flush=True)
