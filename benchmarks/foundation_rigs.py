"""The shipped foundation diagnoser on rigs that took no part in its training, beside the plain envelope rule.

    python benchmarks/foundation_rigs.py --data DATA --out benchmarks/results/foundation_rigs

``DATA`` holds the folders ``cwru``, ``cwru_fan_end``, ``uestc`` and ``femto`` of the archive layout. Each
recording gets one answer. The speed is the tachometer's; for UESTC, which has none, that estimated from
the shaft lines.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from secateur.core.errors import DataError
from secateur.core.provenance import provenance
from secateur.core.records import write_json
from secateur.core.seeds import generator
from secateur.edge.foundation import SHIPPED
from secateur.edge.runtime import Runtime
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.kinematics import FaultOrders
from secateur.signals.readers.open import load_recordings
from secateur.signals.recording import Recording
from secateur.signals.resample import resample
from secateur.signals.simulator.strangers import STRANGERS

SURE = 0.9
STRANGERS_OF_A_KIND = 12


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A recording, the channel to look at, its speed and bearing."""

    recording: Recording
    channel: int
    shaft_rate_hz: float
    orders: FaultOrders


def case_western(data: Path, *, fan_end: bool) -> Iterator[Subject]:
    channel = "FE" if fan_end else "DE"
    bearing = known_bearing("6203" if fan_end else "6205")
    for recording in load_recordings(data / "cwru"):
        wanted = recording.fault_location == "normal" or not fan_end
        if recording.sampling_rate_hz == 12_000 and wanted:
            large = "028" in recording.recording_id
            yield _subject(recording, channel, known_bearing("NTN 6205") if large else bearing)
    for recording in load_recordings(data / "cwru_fan_end") if fan_end else ():
        yield _subject(recording, channel, bearing)


def _subject(recording: Recording, channel: str, orders: FaultOrders) -> Subject:
    rpm = recording.shaft_speed_rpm or recording.nominal_speed_rpm
    return Subject(
        recording=recording,
        channel=recording.channels.index(channel),
        shaft_rate_hz=float(rpm) / 60.0,
        orders=orders,
    )


def uestc(data: Path) -> Iterator[Subject]:
    with (data / "uestc" / "recordings.csv").open(encoding="utf-8") as stream:
        speeds = {row["recording_id"]: float(row["rpm_estimated"]) for row in csv.DictReader(stream)}
    for recording in load_recordings(data / "uestc"):
        yield Subject(
            recording=recording,
            channel=0,
            shaft_rate_hz=speeds[recording.recording_id] / 60.0,
            orders=known_bearing("UC204"),
        )


SUBJECTS: dict[str, Callable[[Path], Iterator[Subject]]] = {
    "Case Western, drive end": partial(case_western, fan_end=False),
    "Case Western, fan end": partial(case_western, fan_end=True),
    "UESTC": uestc,
}
"""The subjects of each rig, given the folder of all data."""


def judged(runtime: Runtime, subjects: Iterator[Subject]) -> list[dict]:
    rows = []
    for subject in subjects:
        recording = subject.recording
        rate_hz = max(recording.sampling_rate_hz, runtime.manifest.sampling_rate_hz)
        waveform = recording.read()[subject.channel]
        diagnosis = runtime.diagnose(
            resample(waveform, recording.sampling_rate_hz, rate_hz),
            sampling_rate_hz=rate_hz,
            shaft_rate_hz=subject.shaft_rate_hz,
            fault_orders=subject.orders,
        )
        judgement = diagnosis.judgement
        rows.append(
            {
                "recording": recording.recording_id,
                "truth": recording.fault_location,
                "label": judgement.label,
                "confidence": judgement.confidence,
                "answer": judgement.answer,
                "unlike_healthy": judgement.unlike_healthy,
                "rule": judgement.rule.label if judgement.rule else None,
                "reasons": judgement.reasons,
            }
        )
    return rows


