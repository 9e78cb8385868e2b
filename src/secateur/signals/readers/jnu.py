"""CSV files of the Jiangnan University bearing data set."""

from __future__ import annotations

import re
from pathlib import Path

from secateur.core.errors import DataError
from secateur.signals.readers.files import files_below
from secateur.signals.recording import FaultLocation, Recording
from secateur.signals.sources.delimited import DelimitedSource

SAMPLING_RATE_HZ = 50_000.0
NAME = re.compile(r"^(n|ib|ob|tb)(600|800|1000)_(\d+(?:_\d+)*)$")
_FAULTS: dict[str, FaultLocation] = {
    "n": "normal",
    "ib": "inner_race",
    "ob": "outer_race",
    "tb": "ball",
}


def is_jnu(path: Path) -> bool:
    """Say whether a file is one by its name and its shape: one column without a header.

    A damaged one counts; it is told when it is read.
    """
    if NAME.match(path.stem) is None:
        return False
    try:
        return DelimitedSource(path).channels == ("0",)
    except DataError:
        return True


def load_jnu(folder: Path) -> list[Recording]:
    """Read every file below a folder whose name is like ``ib600_2.csv``: class, speed in rpm, number.

    A file of such a name with a header or several columns is passed over.

    Each file is one uninterrupted recording and a group of its own. Whether the same specimen was used
    at all three speeds is not documented, nor is the geometry of the bearings: fault orders are unknown.
    Source: K. Li, X. Ping, H. Wang, P. Chen, Y. Cao, Sensors 13 (2013) 8013.

    Raises
    ------
    DataError
        If there is no such file.
    """
    recordings = []
    for path in files_below(folder, ".csv"):
        found = NAME.match(path.stem)
        if found is None or not is_jnu(path):
            continue
        recordings.append(
            Recording(
                recording_id=f"jnu_{path.stem}",
                source=DelimitedSource(path),
                channels=("vertical",),
                sampling_rate_hz=SAMPLING_RATE_HZ,
                group_id=f"jnu_{found[1]}{found[2]}",
                dataset="JNU",
                fault_location=_FAULTS[found[1]],
                shaft_speed_rpm=float(found[2]),
                nominal_speed_rpm=float(found[2]),
                severity=None if found[1] == "n" else "cut 0.3 mm wide, 0.05 mm deep",
                path=path,
                specimens_documented=False,
                notes="nominal speed; one specimen may have served all speeds",
            )
        )
    if not recordings:
        raise DataError(f"{folder} holds no JNU file (ib600_2.csv, n1000_3_2.csv, ...).")
    return recordings
