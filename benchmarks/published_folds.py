"""Macro-AUROC on the published bearing-wise folds of Case Western.

    python benchmarks/published_folds.py --data DATA --work WORK --out FILE

The folds are those of Vieira et al., arXiv 2509.22267: each tests on one defect size, at both ends of the
rig, heard by the sensors of both ends. What is asked is which part of the bearing *at the sensor's end* is
damaged; at the healthy end none is. ``DATA`` holds ``cwru`` (with ``published_splits``) and
``cwru_fan_end``. Finished models are taken up.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from study_files import options, write_results
from window_models import CUT, DENSE, MODELS, RULE, SCRATCH, Budget, prepared, window_logits

from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.envelope_rule import FAULT_DB, fault_log_odds
from secateur.signals.evidence import gather_evidence
from secateur.signals.readers.open import load_recordings
from secateur.signals.recording import FAULT_LOCATIONS, ArraySource, Recording
from secateur.signals.selection import specimen_of
from secateur.training.metrics import log_softmax

FOLDS = (1, 2, 3)
WITH_RULE = {f"{name} and rule": name for name in (DENSE, CUT, SCRATCH)}
"""The logarithms of both probabilities added: whatever one of them knows. Windows take the rule of the
window, recordings that of the whole recording, whose spectra are averaged."""

BEARING_AT = {"DE": "6205", "FE": "6203"}
LOCATION = {"inner": "inner_race", "outer": "outer_race", "ball": "ball"}


def fold_recordings(data: Path, fold: int, side: str) -> list[Recording]:
    """Return the signals of one side of a fold, labelled by the bearing at the sensor's end."""
    known = {}
    for end, folder in (("DE", "cwru"), ("FE", "cwru_fan_end")):
        for recording in load_recordings(data / folder):
            if recording.fault_location != "normal" and recording.sampling_rate_hz == 12_000:
                known[end, *_key(recording)] = recording
    path = data / "cwru" / "published_splits" / f"fold_{fold}_{side}_DE.csv"
    with path.open(encoding="utf-8") as stream:
        return [_signal(row, known) for row in csv.DictReader(stream)]


def _key(recording: Recording) -> tuple:
    hour = None if recording.position is None else int(recording.position.partition(":")[0])
    return recording.fault_location, recording.fault_size_mil, hour, recording.load


def _signal(row: dict[str, str], known: dict[tuple, Recording]) -> Recording:
    kind, _, hour = row["waveform_id"].partition("_")[0].partition("@")
    location = {"IR": "inner_race", "OR": "outer_race", "B": "ball"}[kind]
    position = int(hour) if hour else None
    end, sensor = row["fault_location"], row["signal_location"]
    recording = known[end, location, float(row["fault_size"]), position, float(row["load"])]
    at_sensor = next((LOCATION[name] for name in LOCATION if row[name] == "1"), "normal")
    waveform = recording.read()[recording.channels.index(sensor)]
    return replace(
        recording,
        recording_id=row["waveform_id"],
        source=ArraySource(waveform[None]),
        channels=("acceleration",),
        group_id=specimen_of(recording),
        fault_location=at_sensor,
        shaft_speed_rpm=recording.shaft_speed_rpm or recording.nominal_speed_rpm,
        fault_orders=known_bearing(BEARING_AT[sensor]),
        path=None,
        sha256=None,
    )


def macro_auroc(log_p: np.ndarray, labels: np.ndarray) -> float:
    """Mean area under the curve of inner race, outer race and ball, each against all the rest."""
    faults = [FAULT_LOCATIONS.index(name) for name in LOCATION.values()]
    return float(np.mean([roc_auc_score(labels == fault, np.exp(log_p[:, fault])) for fault in faults]))


