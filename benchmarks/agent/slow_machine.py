"""A slewing ring at 8 rpm watched over long averages: how its fault line comes out of the noise.

``python benchmarks/agent/slow_machine.py --out FILE``
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from figures import tell

from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.machines import Machine
from secateur.edge.agent.pipeline import SensorPath
from secateur.signals.simulator.collection import simulated_recordings
from secateur.signals.simulator.parameters import SLEWING_RIG, DefectPhysics, Measurement

RATE_HZ, BURST_S = 6000.0, 60.0
LEARNED, HEALTHY, FAULTY = 12, 6, 12


def waves(snr_db: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return a healthy and a faulty recording (outer race), and the speed in rpm."""
    recordings = simulated_recordings(
        3,
        rigs=(replace(SLEWING_RIG, speeds_rpm=(8.0,)),),
        physics=DefectPhysics(sizes_mil=(14.0,), snr_db=(snr_db,)),
        measurement=Measurement(
            sampling_rate_hz=RATE_HZ,
            duration_s=BURST_S * (LEARNED + HEALTHY),
            normal_specimens=1,
            gain_spread_db=0.0,
        ),
    )
    by_place = {entry.fault_location: entry for entry in recordings}
    normal, faulty = by_place["normal"], by_place["outer_race"]
    return normal.read()[0], faulty.read()[0], float(faulty.shaft_speed_rpm or 8.0)


def watched(normal: np.ndarray, faulty: np.ndarray, rpm: float, averaged: int) -> dict[str, Any]:
    """Return the BPFO line over the bursts, and when the level rose."""
    geometry = SLEWING_RIG.bearing
    bearing = {
        "n_balls": geometry.n_balls,
        "ball_diameter_mm": geometry.ball_diameter_mm,
        "pitch_diameter_mm": geometry.pitch_diameter_mm,
    }
    sensor = {
        "name": "ring",
        "sampling_rate_hz": RATE_HZ,
        "burst_samples": int(BURST_S * RATE_HZ),
        "bearing": bearing,
        "commissioning": {"bursts": LEARNED},
        "indicators": {"averaged_bursts": averaged, "envelope_band_hz": [400, 2500]},
    }
    machine = Machine.model_validate({"name": "crane", "speed": {"rpm": rpm}, "sensors": [sensor]})
    path = SensorPath(machine, machine.sensors[0])
    length = int(BURST_S * RATE_HZ)
    pieces = [normal[n * length : (n + 1) * length] for n in range(LEARNED + HEALTHY)]
    pieces += [faulty[n * length : (n + 1) * length] for n in range(FAULTY)]
    lines, scores, levels = [], [], []
    for number, samples in enumerate(pieces):
        burst = Burst(
            machine="crane", sensor="ring", samples=samples, measured_unix_s=BURST_S * number, number=number
        )
        result = path.process(burst, running_s=BURST_S * number).result
        lines.append(result["indicators"].get("line_bpfo"))
        scores.append(result["scores"].get("line_bpfo"))
        levels.append(result["bearing"]["level"])
    first = LEARNED + HEALTHY
    risen = next((n - first + 1 for n in range(first, len(levels)) if levels[n] != "normal"), None)
    return {
        "averaged_bursts": averaged,
        "line_db_healthy": [lines[LEARNED], lines[first - 1]],
        "line_db_faulty": [lines[first], lines[-1]],
        "highest_score_healthy": max(scores[LEARNED:first]),
        "highest_score_faulty": max(scores[first:]),
        "false_levels": sum(level != "normal" for level in levels[LEARNED:first]),
        "minutes_of_fault_until_raised": risen,
        "level_at_the_end": levels[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snr", type=float, default=-18.0, help="power of the knocks over the rest, dB")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    normal, faulty, rpm = waves(arguments.snr)
    found = {
        "snr_db": arguments.snr,
        "rpm": rpm,
        "burst_s": BURST_S,
        "runs": [watched(normal, faulty, rpm, averaged) for averaged in (1, 4, 12)],
    }
    tell(found, arguments.out)


if __name__ == "__main__":
    main()
