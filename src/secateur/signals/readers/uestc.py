"""Original MATLAB files of the UESTC bearing data set."""

from __future__ import annotations

import re
from pathlib import Path

from secateur.core.errors import DataError
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.readers.files import files_below
from secateur.signals.recording import FaultLocation, Recording
from secateur.signals.sources.mat import MatSource, mat_scalars
from secateur.signals.sources.stated import require_as_in_set

SAMPLING_RATE_HZ = 20_000.0
NAME = re.compile(r"^([NBIO])_(\d+)_(\d+)$")
_FAULTS: dict[str, FaultLocation] = {"N": "normal", "B": "ball", "I": "inner_race", "O": "outer_race"}
_SEVERITY = {
    "N": None,
    "B": "pit 3 mm diameter, 5 mm deep",
    "I": "cut 0.55 mm wide, 1 mm deep",
    "O": "cut 0.55 mm wide, 1 mm deep",
}


def load_uestc(folder: Path) -> list[Recording]:
    """Read every file below a folder whose name is like ``B_1000_1.mat``: class, nominal rpm, piece.

    The pieces of one class and speed are one uninterrupted recording, hence one group. The speed is the
    nominal one; the true one differs by up to 8 %. The lines fit an insert bearing of the UC204 kind.

    Raises
    ------
    DataError
        If there is no such file, or one states another rate or speed.
    """
    recordings = []
    for path in files_below(folder, ".mat"):
        found = NAME.match(path.stem)
        if found is None:
            continue
        speed_rpm = float(found[2])
        require_as_in_set("UESTC", path, mat_scalars(path), rate_hz=SAMPLING_RATE_HZ, speed_rpm=speed_rpm)
        recordings.append(
            Recording(
                recording_id=f"uestc_{path.stem.lower()}",
                source=MatSource(path, ("Data",)),
                channels=("A",),
                sampling_rate_hz=SAMPLING_RATE_HZ,
                group_id=f"uestc_{found[1].lower()}_{found[2]}",
                dataset="UESTC",
                fault_location=_FAULTS[found[1]],
                shaft_speed_rpm=speed_rpm,
                nominal_speed_rpm=speed_rpm,
                severity=_SEVERITY[found[1]],
                fault_orders=known_bearing("UC204"),
                path=path,
                subset="no_load",
                bearing="UC204",
                specimens_documented=False,
                notes=f"nominal speed; piece {found[3]} of one continuous recording",
            )
        )
    if not recordings:
        raise DataError(f"{folder} holds no UESTC file (B_1000_1.mat, N_800_5.mat, ...).")
    return recordings
