"""The figures of a run: on the screen, and in a file where one is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from secateur.core.records import write_json


def tell(found: dict[str, Any], out: Path | None) -> None:
    """Print figures as JSON, and write them to ``out`` if it is given."""
    print(json.dumps(found, indent=2))
    if out is not None:
        write_json(out, found)
