"""1, 3 or 10 labelled recordings of each class from a rig that is new: who makes most of them?

    python benchmarks/few_recordings.py --data DATA --work runs/few --out benchmarks/results/few_recordings

The foundation diagnoser trained further on them (dense) and its cut stand beside the shape of the cut trained
from scratch, forest, regression and rule, and beside the foundation diagnoser as it comes. Windows of
recordings that took no part are judged: at Case Western's fan end those of the defects of 14 mil, other
specimens than those of 7 and 21 mil that are learnt from, and one healthy run of two; at UESTC those of
1400 rpm, of the same specimens at another speed. A class with fewer recordings gives all it has (the fan end
has one healthy run to learn from). Finished models are taken up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rigs import RIGS
from study_files import options, write_results
from window_models import BACKBONE, MODELS, Budget, prepared, window_logits

from secateur.core.records import read_json, write_json
from secateur.core.seeds import generator
from secateur.models.foundation import FOUNDATIONS, start_from
from secateur.signals.recording import FAULT_LOCATIONS, Recording
from secateur.training.evaluate import judge, predict
from secateur.training.metrics import log_softmax

COUNTS = (1, 3, 10)
AS_IT_COMES = "foundation as it comes"
STEPS = Budget(train_steps=150, recovery_steps=100)


def _fan_end(recordings: Sequence[Recording]) -> tuple[list[Recording], list[Recording], str]:
    normals = [r for r in recordings if r.fault_location == "normal"]
    faults = [r for r in recordings if r.fault_location != "normal"]
    learnt = [normals[0], *(r for r in faults if r.fault_size_mil != 14)]
    test = [normals[1], *(r for r in faults if r.fault_size_mil == 14)]
    return learnt, test, "the healthy bearing is one, at two loads"


def _uestc(recordings: Sequence[Recording]) -> tuple[list[Recording], list[Recording], str]:
    learnt = [r for r in recordings if r.nominal_speed_rpm != 1400]
    return learnt, [r for r in recordings if r.nominal_speed_rpm == 1400], "one specimen of each class"


SIDES: dict[str, Callable[[Sequence[Recording]], tuple[list[Recording], list[Recording], str]]] = {
    "Case Western, fan end": _fan_end,
    "UESTC": _uestc,
}


def drawn(recordings: Sequence[Recording], count: int, seed: int) -> list[Recording]:
    """Return so many recordings of each class; more of them hold the fewer."""
    found = []
    for name in FAULT_LOCATIONS:
        members = [recording for recording in recordings if recording.fault_location == name]
        order = generator(seed, "few recordings", name).permutation(len(members))
        found += [members[place] for place in order[:count]]
    return found


def cell(data: Path, work: Path, rig: str, count: int, seed: int) -> dict:
    learnt, test, leak = SIDES[rig](RIGS[rig](data))
    preparation = prepared(
        f"{rig}, {count} recordings", drawn(learnt, count, seed), test, seed=seed, leak_reason=leak
    )
    logits = window_logits(preparation, STEPS, work, seed=seed)
    model = start_from(FOUNDATIONS[BACKBONE], preparation.classes).eval()
    logits = {AS_IT_COMES: log_softmax(predict(model, preparation.test)), **logits}
    figures = {}
    for name, log_p in logits.items():
        judged = judge(log_p, preparation.test.labels, classes=preparation.classes)
        figures[name] = {"accuracy": judged.accuracy, "false_alarms": judged.false_alarm_rate}
    return {
        "rig": rig,
        "recordings": count,
        "seed": seed,
        "windows": len(preparation.test),
        "models": figures,
    }


def table(cells: list[dict]) -> str:
    """Return windows right and false alarms, mean over seeds and half the range."""
    heads = ["rig", "recordings a class", "seeds", AS_IT_COMES, *MODELS]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for rig, count in dict.fromkeys((cell["rig"], cell["recordings"]) for cell in cells):
        found = [cell for cell in cells if (cell["rig"], cell["recordings"]) == (rig, count)]
        row = [rig, str(count), str(len(found))]
        for name in (AS_IT_COMES, *MODELS):
            right = np.array([100 * cell["models"][name]["accuracy"] for cell in found])
            alarms = np.mean([100 * cell["models"][name]["false_alarms"] for cell in found])
            spread = f" ± {np.ptp(right) / 2:.1f}" if len(found) > 1 else ""
            row.append(f"{right.mean():.1f}{spread} / {alarms:.0f}")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seeds", type=json.loads, default=[0, 1, 2])
    parser.add_argument("--counts", type=json.loads, default=list(COUNTS))
    given = parser.parse_args()
    cells = []
    for seed in given.seeds:
        for count in given.counts:
            for number, rig in enumerate(SIDES):
                work = given.work / f"rig-{number}-count-{count}-seed-{seed}"
                kept = work / "cell.json"
                if not kept.exists():
                    write_json(kept, cell(given.data, work, rig, count, seed))
                cells.append(read_json(kept))
                cells.sort(key=lambda c: (c["rig"], c["recordings"], c["seed"]))
                write_results(given, table(cells), cells=cells)


if __name__ == "__main__":
    main()
