"""The YAML that describes recordings of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

from secateur.core.documents import read_yaml
from secateur.core.errors import DataError
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.kinematics import BearingGeometry, FaultOrders


def _no_truth(value: object) -> object:
    """Refuse yes and no, which would pass for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"{'yes' if value else 'no'} is no number")
    return value


Number = Annotated[float, BeforeValidator(_no_truth), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

TO_FILL_IN = "FILL_IN"
"""What ``secateur init`` writes where a person must say something."""

MOST_NAMED = 6


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GeometryEntry(_Strict):
    """A bearing by its dimensions."""

    n_balls: int
    ball_diameter_mm: Positive
    pitch_diameter_mm: Positive
    contact_angle_deg: Number = 0.0


class MultipliersEntry(_Strict):
    """A bearing by the multiples of the shaft rate that a catalogue gives."""

    bpfo: Positive
    bpfi: Positive
    bsf2: Positive | None = None
    ftf: Positive | None = None


def _number_as_name(value: object) -> object:
    """Let ``bearing: 6205`` be written without quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class TextEntry(_Strict):
    """How numbers are written in CSV files: see ``TextFormat``."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    decimal: Literal[".", ","] | None = None
    skip_lines: Annotated[int, Field(ge=0)] = 0


BearingEntry = Annotated[str | GeometryEntry | MultipliersEntry, BeforeValidator(_number_as_name)]


class RecordingEntry(_Strict):
    """One file, or the files that a pattern matches, with what is known about them.

    Settings that the whole set shares stand at the top of the description; those here go first.
    """

    file: str
    label: Name | None = None
    group: Name | None = None
    columns: list[str] | None = None
    sampling_rate_hz: Positive | None = None
    speed_rpm: Positive | None = None
    nominal_speed_rpm: Positive | None = None
    load: Number | None = None
    fault_size_mil: Positive | None = None
    severity: str | None = None
    position: str | None = None
    bearing: BearingEntry | None = None
    unit: str | None = None
    subset: str = ""
    notes: str = ""


class Description(_Strict):
    """A whole data set of one's own.

    ``labels`` translates one's own words ("healthy") into fault locations ("normal").
    """

    dataset: Name
    recordings: list[RecordingEntry] = Field(min_length=1)
    sampling_rate_hz: Positive | None = None
    columns: list[str] = []
    text: TextEntry = TextEntry()
    speed_rpm: Positive | None = None
    bearing: BearingEntry | None = None
    unit: str | None = None
    labels: dict[Name, Name] = {}


def read_description(path: Path) -> Description:
    """Read and check a description.

    Raises
    ------
    DataError
        If it is not YAML or a key is unknown, missing or of the wrong kind; the message lists the first
        faults with the allowed keys.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise DataError(
            f"{path} holds no keys with values; a description begins with 'dataset: NAME' and 'recordings:' "
            "(see docs/data.md, or let 'secateur init' write it)."
        )
    _require_completed(path)
    try:
        return Description.model_validate(content)
    except ValidationError as error:
        faults = error.errors()
        named = "; ".join(map(_in_words, faults[:MOST_NAMED]))
        more = f"; and {len(faults) - MOST_NAMED} more" if len(faults) > MOST_NAMED else ""
        raise DataError(f"{path}: {named}{more}.") from None


def _require_completed(path: Path) -> None:
    """Refuse a draft of ``secateur init`` that still has marks; the lines are named."""
    lines = enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1)
    left = [(number, line) for number, line in lines if TO_FILL_IN in line.partition("#")[0]]
    if left:
        named = "; ".join(f"line {n}: {line.partition('#')[0].strip(' -')}" for n, line in left[:MOST_NAMED])
        more = f"; and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
        raise DataError(
            f"{path} is not completed: {named}{more}. Replace {TO_FILL_IN}, or remove lines of what is not "
            "known."
        )


def _in_words(fault: ErrorDetails) -> str:
    place = _place(fault["loc"])
    if fault["type"] == "string_type":
        given = f"{fault['input']!r} is no text"
        return f"{place}: {given}; put it in quotes, or YAML takes yes, no and numbers as such"
    if fault["type"] != "extra_forbidden":
        said = fault["msg"].removeprefix("Value error, ")
        return f"{place}: {said[0].lower()}{said[1:]}"
    models: dict[str | int, type[BaseModel]] = {
        "GeometryEntry": GeometryEntry,
        "MultipliersEntry": MultipliersEntry,
    }
    tops: dict[str | int, type[BaseModel]] = {"recordings": RecordingEntry, "text": TextEntry}
    named = [models[part] for part in fault["loc"] if part in models]
    is_top = len(fault["loc"]) == 1
    model = named[0] if named else Description if is_top else tops.get(fault["loc"][0], Description)
    return f"{place}: unknown key; allowed: {', '.join(model.model_fields)}"


def _place(loc: tuple[int | str, ...]) -> str:
    """Return where a fault is, recordings counted from 1 as in all other messages."""
    if len(loc) > 1 and loc[0] == "recordings" and isinstance(loc[1], int):
        return ", ".join([f"recording {loc[1] + 1}", ".".join(map(str, loc[2:]))]).removesuffix(", ")
    return ".".join(map(str, loc)) or "the description"


def orders_of(bearing: str | GeometryEntry | MultipliersEntry | None) -> FaultOrders | None:
    """Return the fault orders of a bearing given by name, geometry or multipliers; None stays None."""
    if bearing is None:
        return None
    if isinstance(bearing, str):
        return known_bearing(bearing)
    if isinstance(bearing, MultipliersEntry):
        return FaultOrders.from_multipliers(**bearing.model_dump())
    return BearingGeometry(designation="as described", **bearing.model_dump()).orders


def in_words(bearing: str | GeometryEntry | MultipliersEntry | None) -> str:
    """Return a bearing as it was given, for messages."""
    if bearing is None or isinstance(bearing, str):
        return bearing or ""
    return ", ".join(f"{key} {value:g}" for key, value in bearing if value is not None)
