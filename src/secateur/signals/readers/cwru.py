"""Original MATLAB files of the Case Western Reserve University Bearing Data Center."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from secateur.core.errors import DataError
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.readers.files import files_below
from secateur.signals.recording import FaultLocation, Recording
from secateur.signals.sources.mat import MatSource, mat_scalars, mat_value, mat_variables
from secateur.signals.sources.stated import SPEED_TOLERANCE, Statement, agreed, require_as_in_set

_TABLE = Path(__file__).with_name("cwru_files.yaml")
_SERIES = re.compile(r"^X(\d+)_(DE|FE|BA)_time$")
_TRAILING_NUMBER = re.compile(r"(?:^|_)(\d{2,4})$")
_SHORT_NAMES: dict[str, str] = {"inner_race": "ir", "ball": "b", "outer_race": "or"}


@dataclass(frozen=True, kw_only=True)
class CwruFile:
    """What the official tables say of one file.

    Parameters
    ----------
    number : int
        The file is ``<number>.mat``.
    variable_number : int
        The number in the names of its variables, where it differs from that of the file.
    subset : str
        Table it belongs to ("12k_drive_end").
    channels : tuple of str
        Accelerometers that may be present, the one at the damaged bearing first.
    """

    number: int
    variable_number: int
    subset: str
    sampling_rate_hz: float
    channels: tuple[str, ...]
    bearing: str
    fault_location: FaultLocation
    fault_size_mil: float | None
    position: str | None
    load: float
    nominal_speed_rpm: float

    @property
    def group_id(self) -> str:
        """The specimen: one bearing a fault, size and position, recorded at all loads and rates."""
        if self.fault_location == "normal":
            return "cwru_normal"
        end = "fe" if self.subset.endswith("fan_end") else "de"
        return f"cwru_{end}_{self._fault}"

    @property
    def recording_id(self) -> str:
        """Unique name, equal to that of the archive layout."""
        fault = "" if self.fault_location == "normal" else f"_{self._fault}"
        return f"cwru_{self.subset}{fault}_{self.load:.0f}hp_{self.number}"

    @property
    def _fault(self) -> str:
        at = f"_at{self.position.split(':')[0]}" if self.position else ""
        return f"{_SHORT_NAMES[self.fault_location]}{self.fault_size_mil:03.0f}{at}"


@cache
def cwru_files() -> dict[int, CwruFile]:
    """All published files by number."""
    table = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    files: dict[int, CwruFile] = {}
    for subset, part in table["subsets"].items():
        for row in part["rows"]:
            for load, number in enumerate(row["files"]):
                if number is not None:
                    files[number] = _described(table, subset, part, row, load, number)
    return files


def _described(
    table: dict[str, Any], subset: str, part: dict[str, Any], row: dict[str, Any], load: int, number: int
) -> CwruFile:
    return CwruFile(
        number=number,
        variable_number=table["variable_numbers"].get(number, number),
        subset=subset,
        sampling_rate_hz=float(part["sampling_rate_hz"]),
        channels=tuple(part["channels"]),
        bearing=row.get("bearing", part["bearing"]),
        fault_location=row["fault"],
        fault_size_mil=float(row["size"]) if "size" in row else None,
        position=row.get("at"),
        load=float(load),
        nominal_speed_rpm=float(table["nominal_speed_rpm"][load]),
    )


def file_number(path: Path) -> int | None:
    """Return the number of an original file from its name, else from its variables; None if it is none.

    ``105.mat``, ``12k_Drive_End_IR007_0_105.mat`` and, by its variable ``X105_DE_time``, ``IR007_0.mat``
    are all file 105. A file without variables of that kind is none of them, whatever its name.
    """
    numbers = {int(series[1]) for name in mat_variables(path) if (series := _SERIES.match(name))}
    if not numbers:
        return None
    found = _TRAILING_NUMBER.search(path.stem)
    if found and int(found[1]) in cwru_files():
        return int(found[1])
    known = [n for n, file in cwru_files().items() if file.variable_number in numbers]
    return known[0] if len(known) == 1 else None


def load_cwru(folder: Path) -> list[Recording]:
    """Read every original file below a folder; the waveforms stay on disk.

    Files that the official tables do not list are passed over.

    Raises
    ------
    DataError
        If no listed file is there, one is there twice, or its variables cannot be told apart.
    """
    recordings: dict[int, Recording] = {}
    for path in files_below(folder, ".mat"):
        number = file_number(path)
        if number is None:
            continue
        if number in recordings:
            raise DataError(
                f"{path} and {recordings[number].path} are both file {number} of CWRU; keep one of them."
            )
        recordings[number] = _recording(path, cwru_files()[number])
    if not recordings:
        raise DataError(f"{folder} holds no original CWRU file (105.mat, 97.mat, ...).")
    return [recordings[number] for number in sorted(recordings)]


def _recording(path: Path, file: CwruFile) -> Recording:
    present = mat_variables(path)
    number = _variable_number(path, file, present)
    # The padding of the number varies (X097, X3001), so names are looked up, not composed.
    series = {
        found[2]: name for name in present if (found := _SERIES.match(name)) and int(found[1]) == number
    }
    channels = tuple(channel for channel in file.channels if channel in series)
    measured = next((name for name in present if re.fullmatch(rf"X0*{number}RPM", name)), None)
    speed = _speed_rpm(path, file, measured)
    require_as_in_set("CWRU", path, mat_scalars(path), rate_hz=file.sampling_rate_hz)
    return Recording(
        recording_id=file.recording_id,
        source=MatSource(path, tuple(series[channel] for channel in channels)),
        channels=channels,
        sampling_rate_hz=file.sampling_rate_hz,
        group_id=file.group_id,
        dataset="CWRU",
        fault_location=file.fault_location,
        shaft_speed_rpm=speed,
        nominal_speed_rpm=file.nominal_speed_rpm,
        load=file.load,
        fault_size_mil=file.fault_size_mil,
        position=file.position,
        fault_orders=known_bearing(file.bearing),
        bearing=file.bearing,
        path=path,
        subset=file.subset,
        notes="" if measured else "no speed in the file; nominal speed",
    )


def _speed_rpm(path: Path, file: CwruFile, measured: str | None) -> float:
    """Return the speed that was measured, else the nominal one; both must be of one test."""
    nominal = Statement(value=file.nominal_speed_rpm, said_by="the official table", tolerance=SPEED_TOLERANCE)
    if measured is None:
        return nominal.value
    found = Statement(value=float(mat_value(path, measured).reshape(-1)[0]), said_by=f"its '{measured}'")
    agreed([found, nominal], "rpm", f"{path} (CWRU file {file.number})")
    return found.value


def _variable_number(path: Path, file: CwruFile, present: dict[str, tuple[int, ...]]) -> int:
    """Say which series of the file is its own: 99.mat holds a copy of 98.mat's beside it."""
    numbers = {int(found[1]) for name in present if (found := _SERIES.match(name))}
    if file.variable_number in numbers:
        return file.variable_number
    if len(numbers) == 1:
        return numbers.pop()
    raise DataError(
        f"{path} (CWRU file {file.number}) holds the series {sorted(numbers) or 'of no number'}; "
        f"X{file.variable_number:03d}_DE_time was expected. Fetch it again."
    )
