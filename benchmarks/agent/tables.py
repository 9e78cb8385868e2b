"""Tables of docs/results.md about the agent, from the files in benchmarks/results/agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "agent"


def _minutes(value: float | None, up: bool) -> str:
    if value is None:
        return "up since the first half" if up else "none"
    return f"{value:.1f}"


def femto() -> str:
    """Return one row a bearing, and the sums."""
    found = json.loads((RESULTS / "femto.json").read_text())
    lines = [
        "| bearing | hours | warning, min before the end | alarm, min before the end | false warnings | "
        "false alarms |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in found["bearings"]:
        leads = [
            _minutes(row[f"{level}_lead_min"], row[f"{level}_up_at_half"]) for level in ("warning", "alarm")
        ]
        lines.append(
            f"| {row['bearing']} | {row['hours']:.1f} | {leads[0]} | {leads[1]} | {row['false_warnings']} | "
            f"{row['false_alarms']} |"
        )
    lines += [
        "",
        "| bearings | alarm before the end | false alarms in the first half | healthy hours | "
        "false alarms an hour |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, group in found["summary"].items():
        alarm: dict[str, Any] = group["alarm"]
        lines.append(
            f"| {name} | {alarm['told']} of {alarm['bearings']} | {alarm['false']} | "
            f"{alarm['healthy_hours']:.1f} | {alarm['false'] / alarm['healthy_hours']:.2f} |"
        )
    return "\n".join(lines)


def load() -> str:
    """Return one row a load."""
    lines = [
        "| load | bursts | p50 ms | p90 ms | p99 ms | CPU ms a burst | steady MiB | growth, last half |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for path in sorted(RESULTS.glob("load*.json")):
        row = json.loads(path.read_text())
        told = f"{row['sensors']} x {row['samples']} samples, {row['model'] or 'indicators alone'}"
        late, memory = row["latency_ms"], row["memory_mib"]
        lines.append(
            f"| {told} | {row['bursts']} | {late['p50']:.0f} | {late['p90']:.0f} | {late['p99']:.0f} | "
            f"{row['cpu_ms_per_burst']:.1f} | {memory['steady']:.0f} | "
            f"{100 * memory['growth_over_last_half']:.1f} % |"
        )
    return "\n".join(lines)


def _memory(found: dict[str, Any]) -> str:
    memory = found["memory_mib"]
    growth = 100 * memory["growth_over_last_half"]
    return f"{memory['steady']:.0f} MiB, growth in the last half {growth:.1f} %."


def week() -> str:
    """Return one line."""
    found = json.loads((RESULTS / "week_2048.json").read_text())
    days = found["bursts"] / found["sensors"] * found["interval_s"] / 86_400
    return (
        f"{days:.0f} days of {found['sensors']} sensors with a burst of {found['samples']} samples every "
        f"{found['interval_s'] / 60:.0f} minutes, played as fast as they were taken: "
        f"{found['bursts']:,} bursts, {_memory(found)}"
    )


def fuzz() -> str:
    """Return one line."""
    found = json.loads((RESULTS / "fuzz.json").read_text())
    sent = ", ".join(f"{count:,} {name}" for name, count in found["sent"].items())
    return (
        f"{sent}: {len(found['answers_that_failed'])} answers with a status of 500 or a trace, "
        f"{found['failed_in_a_source']} failures in a source, {found['bursts'].get('failed', 0)} in the "
        f"worker; {_memory(found)}"
    )


def backlog() -> str:
    """Return one line."""
    found = json.loads((RESULTS / "backlog.json").read_text())
    return (
        f"{found['rows']:,} results waiting: the first is acknowledged {found['first_acknowledged_s']:.2f} s "
        f"after the start, then {found['results_per_s']:.0f} a second; {found['memory_mib']:.0f} MiB then, "
        f"{found['memory_after_replay_mib']:.0f} MiB after the replay."
    )


def slow_machine() -> str:
    """Return one row for each length of the average."""
    found = json.loads((RESULTS / "slow_machine.json").read_text())
    lines = [
        "| bursts averaged | BPFO line healthy, dB | BPFO line at the end, dB | score healthy, highest | "
        "score of the fault | raised after, min | false |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for run in found["runs"]:
        lines.append(
            f"| {run['averaged_bursts']} | {run['line_db_healthy'][1]:z.1f} | "
            f"{run['line_db_faulty'][1]:z.1f} | "
            f"{run['highest_score_healthy']:z.1f} | {run['highest_score_faulty']:z.1f} | "
            f"{run['minutes_of_fault_until_raised']} | {run['false_levels']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    for part in (femto, slow_machine, load, week, fuzz, backlog):
        print(part(), end="\n\n")
    print((RESULTS / "faults.md").read_text())
