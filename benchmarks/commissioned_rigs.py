"""The shipped diagnoser alone, and after it has heard healthy recordings of the very machine.

    python benchmarks/commissioned_rigs.py --data DATA --out benchmarks/results/commissioned_rigs

Of each rig that took no part in its training every second healthy recording is learned from (``secateur
commission --healthy``); the other ones and all damaged recordings are judged. Then the halves change places.
"""

from __future__ import annotations

from collections.abc import Sequence

from foundation_rigs import SUBJECTS, Subject, judged
from study_files import options, write_results

from secateur.core.errors import DataError
from secateur.edge.foundation import SHIPPED
from secateur.edge.own_healthy import NORMAL, HealthyRecording, OwnHealthy, learn_own_healthy
from secateur.edge.runtime import Runtime
from secateur.signals.recording import ArraySource
from secateur.signals.resample import resample

ALONE, COMMISSIONED = "alone", "commissioned"


def heard(runtime: Runtime, subject: Subject) -> HealthyRecording:
    recording = subject.recording
    rate_hz = max(recording.sampling_rate_hz, runtime.manifest.sampling_rate_hz)
    waveform = resample(recording.read()[subject.channel], recording.sampling_rate_hz, rate_hz)
    parts = list(
        runtime.stream(
            ArraySource(waveform[None]),
            sampling_rate_hz=rate_hz,
            shaft_rate_hz=subject.shaft_rate_hz,
            fault_orders=subject.orders,
        )
    )
    return HealthyRecording.heard(parts, runtime.labels, shaft_rate_hz=subject.shaft_rate_hz)


def learned(runtime: Runtime, subjects: Sequence[Subject]) -> OwnHealthy | None:
    try:
        return learn_own_healthy(
            [heard(runtime, subject) for subject in subjects],
            bundle="shipped",
            version=runtime.version,
            fault_orders=subjects[0].orders,
        )
    except DataError as error:
        print(error)
        return None


def figures(rows: Sequence[dict]) -> dict[str, int]:
    healthy = [row for row in rows if row["truth"] == NORMAL]
    damaged = [row for row in rows if row["truth"] != NORMAL]
    open_ones = [row for row in damaged if row["answer"] is None]
    return {
        "healthy": len(healthy),
        "healthy_normal": sum(row["answer"] == NORMAL for row in healthy),
        "healthy_called_faulty": sum(row["answer"] not in (None, NORMAL) for row in healthy),
        "damaged": len(damaged),
        "named_right": sum(row["answer"] == row["truth"] for row in damaged),
        "named_wrong": sum(row["answer"] not in (None, NORMAL, row["truth"]) for row in damaged),
        "called_normal": sum(row["answer"] == NORMAL for row in damaged),
        "open_unlike_healthy": sum(bool(row["unlike_healthy"]) for row in open_ones),
        "open": len(open_ones),
    }


def table(rigs: dict[str, dict[str, dict[str, int]]]) -> str:
    lines = [
        "| rig | diagnoser | healthy: normal | called faulty | damaged: named rightly | named wrongly "
        "| called normal | left open, but unlike when healthy | left open |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for rig, ways in rigs.items():
        for way, f in ways.items():
            healthy = f"{f['healthy_normal']} of {f['healthy']}"
            unlike = f["open_unlike_healthy"]
            shares = [
                f"{100 * count / f['damaged']:.0f} %"
                for count in (
                    f["named_right"],
                    f["named_wrong"],
                    f["called_normal"],
                    unlike,
                    f["open"] - unlike,
                )
            ]
            cells = [rig, way, healthy, str(f["healthy_called_faulty"]), *shares]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    given = options(__doc__, works=False).parse_args()
    runtime = Runtime(SHIPPED)
    found: dict[str, dict[str, dict[str, int]]] = {}
    limits: dict[str, list[dict | None]] = {}
    for rig, subjects_of in SUBJECTS.items():
        subjects = list(subjects_of(given.data))
        healthy = [subject for subject in subjects if subject.recording.fault_location == NORMAL]
        rows: dict[str, list[dict]] = {ALONE: [], COMMISSIONED: []}
        limits[rig] = []
        for own in (healthy[::2], healthy[1::2]):
            others = [subject for subject in subjects if subject not in own]
            learnt = learned(runtime, own)
            limits[rig].append(None if learnt is None else learnt.model_dump())
            for way, known in ((ALONE, None), (COMMISSIONED, learnt)):
                runtime.own_healthy = known
                rows[way] += judged(runtime, iter(others))
        found[rig] = {way: figures(entries) for way, entries in rows.items()}
    write_results(given, table(found), rigs=found, limits=limits)


if __name__ == "__main__":
    main()
