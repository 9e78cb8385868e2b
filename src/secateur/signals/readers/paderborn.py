"""MATLAB files of the Paderborn University bearing data set (KAt)."""

from __future__ import annotations

import re
from pathlib import Path

from secateur.core.errors import DataError
from secateur.signals.kinematics import BearingGeometry
from secateur.signals.readers.files import files_below
from secateur.signals.recording import FaultLocation, Recording
from secateur.signals.sources.mat import MatSource

SAMPLING_RATE_HZ = 64_000.0
NAME = re.compile(r"^N(\d\d)_M(\d\d)_F(\d\d)_(K(?:[AIB]\d\d|\d{3}))_(\d+)$")
_FAULTS: dict[str, FaultLocation | None] = {"A": "outer_race", "I": "inner_race", "B": None}
_REAL_DAMAGE = (
    "KA04", "KA15", "KA16", "KA22", "KA30", "KB23", "KB24", "KB27", "KI04", "KI14", "KI16", "KI17", "KI18",
    "KI21",
)  # fmt: skip
_FAG = ("KA04", "KA15", "KB24", "KB27", "KI16", "KI21")
"""Bearings of a maker whose 6203 has another pitch diameter."""


def load_paderborn(folder: Path) -> list[Recording]:
    """Read every file below a folder whose name is like ``N15_M07_F10_KA01_3.mat``.

    The name tells speed (N15: 1500 rpm), torque (M07: 0.7 Nm), radial force (F10: 1000 N), bearing and
    repetition; the file holds one structure of that name, whose ``Y`` lists the channels. The acceleration
    ``vibration_1`` is taken, at 64 kHz. A bearing is a group. KA is damaged at the outer ring, KI at the
    inner ring, KB at both, which has no label here. Source: C. Lessmeier, J. Kimotho, D. Zimmer, W. Sextro,
    Condition Monitoring of Bearing Damage in Electromechanical Drive Systems, PHM Society Europe, 2016.

    Raises
    ------
    DataError
        If there is no such file.
    """
    recordings = []
    for path in files_below(folder, ".mat"):
        found = NAME.match(path.stem)
        if found is None:
            continue
        speed, torque, force, code, _ = found.groups()
        origin = "real" if code in _REAL_DAMAGE else "artificial"
        recordings.append(
            Recording(
                recording_id=f"paderborn_{path.stem.lower()}",
                source=MatSource(path, (f"{path.stem}.Y.vibration_1",)),
                channels=("vibration_1",),
                sampling_rate_hz=SAMPLING_RATE_HZ,
                group_id=f"paderborn_{code}",
                dataset="Paderborn",
                fault_location=_FAULTS.get(code[1], "normal"),
                shaft_speed_rpm=100.0 * int(speed),
                nominal_speed_rpm=100.0 * int(speed),
                load=100.0 * int(force),
                severity=None if code[1].isdigit() else f"{origin} damage",
                fault_orders=BearingGeometry(
                    designation="6203",
                    n_balls=8,
                    ball_diameter_mm=6.75,
                    pitch_diameter_mm=28.55 if code in _FAG else 29.05,
                ).orders,
                bearing="6203",
                path=path,
                subset=f"N{speed}_M{torque}_F{force}",
                notes=f"load is the radial force in N; torque {int(torque) / 10:g} Nm"
                + ("; damaged at both rings" if code[1] == "B" else ""),
            )
        )
    if not recordings:
        raise DataError(f"{folder} holds no Paderborn file (N15_M07_F10_K001_1.mat, ...).")
    return recordings
