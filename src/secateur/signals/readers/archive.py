"""The archive layout: a folder with ``recordings.csv`` as index and one NPZ file a recording."""

from __future__ import annotations

import csv
from pathlib import Path

from secateur.core.errors import ConfigError, DataError
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.kinematics import FaultOrders
from secateur.signals.recording import Recording
from secateur.signals.sources.npz import NpzSource

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

# How the archives word the bearing, against the name in the bearing catalogue.
BEARINGS = {
    "6205-2RS JEM SKF (drive end)": "6205",
    "6205 NTN equivalent (drive end)": "NTN-6205-equivalent",
    "ASAHI UCPH 20x pillow block (UC insert)": "UC204",
}


def load_archive(folder: Path) -> list[Recording]:
    """Read the index; the waveforms stay on disk until they are asked for.

    The shaft speed is the column ``rpm`` (tachometer where the set has one, else nominal). A column
    ``rpm_estimated`` is never used: estimated from the vibration itself, it identifies the class.

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
    with index.open(encoding="utf-8", newline="") as lines:
        table = csv.DictReader(lines)
        missing = [name for name in REQUIRED_COLUMNS if name not in (table.fieldnames or ())]
        if missing:
            raise DataError(f"{index} has no column {', '.join(missing)}; the archive layout needs them.")
        rows = list(table)
    if not rows:
        raise DataError(f"{index} lists no recordings.")
    return [_recording(folder, index, line, row) for line, row in enumerate(rows, start=2)]


def _recording(folder: Path, index: Path, line: int, row: dict[str, str]) -> Recording:
    path = folder / row["file"]
    channels = tuple(row["channels"].split("|"))
    try:
        return Recording(
            recording_id=row["recording_id"],
            source=NpzSource(path, channels),
            channels=channels,
            sampling_rate_hz=float(row["sampling_rate_hz"]),
            group_id=row["group_id"],
            dataset=row["dataset"],
            fault_location=row["fault_type"] or None,
            shaft_speed_rpm=_number(row.get("rpm")),
            nominal_speed_rpm=_number(row.get("rpm_nominal")),
            load=_number(row.get("load_hp")),
            fault_size_mil=_number(row.get("fault_diameter_mil")),
            severity=row.get("severity") or None,
            position=row.get("outer_race_position") or None,
            fault_orders=_orders(row.get("bearing")),
            path=path,
            sha256=row["sha256"] or None,
            subset=row.get("subset") or "",
            notes=row.get("notes") or "",
        )
    except (ValueError, DataError) as error:
        raise DataError(f"{index} line {line} ({row['recording_id']}): {error}") from None


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _orders(bearing: str | None) -> FaultOrders | None:
    if not bearing:
        return None
    try:
        return known_bearing(BEARINGS.get(bearing, bearing))
    except ConfigError:
        return None