def figures(rows: list[dict], key: str) -> dict:
    answered = [row for row in rows if row[key] is not None]
    right = [row for row in answered if row[key] == row["truth"]]
    healthy = [row for row in rows if row["truth"] == "normal"]
    return {
        "recordings": len(rows),
        "answered": len(answered) / len(rows),
        "right_of_answered": len(right) / len(answered) if answered else None,
        "right_of_all": len(right) / len(rows),
        "healthy": len(healthy),
        "healthy_called_faulty": sum(row[key] not in (None, "normal") for row in healthy),
    }


def sure_and_wrong(rows: list[dict]) -> float:
    wrong = [row for row in rows if row["answer"] not in (None, row["truth"]) and row["confidence"] > SURE]
    return len(wrong) / len(rows)


def strangers(runtime: Runtime) -> dict[str, float]:
    """Share of signals from no bearing that are refused, by kind; 5.5 s each, speed and bearing of a 6205."""
    time_s = np.arange(4 * runtime.manifest.window_length) / runtime.manifest.sampling_rate_hz
    refused = {}
    for name, draw in STRANGERS.items():
        rng = generator(11, name)
        signals = (draw(rng, time_s) for _ in range(STRANGERS_OF_A_KIND))
        noisy = (x + 1e-3 * rng.standard_normal(len(x)) for x in signals)
        refused[name] = float(np.mean([_refuses(runtime, x) for x in noisy]))
    return refused


def _refuses(runtime: Runtime, waveform: np.ndarray) -> bool:
    try:
        diagnosis = runtime.diagnose(
            waveform,
            sampling_rate_hz=runtime.manifest.sampling_rate_hz,
            shaft_rate_hz=29.5,
            fault_orders=known_bearing("6205"),
        )
    except DataError:  # no sound sensor gives such a signal
        return True
    return diagnosis.judgement.answer is None


def bursts(runtime: Runtime, data: Path) -> str:
    """What is said to one burst of the run-to-failure tests, 0.1 s long."""
    recording = load_recordings(data / "femto")[0]
    try:
        runtime.diagnose(recording.source.read(0, 2_560)[0], sampling_rate_hz=recording.sampling_rate_hz)
    except DataError as error:
        return f"refused: {error}"
    return "diagnosed"


def table(result: dict) -> str:
    lines = [
        "| rig | who | recordings | answered | right of answered | right of all | healthy called faulty "
        "| sure and wrong |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for rig, found in result["rigs"].items():
        for who in ("foundation", "rule"):
            f = found[who]
            right = "-" if f["right_of_answered"] is None else f"{100 * f['right_of_answered']:.1f} %"
            wrong = f"{100 * found['sure_and_wrong']:.1f} %" if who == "foundation" else "-"
            alarms = f"{f['healthy_called_faulty']} of {f['healthy']}"
            lines.append(
                f"| {rig} | {who} | {f['recordings']} | {100 * f['answered']:.0f} % | {right} | "
                f"{100 * f['right_of_all']:.1f} % | {alarms} | {wrong} |"
            )
    kinds = ", ".join(f"{name} {100 * share:.0f} %" for name, share in result["strangers_refused"].items())
    return "\n".join([*lines, "", f"Signals of no bearing refused: {kinds}.", "", result["bursts"], ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, default=SHIPPED)
    parser.add_argument("--out", type=Path, required=True, help="without ending: .json and .md are written")
    given = parser.parse_args()
    runtime = Runtime(given.bundle)
    result: dict = {"rigs": {}, "version": runtime.version}
    for rig, subjects in SUBJECTS.items():
        rows = judged(runtime, subjects(given.data))
        result["rigs"][rig] = {
            "foundation": figures(rows, "answer"),
            "rule": figures(rows, "rule"),
            "sure_and_wrong": sure_and_wrong(rows),
            "rows": rows,
        }
    result["strangers_refused"] = strangers(runtime)
    result["bursts"] = f"A burst of 0.1 s: {bursts(runtime, given.data)}"
    result["time_utc"] = provenance()["time_utc"]
    write_json(given.out.with_suffix(".json"), result)
    given.out.with_suffix(".md").write_text(table(result), encoding="utf-8")
    print(table(result))


if __name__ == "__main__":
    main()
