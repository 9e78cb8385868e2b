"""The shipped diagnoser told a wrong speed or another bearing: does it notice?

    python benchmarks/wrong_statements.py --data DATA --out benchmarks/results/wrong_statements

Recordings and rigs as in ``foundation_rigs.py``. Beside them healthy machines of the simulator, of another
seed than any that was trained on: gears, knocks and hum are theirs by right, so how many of them show stray
lines is a rate of false alarms. In brackets: without the search for stray lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from foundation_rigs import SUBJECTS, Subject, judged
from study_files import options, write_results

from secateur.core.progress import track
from secateur.edge.foundation import SHIPPED
from secateur.edge.runtime import Runtime
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.evidence import gather_evidence
from secateur.signals.kinematics import FaultOrders
from secateur.signals.simulator.machine_windows import machine_windows

SPEEDS = (0.8, 0.92, 0.97, 1.0, 1.03, 1.08, 1.25)
OTHER_BEARING = "6308"
SEED, BLOCKS, LENGTH, RATE_HZ = 977, 8, 72_000, 12_000
NAMES = ("waveform", "shaft_rate_hz", "fault_orders", "label")
ORDERS = ("bpfo", "bpfi", "bsf2", "ftf")


def stated(subjects: Iterator[Subject], speed: float, bearing: str | None) -> Iterator[Subject]:
    """Yield the subjects as somebody would tell them who is wrong."""
    for subject in subjects:
        orders = subject.orders if bearing is None else known_bearing(bearing)
        yield replace(subject, shaft_rate_hz=speed * subject.shaft_rate_hz, orders=orders)


def figures(rows: list[dict]) -> dict[str, float]:
    """Return shares of the faulty and of the healthy recordings."""
    faulty = [row for row in rows if row["truth"] != "normal"]
    healthy = [row for row in rows if row["truth"] == "normal"]

    def share(some: list[dict], answers: tuple) -> float:
        return sum(row["answer"] in answers for row in some) / len(some)

    return {
        "faulty": len(faulty),
        "faulty_right": sum(row["answer"] == row["truth"] for row in faulty) / len(faulty),
        "faulty_called_normal": share(faulty, ("normal",)),
        "faulty_called_another": sum(row["answer"] not in (None, "normal", row["truth"]) for row in faulty)
        / len(faulty),
        "healthy": len(healthy),
        "healthy_right": share(healthy, ("normal",)),
    }


def simulated() -> dict[str, int]:
    """Return how many machines of the simulator of each state there were, and how many show stray lines."""
    counts: dict[str, int] = {}
    for block in range(BLOCKS):
        drawn = machine_windows(SEED, block, length=LENGTH, sampling_rate_hz=RATE_HZ, strangers=0.0)
        for wave, rate, orders, label in zip(*(drawn[name] for name in NAMES), strict=True):
            if rate <= 0 or not (orders > 0).all():
                continue
            found = gather_evidence(
                wave,
                sampling_rate_hz=RATE_HZ,
                shaft_rate_hz=float(rate),
                fault_orders=FaultOrders(**dict(zip(ORDERS, map(float, orders), strict=True))),
            )
            state = "healthy" if label == 0 else "faulty"
            counts[state] = counts.get(state, 0) + 1
            counts[f"{state}_strays"] = counts.get(f"{state}_strays", 0) + (found.stray is not None)
    return counts


def table(rows: list[dict], simulated: dict[str, int]) -> str:
    """Return the result as Markdown."""
    lines = [
        "| rig | speed stated / true | bearing stated | faulty: right | called another fault | called normal "
        "| healthy: right |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        f = row["with"]
        without = row["without"]
        both = (
            f"{100 * f[key]:.0f} % ({100 * without[key]:.0f})"
            for key in ("faulty_right", "faulty_called_another", "faulty_called_normal")
        )
        healthy = [round(told["healthy_right"] * told["healthy"]) for told in (f, without)]
        lines.append(
            f"| {row['rig']} | {row['speed']:g} | {row['bearing']} | {' | '.join(both)} | "
            f"{healthy[0]} of {f['healthy']} ({healthy[1]}) |"
        )
    told = ", ".join(
        f"{simulated[f'{state}_strays']} of {simulated[state]} {state}" for state in ("healthy", "faulty")
    )
    return "\n".join([*lines, "", f"Simulated machines with stray lines, all stated rightly: {told}.", ""])


def without_search(row: dict) -> dict:
    """Return what would be said without the search for stray lines."""
    reasons = [reason for reason in row["reasons"] if not reason.startswith("something strikes")]
    return row | {"answer": None if reasons else row["label"]}


def main() -> None:
    """Read the options and measure."""
    given = options(__doc__, works=False).parse_args()
    runtime = Runtime(SHIPPED)
    cases = [*((speed, None) for speed in SPEEDS), (1.0, OTHER_BEARING)]
    rows = []
    for rig, subjects in SUBJECTS.items():
        for speed, bearing in track(cases, rig):
            told = judged(runtime, stated(subjects(given.data), speed, bearing))
            rows.append(
                {
                    "rig": rig,
                    "speed": speed,
                    "bearing": bearing or "its own",
                    "with": figures(told),
                    "without": figures([without_search(row) for row in told]),
                }
            )
    machines = simulated()
    write_results(given, table(rows, machines), rows=rows, simulated=machines)


if __name__ == "__main__":
    main()
