"""The archive layout: a folder with ``recordings.csv`` as index and one NPZ file a recording."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import cast

from secateur.core.documents import require_regular_file
from secateur.core.errors import DataError
from secateur.signals.bearings.catalogue import orders_by_name
from secateur.signals.findings import Finding, warning
from secateur.signals.positions import clock_position
from secateur.signals.readers.files import require_inside
from secateur.signals.recording import FaultLocation, Recording
from secateur.signals.sources.npz import NpzSource, npz_scalars
from secateur.signals.sources.stated import (
    SPEED_TOLERANCE,
    Statement,
    agreed,
    rate_among,
    speed_among,
)

INDEX_NAME = "recordings.csv"

REQUIRED_COLUMNS = (
    "recording_id",
    "dataset",
    "file",
    "channels",
    "sampling_rate_hz",
    "fault_type",
    "group_id",
    "sha256",
)

OPTIONAL_COLUMNS = (
    *("rpm", "rpm_nominal", "load_hp", "fault_diameter_mil", "severity", "outer_race_position", "bearing"),
    *("subset", "notes"),
)
# rpm_estimated was estimated from the vibration itself: it identifies the class.
PASSED_OVER = ("rpm_estimated", "load_other", "n_samples", "derived_from", "source_name")
_COLUMNS = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS, *PASSED_OVER)
_TELLING_COLUMNS, _LONGEST_HEADER = ("recording_id", "group_id", "fault_type"), 1 << 16
# In these sets a group is an uninterrupted recording; which bearing it is of is not documented.
GROUPS_ARE_RECORDINGS = ("uestc", "jnu", "mfpt")


def is_archive(folder: Path) -> bool:
    """Say whether a folder holds an index, by the header: other tables are called ``recordings.csv`` too."""
    index = folder / INDEX_NAME
    if not index.is_file():
        return False
    with index.open("rb") as stream:
        header = stream.readline(_LONGEST_HEADER).decode("utf-8", errors="replace")
    return any(name in header for name in _TELLING_COLUMNS)


def load_archive(folder: Path) -> list[Recording]:
    """Read the index; the waveforms stay on disk until they are asked for.

    The shaft speed is the column ``rpm`` (tachometer where the set has one, else nominal). What cannot be
    understood (a bearing that the catalogue lacks, a column of another name) is a finding of the recording.

    Parameters
    ----------
    folder : Path
        The folder that holds ``recordings.csv``.

    Raises
    ------
    DataError
        If the index lacks a column or a row cannot be understood.
    """
    index = folder / INDEX_NAME
    rows, unknown = _rows(index)
    recordings = [_recording(folder, index, line, row) for line, row in enumerate(rows, start=2)]
    if unknown:
        recordings[0] = replace(
            recordings[0], findings=(*recordings[0].findings, _unknown_columns(index, unknown))
        )
    return recordings


def archived(path: Path) -> Recording | None:
    """Return the recording of one file if an index in its folder, or in the folder above, lists it."""
    path = path.resolve()
    for folder in path.parents[:2]:
        index = folder / INDEX_NAME
        if not index.is_file():
            continue
        try:
            rows, _ = _rows(index)
        except DataError:  # a file of that name which is no index, perhaps a waveform
            continue
        for line, row in enumerate(rows, start=2):
            if folder / row["file"] == path:
                return _recording(folder, index, line, row)
    return None


def _rows(index: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Return the rows of an index, and the names of columns that are not read."""
    require_regular_file(index)
    try:
        with index.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            names, rows = tuple(table.fieldnames or ()), list(table)
    except (csv.Error, UnicodeDecodeError) as fault:
        raise DataError(f"{index} is not a CSV file in UTF-8 ({fault}).") from None
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    if missing:
        raise DataError(f"{index} has no column {', '.join(missing)}; the archive layout needs them.")
    unknown = [name for name in names if name and name not in _COLUMNS]
    uneven = [line for line, row in enumerate(rows, start=2) if None in row or None in row.values()]
    if uneven:
        raise DataError(
            f"{index} line {uneven[0]} has another number of fields than the header's {len(names)}."
        )
    if not rows:
        raise DataError(f"{index} lists no recordings.")
    return rows, unknown


def _unknown_columns(index: Path, names: list[str]) -> Finding:
    return warning(
        "column_not_read",
        index.name,
        f"columns {', '.join(names)} are not read; allowed: {', '.join(_COLUMNS)}. Rename those that "
        "state speed, load, size or bearing.",
    )


def _recording(folder: Path, index: Path, line: int, row: dict[str, str]) -> Recording:
    require_inside(row["file"], f"{index} line {line}")
    path = folder / row["file"]
    channels = tuple(row["channels"].split("|"))
    bearing = (row.get("bearing") or "").strip()
    try:
        orders, findings = orders_by_name(row["recording_id"], bearing)
        position, unclear = clock_position(row["recording_id"], row.get("outer_race_position"))
        rate = Statement(value=_required_number(row, "sampling_rate_hz"), said_by="the index")
        recording = Recording(
            recording_id=row["recording_id"],
            source=NpzSource(path, channels),
            channels=channels,
            sampling_rate_hz=rate.value,
            group_id=row["group_id"],
            dataset=row["dataset"],
            fault_location=cast("FaultLocation | None", row["fault_type"] or None),
            shaft_speed_rpm=_number(row, "rpm"),
            nominal_speed_rpm=_number(row, "rpm_nominal"),
            load=_number(row, "load_hp"),
            fault_size_mil=_number(row, "fault_diameter_mil"),
            severity=row.get("severity") or None,
            position=position,
            fault_orders=orders,
            bearing=bearing,
            findings=(*findings, *unclear),
            specimens_documented=row["dataset"].lower() not in GROUPS_ARE_RECORDINGS,
            path=path,
            sha256=row["sha256"] or None,
            subset=row.get("subset") or "",
            notes=row.get("notes") or "",
        )
        _require_same_facts(recording, row, rate)
    except DataError as error:
        raise DataError(f"{index} line {line} ({row['recording_id']}): {error}") from None
    return recording


def _require_same_facts(recording: Recording, row: dict[str, str], rate: Statement) -> None:
    """Compare the index with the file; a file that is gone or damaged is told when it is read.

    Raises
    ------
    DataError
        If rate, speed or length differ.
    """
    path = recording.path
    assert path is not None, "recordings of an archive are files"
    try:
        scalars, n_samples = npz_scalars(path), recording.n_samples
    except DataError:
        return
    agreed([rate, rate_among(scalars, path.name)], "Hz", path.name)
    said = None
    if recording.shaft_speed_rpm is not None:
        said = Statement(value=recording.shaft_speed_rpm, said_by="the index", tolerance=SPEED_TOLERANCE)
    agreed([said, speed_among(scalars)], "rpm", path.name)
    listed = _number(row, "n_samples")
    if listed is not None and listed != n_samples:
        raise DataError(
            f"{path.name} holds {n_samples} samples and the index says {listed:g}; fetch it again."
        )


def _number(row: dict[str, str], column: str) -> float | None:
    return _required_number(row, column) if row.get(column) else None


def _required_number(row: dict[str, str], column: str) -> float:
    try:
        return float(row[column])
    except ValueError:
        raise DataError(f"column {column}: '{row[column]}' is not a number; write it without unit.") from None
