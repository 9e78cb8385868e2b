"""Run to failure: FEMTO bearings replayed through the agent, commissioned on their own first tenth.

Limits are chosen on one half of the bearings (``--choose``) and reported on the other half.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.machines import Limits, Machine
from secateur.edge.agent.pipeline import SensorPath
from secateur.edge.agent.sources.recording import open_recording
from secateur.edge.agent.state.levels import Level, Levels

BEARING = {"bpfo": 5.61, "bpfi": 7.39, "bsf2": 7.18, "ftf": 0.43}
RPM = {"1": 1800.0, "2": 1650.0, "3": 1500.0}
CHOSEN_ON = ("1_1", "1_3", "1_5", "2_1", "2_3", "2_6", "3_1")
HEALTHY_SHARE, COMMISSIONED_SHARE = 0.5, 0.1


def machine_of(name: str, bursts: int, limits: dict[str, Any]) -> Machine:
    """Return the machine of one bearing as a configuration describes it."""
    return Machine.model_validate(
        {
            "name": f"femto-{name}",
            "speed": {"rpm": RPM[name[0]]},
            "sensors": [
                {
                    "name": "horizontal",
                    "sampling_rate_hz": 25_600,
                    "burst_samples": 2560,
                    "bearing": BEARING,
                    "commissioning": {"bursts": bursts},
                    "limits": limits,
                }
            ],
        }
    )


def scores_of(file: Path, name: str) -> dict[str, Any]:
    """Replay one bearing; return times, indicators and scores of its bursts, as the agent computes them."""
    recording = open_recording(file)
    bursts = list(recording.cut(2560, 25_600.0))
    learned = max(8, round(COMMISSIONED_SHARE * len(bursts)))
    machine = machine_of(name, learned, {})
    path = SensorPath(machine, machine.sensors[0])
    times, rows, unusable, seconds = [], [], 0, []
    # the clock of the rig jumps in some files; bursts are numbered, one every ten seconds
    with np.load(file, allow_pickle=False) as archive:
        at = 10.0 * (archive["burst_number"] - archive["burst_number"][0])
    for number, (at_s, (_, samples)) in enumerate(zip(at.tolist(), bursts, strict=True)):
        burst = Burst(
            machine=machine.name,
            sensor="horizontal",
            samples=samples,
            sampling_rate_hz=25_600.0,
            measured_unix_s=at_s,
            number=number,
        )
        began = time.perf_counter()
        result = path.process(burst, running_s=at_s).result
        seconds.append(time.perf_counter() - began)
        unusable += not result["quality"]["usable"]
        times.append(at_s)
        rows.append({"indicators": result["indicators"], "scores": result["scores"]})
    return {
        "name": name,
        "times_s": times,
        "rows": rows,
        "learned": learned,
        "unusable": unusable,
        "ms_per_burst": 1e3 * float(np.median(seconds)),
    }


def judged(run: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Return when the levels that the limits give would have warned and alarmed."""
    levels = Levels(limits)
    end_s, half_s = run["times_s"][-1], HEALTHY_SHARE * run["times_s"][-1]
    opened: dict[Level, list[float]] = {Level.WARNING: [], Level.ALARM: []}
    before = Level.NORMAL
    for at_s, row in zip(run["times_s"], run["rows"], strict=True):
        now = levels.judge(row["indicators"], row["scores"], medians={}, measured_s=at_s).level
        for level, moments in opened.items():
            if before < level <= now:
                moments.append(at_s)
        before = now
    found: dict[str, Any] = {
        "bearing": run["name"],
        "bursts": len(run["times_s"]),
        "hours": end_s / 3600,
        "healthy_hours": (half_s - run["times_s"][run["learned"]]) / 3600,
    }
    for level, moments in opened.items():
        late = [at_s for at_s in moments if at_s >= half_s]
        found[f"false_{level.word}s"] = len(moments) - len(late)
        found[f"{level.word}_lead_min"] = (end_s - late[0]) / 60 if late else None
        found[f"{level.word}_up_at_half"] = bool(moments and not late and before >= level)
    return found


def summed(rows: list[dict[str, Any]], level: str) -> dict[str, Any]:
    """Return how many bearings had a level in their second half and before the end, and what was false."""
    leads = [row[f"{level}_lead_min"] for row in rows if row[f"{level}_lead_min"] is not None]
    return {
        "bearings": len(rows),
        "told": len(leads) + sum(row[f"{level}_up_at_half"] for row in rows),
        "median_lead_min": float(np.median(leads)) if leads else None,
        "false": sum(row[f"false_{level}s"] for row in rows),
        "healthy_hours": sum(row["healthy_hours"] for row in rows),
    }


def choose(runs: list[dict[str, Any]]) -> list[tuple[tuple[int, int, float], dict[str, Any]]]:
    """Return limits of a small grid, the best first: fewest false alarms, then most told, then earliest."""
    ranked = []
    for alarm, need, window in itertools.product((8.0, 10.0, 12.0, 15.0, 20.0), (2, 3, 4, 6), (3, 4, 6, 8)):
        if need > window:
            continue
        values = {
            "warning_score": 0.6 * alarm,
            "alarm_score": alarm,
            "raise_after": need,
            "raise_window": window,
        }
        rows = [judged(run, Limits.model_validate(values)) for run in runs]
        total = summed(rows, "alarm")
        key = (-total["told"] + total["false"], total["false"], -(total["median_lead_min"] or 0.0))
        ranked.append(
            (key, values | {"told": total["told"], "false": total["false"], "lead": total["median_lead_min"]})
        )
    return sorted(ranked, key=lambda entry: entry[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the FEMTO recordings, with recordings/")
    parser.add_argument("--choose", action="store_true", help="rank limits on the first half of the bearings")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    files = sorted((arguments.data / "recordings").glob("femto_bearing_*.npz"))
    runs = []
    for file in files:
        name = file.stem.removeprefix("femto_bearing_")
        if not arguments.choose or name in CHOSEN_ON:
            runs.append(scores_of(file, name))
            print(
                name,
                len(runs[-1]["rows"]),
                "bursts",
                f"{runs[-1]['ms_per_burst']:.2f} ms a burst",
                flush=True,
            )
    if arguments.choose:
        for _, values in choose(runs)[:15]:
            print(values)
        return
    rows = [judged(run, Limits()) for run in runs]
    groups = {
        "limits chosen on": [row for row in rows if row["bearing"] in CHOSEN_ON],
        "held out": [row for row in rows if row["bearing"] not in CHOSEN_ON],
        "all": rows,
    }
    report = {
        "limits": Limits().model_dump(),
        "bearings": rows,
        "summary": {
            name: {level: summed(group, level) for level in ("warning", "alarm")}
            for name, group in groups.items()
        },
        "unusable": {run["name"]: run["unusable"] for run in runs},
        "ms_per_burst": float(np.median([run["ms_per_burst"] for run in runs])),
    }
    print(json.dumps(report["summary"], indent=2))
    for row in rows:
        print(row)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
