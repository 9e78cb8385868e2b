"""What all parts of the configuration share: strict fields, names, and places on the disk."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A name that is safe in a topic, in a path and in an address: no slash, no wildcard."""

PLANT_NAME_PATTERN = r"^[\p{L}\p{N}]([\p{L}\p{M}\p{N} ._-]{0,62}[\p{L}\p{M}\p{N}._-])?$"


def _one_spelling(text: str) -> str:
    if unicodedata.normalize("NFC", text) != text:
        raise ValueError(f"'{text}' has accents as characters of their own; write it composed (Unicode NFC)")
    if len(text.encode()) > 128:
        raise ValueError(f"'{text}' takes more than 128 bytes; shorten it")
    return text


PlantName = Annotated[str, Field(pattern=PLANT_NAME_PATTERN), AfterValidator(_one_spelling)]
"""A name of a machine or a sensor, as the plant and its topics have it: letters of any language, spaces."""

Port = Annotated[int, Field(ge=1, le=65535)]
Positive = Annotated[float, Field(gt=0)]
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Part(BaseModel):
    """A part of the configuration: unknown keys and infinite numbers are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object) -> object:
        for name, entry in value.items() if isinstance(value, dict) else ():
            if isinstance(entry, bool) and name in cls.model_fields:
                annotation = cls.model_fields[name].annotation
                if annotation is not bool and not any(parts_in(annotation)):
                    raise ValueError(
                        f"{name} is {str(entry).lower()}, which is neither number nor text; YAML reads yes, "
                        "no, on and off so: write a text in quotes"
                    )
        return value


def parts_in(annotation: Any) -> Iterator[type[Part]]:
    """Yield the parts that an annotation allows, down to the entries of lists and unions."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for inner in get_args(annotation):
        yield from parts_in(inner)


def _written_out(value: object) -> object:
    if isinstance(value, str | Path):
        text = str(value)
        if text.startswith("~"):
            raise ValueError(f"'{text}' begins with '~', which is not expanded; write it out")
        if not text or CONTROL.search(text):
            raise ValueError(f"{text!r} is no path")
    return value


class Kind(Enum):
    """What must lie at a place on the disk."""

    FILE = "a file that is there"
    FOLDER = "a folder that is there or can be made"
    PUBLIC_KEY = "a file with a public key"


File = Annotated[Path, BeforeValidator(_written_out), Kind.FILE]
Folder = Annotated[Path, BeforeValidator(_written_out), Kind.FOLDER]
PublicKey = Annotated[Path, BeforeValidator(_written_out), Kind.PUBLIC_KEY]
"""Places on the disk; a relative one starts at the folder of the configuration file."""


def kind_of(field: FieldInfo) -> Kind:
    """Return what must lie at the place, or at each of the places, that a field names."""
    return next(entry for entry in _noted(field.annotation, field.metadata) if isinstance(entry, Kind))


def _noted(annotation: Any, notes: Iterable[object] = ()) -> Iterator[object]:
    """Yield what ``Annotated`` notes on a type, on the members of a union, and on the entries of a tuple."""
    yield from (*notes, *getattr(annotation, "__metadata__", ()))
    for part in get_args(annotation):
        yield from _noted(part)