def by_recording(log_p: np.ndarray, labels: np.ndarray, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mean probability over the windows of each recording, and its label."""
    kept = list(dict.fromkeys(names))
    rows = [np.flatnonzero([name == one for name in names]) for one in kept]
    means = np.stack([np.exp(log_p[row]).mean(axis=0) for row in rows])
    return np.log(np.maximum(means, 1e-12)), np.array([labels[row[0]] for row in rows])


def rule_of_recordings(recordings: Sequence[Recording]) -> np.ndarray:
    """Return log-probabilities by the lines of whole recordings, (recordings, classes)."""
    found = [
        gather_evidence(
            recording.read()[0],
            sampling_rate_hz=recording.sampling_rate_hz,
            shaft_rate_hz=recording.shaft_rate_hz,
            fault_orders=recording.fault_orders,
        ).lines
        for recording in recordings
    ]
    strength = np.array([[line.strength_db for line in lines] for lines in found])
    beside = np.array([[line.beside_shaft for line in lines] for lines in found])
    return log_softmax(fault_log_odds(strength, beside, FAULT_LOCATIONS, FAULT_DB))


def cell(data: Path, work: Path, fold: int, seed: int, budget: Budget) -> dict:
    recordings = fold_recordings(data, fold, "test")
    preparation = prepared(
        f"published fold {fold}", fold_recordings(data, fold, "train"), recordings, seed=seed
    )
    test, figures = preparation.test, {}
    logits = window_logits(preparation, budget, work / f"fold-{fold}-seed-{seed}", seed=seed)
    told = {name: by_recording(log_p, test.labels, test.recording_ids) for name, log_p in logits.items()}
    truth, wholes = told[RULE][1], {name: whole for name, (whole, _) in told.items()}
    named = {recording.recording_id: recording for recording in recordings}
    wholes[RULE] = rule_of_recordings([named[name] for name in dict.fromkeys(test.recording_ids)])
    for both, name in WITH_RULE.items():
        logits[both] = log_softmax(logits[name] + logits[RULE])
        wholes[both] = log_softmax(wholes[name] + wholes[RULE])
    for name, log_p in logits.items():
        whole = wholes[name]
        figures[name] = {
            "window_auroc": macro_auroc(log_p, test.labels),
            "recording_auroc": macro_auroc(whole, truth),
            "window_accuracy": float((log_p.argmax(axis=1) == test.labels).mean()),
        }
    return {"fold": fold, "seed": seed, "windows": len(test), "models": figures}


def table(cells: list[dict]) -> str:
    """Return mean and standard deviation over folds, of the means over seeds, and each fold."""
    folds = sorted({cell["fold"] for cell in cells})
    seeds = len({cell["seed"] for cell in cells})
    heads = [
        "model",
        "windows",
        "recordings",
        *(f"fold {fold}, windows" for fold in folds),
        "right windows %",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name in (*MODELS, *WITH_RULE):

        def mean(figure: str, fold: int, name: str = name) -> float:
            return float(np.mean([c["models"][name][figure] for c in cells if c["fold"] == fold]))

        row = [name]
        for figure in ("window_auroc", "recording_auroc"):
            values = [mean(figure, fold) for fold in folds]
            spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
            row.append(f"{np.mean(values):.3f} ± {spread:.3f}")
        row += [f"{mean('window_auroc', fold):.3f}" for fold in folds]
        row.append(f"{100 * np.mean([mean('window_accuracy', fold) for fold in folds]):.1f}")
        lines.append("| " + " | ".join(row) + " |")
    sizes = f"{seeds} seed" + ("s" if seeds > 1 else "")
    return "\n".join([*lines, "", f"Mean ± standard deviation over folds; {sizes}.", ""])


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seeds", type=json.loads, default=[0, 1, 2])
    parser.add_argument("--train-steps", type=int, default=Budget.train_steps)
    parser.add_argument("--recovery-steps", type=int, default=Budget.recovery_steps)
    parser.add_argument("--ratio", type=float, default=Budget.ratio)
    given = parser.parse_args()
    budget = Budget(train_steps=given.train_steps, recovery_steps=given.recovery_steps, ratio=given.ratio)
    cells = []
    for seed in given.seeds:
        cells += [cell(given.data, given.work, fold, seed, budget) for fold in FOLDS]
        write_results(given, table(cells), cells=cells)


if __name__ == "__main__":
    main()
