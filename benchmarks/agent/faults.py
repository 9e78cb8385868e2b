"""A fault matrix: seeded runs of the agent under kills, torn writes, a full disk, and a broker in trouble.

Each run feeds bursts of three sensors, sends again what was not acknowledged (as a source would), and
compares what a consumer behind a real broker has seen: nothing acknowledged may be lost, nothing may come
twice unmarked, and the order of each sensor must hold. ``benchmarks/agent/faults.py --runs 200 --out DIR``
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from fault_kinds import FAULTS
from fault_plant import BURSTS, Plant


@dataclass
class Outcome:
    """What one run showed."""

    fault: str
    seed: int
    acknowledged: int = 0
    lost: int = 0
    doubled_unmarked: int = 0
    doubled_marked: int = 0
    reordered: int = 0
    restarts: int = 0
    seconds: float = 0.0
    trouble: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled_unmarked or self.reordered or self.trouble)


def one_run(fault: str, seed: int) -> Outcome:
    """Carry out one run; the same seed gives the same faults."""
    rng = random.Random(f"{fault}/{seed}")
    outcome = Outcome(fault=fault, seed=seed)
    started_s = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    plant = Plant(folder, rng)
    try:
        FAULTS[fault](plant, list(range(BURSTS)))
        plant.settle()
    except (TimeoutError, EOFError, OSError) as error:
        outcome.trouble = f"{type(error).__name__}: {error}"
    finally:
        plant.close()
        shutil.rmtree(folder, ignore_errors=True)
    _compare(plant, outcome)
    outcome.seconds = time.monotonic() - started_s
    return outcome


def _compare(plant: Plant, outcome: Outcome) -> None:
    seen = plant.consumer.seen
    outcome.acknowledged, outcome.restarts = len(plant.taken), plant.restarts
    outcome.lost = len(plant.taken - {number for _, number, _ in seen})
    unmarked = Counter(number for _, number, marked in seen if not marked)
    outcome.doubled_unmarked = sum(count - 1 for count in unmarked.values() if count > 1)
    outcome.doubled_marked = len(seen) - len({number for _, number, _ in seen}) - outcome.doubled_unmarked
    firsts: dict[str, list[int]] = {}
    for sensor, number, _ in seen:
        numbers = firsts.setdefault(sensor, [])
        if number not in numbers:
            numbers.append(number)
    for numbers in firsts.values():
        outcome.reordered += sum(after < before for before, after in pairwise(numbers))


@dataclass
class Table:
    """Counts over all runs of each fault."""

    rows: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Count one run."""
        row = self.rows.setdefault(outcome.fault, Counter())
        row["runs"] += 1
        for name in ("acknowledged", "lost", "doubled_unmarked", "doubled_marked", "reordered", "restarts"):
            row[name] += getattr(outcome, name)
        row["stuck"] += bool(outcome.trouble)

    def markdown(self) -> str:
        """Return the counts as a table."""
        names = (
            "runs",
            "restarts",
            "acknowledged",
            "lost",
            "doubled_unmarked",
            "doubled_marked",
            "reordered",
            "stuck",
        )
        titles = (
            "runs",
            "restarts",
            "acknowledged",
            "lost",
            "double, unmarked",
            "double, marked",
            "out of order",
            "stuck",
        )
        lines = [f"| fault | {' | '.join(titles)} |", "|---|" + "---:|" * len(names)]
        total: Counter[str] = Counter()
        for fault, row in self.rows.items():
            lines.append(f"| {fault} | {' | '.join(str(row[name]) for name in names)} |")
            total.update(row)
        lines.append(f"| **all** | {' | '.join(str(total[name]) for name in names)} |")
        return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=80)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for faults.jsonl and faults.md")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = arguments.out / "faults.jsonl"
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known, table = {(entry["fault"], entry["seed"]) for entry in done}, Table()
    for entry in done:
        table.add(Outcome(**entry))
    names = list(FAULTS)
    for number in range(arguments.runs):
        fault, seed = names[number % len(names)], arguments.first_seed + number // len(names)
        if (fault, seed) in known:
            continue
        outcome = one_run(fault, seed)
        table.add(outcome)
        with log.open("a") as lines:
            lines.write(json.dumps(outcome.__dict__) + "\n")
        (arguments.out / "faults.md").write_text(table.markdown())
        print("ok " if outcome.is_good else "BAD", outcome, flush=True)


if __name__ == "__main__":
    main()
