"""Each rig diagnosed by models that have not seen it: zero-shot from simulation, or trained on all others.

    python benchmarks/leave_one_rig_out.py --data DATA --work WORK --out FILE

``DATA`` holds ``cwru``, ``cwru_fan_end``, ``uestc`` and ``femto`` of the archive layout. With ``--zero-shot``
nothing is trained. Finished models are taken up.

Who answers: the diagnoser that comes with the package; the same trained further on all other rigs (dense),
and its cut; the shape of the cut trained from scratch, forest and regression on all other rigs; the envelope
rule. Diagnosers answer a recording through their bundle, which may say that it cannot tell; the rule answers
a recording by its lines and may do so too. The others always answer, by the mean of their windows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from foundation_rigs import STRANGERS_OF_A_KIND, SURE
from leave_one_rig_out_table import table
from rigs import RIGS
from sklearn.metrics import roc_auc_score
from study_files import options, write_results
from window_models import CUT, DENSE, FOREST, REGRESSION, SCRATCH, Budget, prepared, window_logits

from secateur.core.errors import DataError
from secateur.core.records import read_json, write_json
from secateur.core.seeds import generator
from secateur.edge.foundation import SHIPPED
from secateur.edge.judgement import calibrated
from secateur.edge.runtime import Runtime
from secateur.models import checkpoint
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.readers.open import load_recordings
from secateur.signals.recording import FAULT_LOCATIONS, Recording
from secateur.signals.simulator.strangers import STRANGERS
from secateur.workflow.export import export_bundle

ZERO_SHOT, RULE = "shipped, zero-shot", "envelope rule"
FEMTO_BURST = 2_560
BURSTS_A_BEARING = 20


def by_bundle(runtime: Runtime, recordings: Sequence[Recording]) -> tuple[list[dict], list[dict]]:
    """Return the answers of a bundle and of the rule, a row a recording, windows side by side."""
    model, rule = [], []
    for recording in recordings:
        waveform, rate = recording.read()[0], runtime.manifest.sampling_rate_hz
        running = {"shaft_rate_hz": recording.shaft_rate_hz or 0.0, "fault_orders": recording.fault_orders}
        diagnosis = runtime.diagnose(waveform, sampling_rate_hz=rate, **running)
        length = runtime.manifest.window_length
        windows = waveform[: len(waveform) // length * length].reshape(-1, length)
        logits, _ = runtime.predict(windows, **running)
        p, energies = calibrated(logits, runtime.manifest.abstention)
        known = {"truth": recording.fault_location, "specimen": recording.group_id}
        model.append(
            known
            | {
                "answer": diagnosis.judgement.answer,
                "confidence": diagnosis.judgement.confidence,
                "windows": [runtime.labels[row] for row in p.argmax(axis=1)],
                "energies": energies.tolist(),
            }
        )
        call = diagnosis.judgement.rule
        rule.append(known | {"answer": None if call is None else call.label, "confidence": None})
    return model, rule


def by_windows(log_p: np.ndarray, recordings: Sequence[Recording], names: Sequence[str]) -> list[dict]:
    """Return rows of a model that always answers, from the log-probabilities of its windows."""
    rows, names = [], np.asarray(names)
    for recording in recordings:
        p = np.exp(log_p[names == recording.recording_id])
        mean = p.mean(axis=0)
        rows.append(
            {
                "truth": recording.fault_location,
                "specimen": recording.group_id,
                "answer": FAULT_LOCATIONS[int(mean.argmax())],
                "confidence": float(mean.max()),
                "windows": [FAULT_LOCATIONS[row] for row in p.argmax(axis=1)],
            }
        )
    return rows


def strangers(runtime: Runtime) -> dict:
    """Return energies of windows that come from no bearing, and the share of such signals that is refused."""
    length, rate = runtime.manifest.window_length, runtime.manifest.sampling_rate_hz
    time_s = np.arange(4 * length) / rate
    running = {"shaft_rate_hz": 29.5, "fault_orders": known_bearing("6205")}
    energies, refused = [], []
    for name, draw in STRANGERS.items():
        rng = generator(11, name)
        for signal in [draw(rng, time_s) for _ in range(STRANGERS_OF_A_KIND)]:
            noisy = signal + 1e-3 * rng.standard_normal(len(signal))
            try:
                answer = runtime.diagnose(noisy, sampling_rate_hz=rate, **running).judgement.answer
                logits, _ = runtime.predict(noisy.reshape(4, length).astype(np.float32), **running)
                energies += calibrated(logits, runtime.manifest.abstention)[1].tolist()
            except DataError:  # no sound sensor gives such a signal
                answer = None
            refused.append(answer is None)
    return {"energies": energies, "refused": float(np.mean(refused)), "signals": len(refused)}


def auroc_of_unknown(rows: list[dict], foreign: dict) -> float:
    """How well the energy of a window tells bearings of the rig (high) from signals of no bearing (low)."""
    known = [energy for row in rows for energy in row["energies"]]
    truth = [1] * len(known) + [0] * len(foreign["energies"])
    return float(roc_auc_score(truth, known + foreign["energies"]))


def femto_answers(runtime: Runtime, data: Path) -> dict[str, int]:
    """Ask for bursts of 0.1 s from the first tenth of each run to failure, one by one."""
    told = {"asked": 0, "answered": 0, "called faulty": 0}
    for recording in load_recordings(data / "femto"):
        bursts = recording.n_samples // FEMTO_BURST // 10
        healthy = recording.read(0, bursts * FEMTO_BURST)[0].reshape(bursts, FEMTO_BURST)
        for waveform in healthy[np.unique(np.linspace(0, bursts - 1, BURSTS_A_BEARING).astype(int))]:
            told["asked"] += 1
            try:
                found = runtime.diagnose(
                    waveform,
                    sampling_rate_hz=recording.sampling_rate_hz,
                    shaft_rate_hz=recording.shaft_rate_hz or 0.0,
                    fault_orders=recording.fault_orders,
                ).judgement.answer
            except DataError:  # shorter than a window
                continue
            told["answered"] += found is not None
            told["called faulty"] += found not in (None, "normal")
    return told


def trained(
    held_out: str, rigs: dict[str, list[Recording]], budget: Budget, work: Path, seed: int
) -> dict[str, list[dict] | dict]:
    """Train on all rigs but one and return the rows of each model on that one."""
    others = [recording for rig, members in rigs.items() if rig != held_out for recording in members]
    preparation = prepared(f"all but {held_out}", others, rigs[held_out], seed=seed)
    logits = window_logits(preparation, budget, work, seed=seed)
    names, rows = preparation.test.recording_ids, {}
    for name in (SCRATCH, FOREST, REGRESSION):
        rows[f"others, {name}"] = by_windows(logits[name], rigs[held_out], names)
    foreign = {}
    for name in (DENSE, CUT):
        bundle = work / f"{name}-bundle"
        if not bundle.exists():
            export_bundle(
                checkpoint.load(work / name),
                preparation,
                folder=bundle,
                plan=checkpoint.describe(work / name).plan,
                name=f"{name}, all but {held_out}",
                seed=seed,
            )
        runtime = Runtime(bundle)
        rows[f"others, {name}"], _ = by_bundle(runtime, rigs[held_out])
        foreign[f"others, {name}"] = strangers(runtime)
    return {"rows": rows, "strangers": foreign}


def zero_shot(rigs: dict[str, list[Recording]], data: Path) -> dict:
    """Ask the shipped diagnoser and the rule about every rig."""
    runtime, found = Runtime(SHIPPED), {}
    foreign = strangers(runtime)
    for rig, recordings in rigs.items():
        model, rule = by_bundle(runtime, recordings)
        found[rig] = {
            "rows": {ZERO_SHOT: model, RULE: rule},
            "strangers": {ZERO_SHOT: foreign},
        }
    return {"rigs": found, "femto": femto_answers(runtime, data)}


def folder_of(work: Path, rig: str, seed: int) -> Path:
    """Return where the models are kept that are trained on all rigs but one."""
    return work / f"without-{rig.replace(',', '').replace(' ', '-')}-seed-{seed}"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--zero-shot", action="store_true", help="train nothing")
    parser.add_argument("--seeds", type=json.loads, default=[0])
    parser.add_argument("--rigs", type=json.loads, default=list(RIGS))
    parser.add_argument("--train-steps", type=int, default=Budget.train_steps)
    parser.add_argument("--recovery-steps", type=int, default=Budget.recovery_steps)
    parser.add_argument("--ratio", type=float, default=Budget.ratio)
    given = parser.parse_args()
    budget = Budget(train_steps=given.train_steps, recovery_steps=given.recovery_steps, ratio=given.ratio)
    rigs = {rig: read(given.data) for rig, read in RIGS.items()}
    kept = given.work / "zero_shot.json"
    if not kept.exists():
        write_json(kept, zero_shot(rigs, given.data))
    known, cells = read_json(kept), []

    def write() -> None:
        text, figures = table(known, cells, auroc_of_unknown, sure=SURE)
        write_results(given, text, figures=figures)

    write()
    for seed in () if given.zero_shot else given.seeds:
        for rig in given.rigs:
            work = folder_of(given.work, rig, seed)
            if not (work / "answers.json").exists():
                found = trained(rig, rigs, budget, work, seed)
                write_json(work / "answers.json", {"rig": rig, "seed": seed, **found})
            cells.append(read_json(work / "answers.json"))
            write()


if __name__ == "__main__":
    main()
