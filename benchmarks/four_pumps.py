"""The new user's case: four pumps, two with a clear inner-race fault, by README's quick command.

    python benchmarks/four_pumps.py --work runs/four_pumps --out benchmarks/results/four_pumps

Each fleet is simulated: four pumps of one kind, each mounted in its own way, three recordings of 10 s a
pump, written as CSV with a ``recordings.yaml``. One healthy and one damaged pump are the test; the model has
to learn from the two others. Finished runs are taken up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from secateur.core.records import read_json, write_json
from secateur.signals.simulator.collection import simulated_recordings
from secateur.signals.simulator.parameters import DEFAULT_RIGS, DefectPhysics, Measurement

SPEED_RPM = 1797.0
STEPS = (60, 150, 600)
RECORDINGS_A_PUMP = 3
BASELINES = ("envelope_rule", "random_forest", "fault_line_regression", "scratch")

DESCRIPTION = """\
dataset: pumps
sampling_rate_hz: 12000
columns: [acc_x]
speed_rpm: {speed}
bearing: "6205"
labels: {{healthy: normal, inner: inner_race}}
recordings:
{rows}
"""


def write_fleet(seed: int, folder: Path) -> None:
    """Write twelve recordings of four pumps, unless they are there."""
    if (folder / "recordings.yaml").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rig = replace(DEFAULT_RIGS[0], name="pump", speeds_rpm=(SPEED_RPM,) * RECORDINGS_A_PUMP)
    recordings = simulated_recordings(
        seed,
        rigs=(rig,),
        physics=DefectPhysics(sizes_mil=(21.0,), snr_db=(0.0,)),
        measurement=Measurement(normal_specimens=2, fault_specimens=2, mode_spread=0.1, speed_spread=5e-4),
    )
    rows = []
    for recording in recordings:
        if recording.fault_location not in ("normal", "inner_race"):
            continue
        label = "healthy" if recording.fault_location == "normal" else "inner"
        name = f"{recording.recording_id}.csv"
        np.savetxt(folder / name, recording.read()[0], fmt="%.6g", header="acc_x", comments="")
        rows.append(f"  - {{file: {name}, label: {label}, group: {recording.group_id}}}")
    text = DESCRIPTION.format(speed=SPEED_RPM, rows="\n".join(rows))
    (folder / "recordings.yaml").write_text(text, encoding="utf-8")


def quick(data: Path, backbone: str, steps: int, out: Path) -> dict:
    """Carry out README's quick command, backbone and steps changed; the noise curve is left out."""
    command = f"compress --data {data} --split specimen --backbone {backbone} --ratio 2 --snr= --json"
    command += f" --train-steps {steps} --recovery-steps 60 --out {out}"
    if not (out / "result.json").exists():
        subprocess.run(
            [sys.executable, "-m", "secateur", *command.split()], check=True, stdout=subprocess.DEVNULL
        )
    return read_json(out / "result.json")


def row_of(seed: int, steps: int, result: dict) -> dict:
    models = {name: result[name]["accuracy"] for name in ("dense", "pruned")}
    baselines = {
        name: result["baselines"][name]["accuracy"] for name in BASELINES if name in result["baselines"]
    }
    return {
        "fleet": seed,
        "steps": steps,
        **models,
        **baselines,
        "fit_for_use": result["verdict"]["fit_for_use"],
    }


def table(rows: list[dict]) -> str:
    names = ("dense", "pruned", *BASELINES)
    heads = ["fleet", "steps", *(name.replace("_", " ") for name in names), "fit for use"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = [f"{100 * row[name]:.1f}" if name in row else "-" for name in names]
        cells = [str(row["fleet"]), str(row["steps"]), *cells, "yes" if row["fit_for_use"] else "no"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="recordings and run folders")
    parser.add_argument("--out", type=Path, required=True, help="without ending: .json and .md are written")
    parser.add_argument("--backbone", default="nano-mha")
    parser.add_argument("--fleets", type=json.loads, default=[0, 1, 2])
    parser.add_argument("--steps", type=json.loads, default=list(STEPS))
    given = parser.parse_args()
    rows = []
    for seed in given.fleets:
        data = given.work / f"fleet-{seed}"
        write_fleet(seed, data)
        for steps in given.steps:
            out = given.work / f"run-{given.backbone}-{seed}-{steps}"
            rows.append(row_of(seed, steps, quick(data, given.backbone, steps, out)))
            print(table(rows[-1:]), flush=True)
    write_json(given.out.with_suffix(".json"), {"rows": rows})
    given.out.with_suffix(".md").write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
