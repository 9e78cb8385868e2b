"""A bundle trained on one rig is shown another, window by window, as the agent's model slot would ask it.

``python benchmarks/agent/foreign_machines.py --data DATA --out FILE --bundle NAME=PATH [--bundle NAME=PATH]``

``DATA`` holds ``cwru``, ``cwru_fan_end`` and ``uestc``. Three answers are counted for each window: of the
model alone, of the model with the judgement that the agent uses (abstention, unlikeness, evidence), and of
the plain envelope rule. Signals of no bearing at all must be refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from foundation_rigs import SURE, Subject, case_western, strangers, uestc

from secateur.core.provenance import provenance
from secateur.core.records import write_json
from secateur.edge.agent.config.machines import Diagnosis as Settings
from secateur.edge.agent.models.opinion import weigh
from secateur.edge.foundation import SHIPPED
from secateur.edge.runtime import Runtime
from secateur.signals.resample import resample

MOST_WINDOWS = 20
"""Of one recording, evenly spread, so that long recordings do not decide alone."""

WHO = ("model alone", "with abstention and evidence", "envelope rule")


def windows(subject: Subject, runtime: Runtime) -> Iterator[np.ndarray]:
    """Yield windows at the model's rate."""
    rate_hz, length = runtime.manifest.sampling_rate_hz, runtime.manifest.window_length
    waveform = subject.recording.read()[subject.channel]
    waveform = resample(waveform, subject.recording.sampling_rate_hz, rate_hz)
    count = len(waveform) // length
    for place in np.unique(np.linspace(0, count - 1, min(count, MOST_WINDOWS)).astype(int)):
        yield waveform[place * length : (place + 1) * length].astype(np.float32)


def rows(runtime: Runtime, subjects: Iterator[Subject]) -> dict[str, list[tuple[str, str | None, float]]]:
    """Return truth, answer and confidence of each window, by who answers."""
    found: dict[str, list[tuple[str, str | None, float]]] = {name: [] for name in WHO}
    settings = Settings()
    for subject in subjects:
        truth = subject.recording.fault_location
        for window in windows(subject, runtime):
            diagnosis = runtime.diagnose(
                window,
                sampling_rate_hz=runtime.manifest.sampling_rate_hz,
                shaft_rate_hz=subject.shaft_rate_hz,
                fault_orders=subject.orders,
            )
            confidence = diagnosis.probabilities[diagnosis.label]
            found["model alone"].append((truth, diagnosis.label, confidence))
            opinion = weigh(diagnosis, settings)
            found["with abstention and evidence"].append((truth, opinion.label, opinion.confidence))
            rule = diagnosis.judgement.rule
            found["envelope rule"].append((truth, None if rule is None else rule.label, 0.0))
    return found


def figures(entries: list[tuple[str, str | None, float]]) -> dict[str, float | int | None]:
    """Count: answered, right of what is answered, sure and wrong of all."""
    answered = [entry for entry in entries if entry[1] is not None]
    wrong = [entry for entry in answered if entry[0] != entry[1] and entry[2] > SURE]
    return {
        "windows": len(entries),
        "answered": len(answered) / len(entries),
        "right_of_answered": sum(t == a for t, a, _ in answered) / len(answered) if answered else None,
        "sure_and_wrong": len(wrong) / len(entries),
    }


def markdown(result: dict) -> str:
    """Return the counts as a table."""
    lines = [
        "| bundle | shown | who answers | windows | answered | right of answered | sure and wrong |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for bundle, found in result["bundles"].items():
        for rig, by in found["rigs"].items():
            for who, f in by.items():
                share = f"{100 * f['answered']:.1f} %"
                right = "-" if f["right_of_answered"] is None else f"{100 * f['right_of_answered']:.1f} %"
                sure = "-" if who == "envelope rule" else f"{100 * f['sure_and_wrong']:.1f} %"
                lines.append(f"| {bundle} | {rig} | {who} | {f['windows']} | {share} | {right} | {sure} |")
    lines.append("")
    for bundle, found in result["bundles"].items():
        kinds = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found["strangers_refused"].items())
        mean = 100 * float(np.mean(list(found["strangers_refused"].values())))
        lines.append(f"{bundle}: signals of no bearing refused {mean:.0f} % ({kinds}).\n")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bundle", action="append", default=[], help="NAME=PATH; the shipped one is added")
    parser.add_argument("--out", type=Path, required=True, help="without ending: .json and .md are written")
    given = parser.parse_args()
    bundles = {name: Path(path) for name, path in (entry.split("=", 1) for entry in given.bundle)}
    result: dict = {"bundles": {}}
    for name, path in (bundles | {"shipped": SHIPPED}).items():
        runtime = Runtime(path)
        rigs = {
            "CWRU drive end": case_western(given.data, fan_end=False),
            "CWRU fan end": case_western(given.data, fan_end=True),
            "UESTC": uestc(given.data),
        }
        result["bundles"][name] = {
            "version": runtime.version,
            "rigs": {
                rig: {who: figures(entries) for who, entries in rows(runtime, subjects).items()}
                for rig, subjects in rigs.items()
            },
            "strangers_refused": strangers(runtime),
        }
        print(name, "done", flush=True)
    result["provenance"] = provenance()
    write_json(given.out.with_suffix(".json"), result)
    given.out.with_suffix(".md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
