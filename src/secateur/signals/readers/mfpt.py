"""MATLAB files of the MFPT Society's fault data sets."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from secateur.core.errors import DataError
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.readers.files import files_below
from secateur.signals.recording import FaultLocation, Recording
from secateur.signals.sources.mat import MatSource, mat_value

NAME = re.compile(r"^(baseline|OuterRaceFault|InnerRaceFault)(_vload)?_(\d+)$", re.IGNORECASE)
_FAULTS: dict[str, FaultLocation] = {
    "baseline": "normal",
    "outerracefault": "outer_race",
    "innerracefault": "inner_race",
}


def load_mfpt(folder: Path) -> list[Recording]:
    """Read the test-rig files below a folder: ``baseline_1.mat``, ``OuterRaceFault_vload_3.mat``, ...

    Each holds a structure ``bearing`` with the rate ``sr`` (Hz), the acceleration ``gs`` (g), the load
    ``load`` (pound-force) and the shaft rate ``rate`` (Hz). The real-world examples of the set are of
    other bearings and carry no such labels; they are passed over. Source: E. Bechhoefer, Condition Based
    Maintenance Fault Database for Testing of Diagnostic and Prognostics Algorithms, MFPT Society, 2013.

    Raises
    ------
    DataError
        If there is no such file or a structure is incomplete.
    """
    recordings = []
    for path in files_below(folder, ".mat"):
        found = NAME.match(path.stem)
        if found is None:
            continue
        speed_rpm = 60.0 * _scalar(path, "rate")
        recordings.append(
            Recording(
                recording_id=f"mfpt_{path.stem.lower()}",
                source=MatSource(path, ("bearing.gs",)),
                channels=("acceleration",),
                sampling_rate_hz=_scalar(path, "sr"),
                group_id=f"mfpt_{path.stem.lower()}",
                dataset="MFPT",
                fault_location=_FAULTS[found[1].lower()],
                shaft_speed_rpm=speed_rpm,
                nominal_speed_rpm=speed_rpm,
                load=_scalar(path, "load"),
                fault_orders=known_bearing("NICE-MFPT"),
                path=path,
                subset="variable_load" if found[2] else "constant_load",
                bearing="NICE-MFPT",
                specimens_documented=False,
                notes="load in pound-force; specimens are not documented",
            )
        )
    if not recordings:
        raise DataError(f"{folder} holds no MFPT test-rig file (baseline_1.mat, ...).")
    return recordings


def _scalar(path: Path, field: str) -> float:
    return float(np.asarray(mat_value(path, f"bearing.{field}")).reshape(-1)[0])
