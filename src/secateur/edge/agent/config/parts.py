"""What all parts of the configuration share: strict fields, names, and places on the disk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A name that is safe in a topic, in a path and in an address: no slash, no wildcard."""

Port = Annotated[int, Field(ge=1, le=65535)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Part(BaseModel):
    """A part of the configuration: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _written_out(value: object) -> object:
    if isinstance(value, str | Path):
        text = str(value)
        if text.startswith("~"):
            raise ValueError(f"'{text}' begins with '~', which is not expanded; write it out")
        if not text or CONTROL.search(text):
            raise ValueError(f"{text!r} is no path")
    return value


Place = Annotated[Path, BeforeValidator(_written_out)]
"""A file or folder; a relative one starts at the folder of the configuration file."""
