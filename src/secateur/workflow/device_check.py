"""What an exported bundle really takes, beside what was asked for and what was predicted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from secateur.bench.energy import RaplMeter
from secateur.bench.process import Worker
from secateur.bench.turns import Turn, take_turns
from secateur.bench.work import Work
from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.report.device import in_words
from secateur.structure.latency import LatencyTable
from secateur.structure.memory import MIB
from secateur.structure.plan import PruningPlan
from secateur.structure.target import predicted
from secateur.workflow.cut_settings import DeviceLimits

SECONDS = 10.0
SPREAD = (10, 90)
"""Percentiles of the turns' medians between which a measurement is called the same as another."""


def check_on_device(
    bundle: Path, limits: DeviceLimits, plan: PruningPlan, *, window_tokens: int
) -> dict[str, dict[str, Any]]:
    """Measure a bundle in a fresh process, and hold it against its limits; what is broken is told.

    A limit that the prediction kept and the measurement breaks is a warning, not a failure: the measurement
    is of this machine, with all that runs on it, and the model is there and proved.

    Parameters
    ----------
    bundle : Path
    limits : DeviceLimits
    plan : PruningPlan
        What the model keeps of the dense one.
    window_tokens : int
        Tokens that the model makes of a window.

    Returns
    -------
    dict
        By limit (``latency``, ``memory``): ``unit``, ``most``, ``predicted``, ``measured``, for the latency
        ``low`` and ``high``, and the ``verdict``: "kept", "within noise", "broken", "other machine" or
        "not measured".
    """
    table = limits.latency_table
    work = Work(kind="bundle", path=str(bundle), tokens=None, threads=1 if table is None else table.threads)
    with Worker(work) as worker:
        (turns,) = take_turns([worker], seconds=SECONDS, meter=RaplMeter(), description="on this machine")
        peak = worker.ask("memory")["peak"]
    found = predicted(limits.limits(window_tokens=window_tokens), plan)
    for name, entry in found.items():
        entry |= _latency(turns, work.threads) if name == "latency" else _memory(peak)
        entry["verdict"] = _verdict(entry, table if name == "latency" else None)
    for name, entry in found.items():
        if entry["verdict"] == "broken":
            console.print(f"warning: {in_words(name, entry)}", highlight=False)
    return found


def _latency(turns: list[Turn], threads: int) -> dict[str, float]:
    medians = [turn.cpu if threads == 1 else turn.wall for turn in turns]
    low, measured, high = np.percentile(medians, (SPREAD[0], 50, SPREAD[1])).tolist()
    return {"measured": measured, "low": low, "high": high}


def _memory(peak: int | None) -> dict[str, float | None]:
    return {"measured": None if peak is None else peak / MIB}


def _verdict(entry: Mapping[str, Any], table: LatencyTable | None) -> str:
    if entry["measured"] is None:
        return "not measured"
    if table is not None and table.provenance.get("machine") != provenance()["machine"]:
        return "other machine"
    if entry["measured"] <= entry["most"]:
        return "kept"
    return "within noise" if entry.get("low", entry["measured"]) <= entry["most"] else "broken"
