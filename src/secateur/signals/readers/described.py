"""Files of one's own, described by a small YAML beside them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from secateur.core.errors import ConfigError, DataError
from secateur.signals.positions import clock_position
from secateur.signals.readers.description import (
    Description,
    RecordingEntry,
    in_words,
    orders_of,
    read_description,
)
from secateur.signals.readers.files import recording_names, require_inside
from secateur.signals.recording import FAULT_LOCATIONS, FaultLocation, Recording
from secateur.signals.sources.open import OpenedFile, open_source
from secateur.signals.sources.quantities import UNITS, VIBRATION, are_same_unit
from secateur.signals.sources.stated import SPEED_TOLERANCE, Statement, agreed
from secateur.signals.sources.text_format import TextFormat

DESCRIPTION_NAMES = ("recordings.yaml", "recordings.yml")
_PATTERN_SIGNS = "*?["


def load_described(description_path: Path) -> list[Recording]:
    """Read the recordings that a YAML description names; the waveforms stay on disk.

    Parameters
    ----------
    description_path : Path
        The YAML; files are named relative to its folder.

    Raises
    ------
    DataError
        If the description has a fault, a file is missing, or a sampling rate is nowhere given.
    """
    description = read_description(description_path)
    folder = description_path.parent
    described: dict[Path, tuple[RecordingEntry, str]] = {}
    for number, entry in enumerate(description.recordings, start=1):
        where = f"{description_path}, recording {number} ('{entry.file}')"
        for path in _files(folder, entry, where):
            if path in described:
                raise DataError(f"{where}: {path} is described twice; name each file once.")
            described[path] = (entry, where)
    names = recording_names([path.relative_to(folder) for path in described])
    recordings = []
    for name, (path, (entry, where)) in zip(names, described.items(), strict=True):
        try:
            recordings.append(_recording(name, description, entry, path, where))
        except (ConfigError, DataError) as error:
            raise DataError(str(error) if where in str(error) else f"{where}: {error}") from None
    return recordings


def _files(folder: Path, entry: RecordingEntry, where: str) -> list[Path]:
    require_inside(entry.file, where)
    path = folder / entry.file
    if any(sign in entry.file for sign in _PATTERN_SIGNS) and not path.is_file():
        found = sorted(path for path in folder.glob(entry.file) if path.is_file())
        if not found:
            raise DataError(f"{where}: no file in {folder} matches the pattern.")
        return found
    if not path.is_file():
        raise DataError(f"{where}: {path} is missing.")
    return [path]


def _recording(
    recording_id: str, description: Description, entry: RecordingEntry, path: Path, where: str
) -> Recording:
    columns = tuple(entry.columns if entry.columns is not None else description.columns)
    opened = open_source(
        path,
        columns,
        TextFormat(**description.text.model_dump()),
        how="'columns: [name]' in the description",
    )
    speed_rpm = _speed_rpm(description, entry, opened, where)
    bearing = entry.bearing if entry.bearing is not None else description.bearing
    position, findings = clock_position(recording_id, entry.position)
    return Recording(
        recording_id=recording_id,
        source=opened.source,
        channels=opened.channels,
        sampling_rate_hz=_sampling_rate_hz(description, entry, opened, where),
        group_id=entry.group or recording_id,
        dataset=description.dataset,
        fault_location=_fault_location(description, entry, where),
        shaft_speed_rpm=speed_rpm,
        nominal_speed_rpm=entry.nominal_speed_rpm or speed_rpm,
        load=entry.load,
        fault_size_mil=entry.fault_size_mil,
        severity=entry.severity,
        position=position,
        fault_orders=orders_of(bearing),
        bearing=in_words(bearing),
        specimens_documented=entry.group is not None,
        findings=findings,
        path=path,
        subset=entry.subset,
        notes=entry.notes,
        unit=_unit(description, entry, opened, where),
    )


def _speed_rpm(
    description: Description, entry: RecordingEntry, opened: OpenedFile, where: str
) -> float | None:
    stated = entry.speed_rpm or description.speed_rpm
    said = (
        None
        if stated is None
        else Statement(value=stated, said_by="the description", tolerance=SPEED_TOLERANCE)
    )
    speed = agreed([said, opened.speed], "rpm", where)
    return None if speed is None else speed.value


def _sampling_rate_hz(
    description: Description, entry: RecordingEntry, opened: OpenedFile, where: str
) -> float:
    stated = entry.sampling_rate_hz or description.sampling_rate_hz
    said = None if stated is None else Statement(value=stated, said_by="the description")
    rate = opened.rate(said, where)
    if rate is None:
        raise DataError(
            f"{where}: no sampling rate{opened.why_no_rate}. Add 'sampling_rate_hz: <samples a second>' to "
            "it, or at the top for all recordings; it is never guessed."
        )
    return rate.value


def _unit(description: Description, entry: RecordingEntry, opened: OpenedFile, where: str) -> str | None:
    """Unit as described, which must be one of vibration, else as the file says."""
    unit = entry.unit or description.unit
    if unit is not None and UNITS.get(unit.lower()) not in (*VIBRATION, "voltage"):
        raise DataError(
            f"{where}: unit '{unit}'; write that of an acceleration (g, m/s2), a velocity (mm/s), a "
            "displacement (um) or a raw voltage (V)."
        )
    if unit is not None and opened.unit is not None and not are_same_unit(unit, opened.unit):
        raise DataError(
            f"{where}: the description says '{unit}' and the file '{opened.unit}'; correct the one that is "
            "wrong."
        )
    return unit or opened.unit


def _fault_location(description: Description, entry: RecordingEntry, where: str) -> FaultLocation | None:
    if entry.label is None:
        return None
    location = description.labels.get(entry.label, entry.label)
    if location not in FAULT_LOCATIONS:
        own = f" or a word that 'labels' translates ({', '.join(description.labels)})" * bool(
            description.labels
        )
        raise DataError(
            f"{where}: label '{location}'; allowed: {', '.join(FAULT_LOCATIONS)}{own}. "
            "Translate other words with 'labels: {your word: normal}'."
        )
    return cast("FaultLocation", location)
