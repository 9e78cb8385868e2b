"""Models measured in fresh processes, in turns, and compared."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from secateur.bench.costs import operations_of_work
from secateur.bench.energy import RaplMeter
from secateur.bench.process import Worker
from secateur.bench.rates import Rates, measure_rates
from secateur.bench.results import (
    BenchResult,
    Comparison,
    Group,
    Measured,
    Memory,
    WholeDiagnosis,
)
from secateur.bench.roofline import roofline
from secateur.bench.statistics import paired_ratio, spread
from secateur.bench.status import NO_STATUS
from secateur.bench.turns import Turn, take_turns
from secateur.bench.work import Work, plan_work, stored_bytes
from secateur.core.errors import ConfigError
from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.typed import typed

DIAGNOSES = 5
DISTURBED = 1.25
"""Mean wall time over mean processor time of one thread from which on other work is to blame."""

WALL_RATES = (
    "on several threads the rates of the machine and the shares of the bound are of wall time, which other "
    "work on the machine lengthens; trust them on an idle machine only"
)


@dataclass(frozen=True, kw_only=True)
@typed
class BenchSettings:
    """How to measure.

    Parameters
    ----------
    seconds : float
        Seconds of inferences, shared by all models and numbers of tokens; starts come on top.
    threads : int
        Threads of one operator.
    tokens : tuple of int
        Numbers of tokens for backbones alone; empty where windows go in.
    starts : int
        Fresh processes for each model; the last of them is measured further.
    seed : int
        Of the bootstrap.

    Raises
    ------
    ConfigError
        If a number is not positive.
    """

    seconds: float = 60.0
    threads: int = 1
    tokens: tuple[int, ...] = ()
    starts: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.seconds < float("inf") and self.starts >= 1):
            raise ConfigError(
                f"{self.seconds} seconds and {self.starts} starts; give more than 0 seconds and at least 1 "
                "start."
            )


def measure(models: Mapping[str, Path], settings: BenchSettings, *, bases: Sequence[str] = ()) -> BenchResult:
    """Measure models side by side.

    Parameters
    ----------
    models : mapping of str to Path
        Bundles, graphs of backbones, checkpoints of Diagnosers, by the names to show.
    settings : BenchSettings
    bases : sequence of str
        Names of those that all others are compared with.

    Raises
    ------
    ConfigError
        If something cannot be measured, or models and tokens do not go together.
    MeasurementError
        If a process that measures dies.
    SecateurError
        What a model says when it is loaded.
    """
    names, paths = list(models), [Path(path) for path in models.values()]
    planned = plan_work(paths, tokens=settings.tokens, threads=settings.threads)
    meter, load_before = RaplMeter(), _load_average()
    rates = None
    if any(work.kind != "checkpoint" for work in planned[0]):
        console.print("rates of this machine ...")
        rates = measure_rates(threads=settings.threads)
    groups = tuple(_group(names, works, settings, meter, rates, bases) for works in planned)
    load_after = _load_average()
    shown = [model for group in groups for model in group.models]
    notes = [NO_STATUS] if any(model.memory is None for model in shown) else []
    notes += [f"energy is not measured: {meter.trouble}"] if meter.trouble else []
    notes += [WALL_RATES] if rates is not None and settings.threads > 1 else []
    notes += _disturbance(shown) if settings.threads == 1 else []
    return BenchResult(
        threads=settings.threads,
        seconds=settings.seconds,
        starts=settings.starts,
        seed=settings.seed,
        load_average=None if load_before is None or load_after is None else (load_before, load_after),
        notes=tuple(notes),
        rates=rates,
        groups=groups,
        provenance=provenance(seed=settings.seed),
    )


def _disturbance(models: Sequence[Measured]) -> list[str]:
    """Say how much longer a single thread took than it computed, where that spoils wall times."""
    worst = max(model.wall_ms.mean / model.cpu_ms.mean for model in models)
    if worst < DISTURBED:
        return []
    return [
        f"other work took the processor: inferences took up to {worst:.1f} times their processor time. "
        "Compare processor times; ratios of wall times can be far off either way. For those, measure again "
        "on an idle machine."
    ]


def _load_average() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _group(
    names: Sequence[str],
    works: Sequence[Work],
    settings: BenchSettings,
    meter: RaplMeter,
    rates: Rates | None,
    bases: Sequence[str],
) -> Group:
    tokens = works[0].tokens
    at = "" if tokens is None else f" at {tokens} tokens"
    console.print(f"{len(works) * settings.starts} fresh processes{at} ...")
    starts: list[list[float]] = [[] for _ in works]
    for _ in range(settings.starts - 1):
        for taken, work in zip(starts, works, strict=True):
            with Worker(work) as worker:
                taken.append(worker.cold_start_s)
    with ExitStack() as open_workers:
        workers = [open_workers.enter_context(Worker(work)) for work in works]
        seconds = settings.seconds / max(1, len(settings.tokens))
        turns = take_turns(workers, seconds=seconds, meter=meter, description=f"turns{at}")
        measured = tuple(
            _measured(name, worker, (*taken, worker.cold_start_s), own, meter, rates)
            for name, worker, taken, own in zip(names, workers, starts, turns, strict=True)
        )
    comparisons = tuple(
        _compare(measured[first], measured[other], turns[first], turns[other], settings.seed)
        for first in map(names.index, bases)
        for other in range(len(names))
        if other != first
    )
    return Group(tokens=tokens, models=measured, comparisons=comparisons)


def _measured(
    name: str,
    worker: Worker,
    cold_starts_s: tuple[float, ...],
    turns: Sequence[Turn],
    meter: RaplMeter,
    rates: Rates | None,
) -> Measured:
    wall = np.concatenate([turn.wall_ms for turn in turns])
    cpu = np.concatenate([turn.cpu_ms for turn in turns])
    held = worker.ask("memory")
    memory = None
    if held["now"] is not None:
        phases = {phase: worker.first[phase] for phase in ("imported", "loaded", "answered")}
        memory = Memory(**phases, steady=held["now"], peak=held["peak"])
    diagnosis = _diagnosis(worker) if worker.work.kind == "bundle" else None
    operations = operations_of_work(worker.work)
    walls, cpus = spread(wall), spread(cpu)
    judged = cpus.p50 if worker.work.threads == 1 else walls.p50
    return Measured(
        name=name,
        kind=worker.work.kind,
        stored_bytes=stored_bytes(Path(worker.work.path)),
        cold_starts_s=cold_starts_s,
        wall_ms=walls,
        cpu_ms=cpus,
        wall_quantiles_ms=tuple(np.percentile(wall, np.arange(101), method="inverted_cdf").tolist()),
        throughput_per_s=1e3 * len(wall) / float(wall.sum()),
        memory=memory,
        energy=meter.energy(sum(turn.joules for turn in turns), sum(turn.inferences for turn in turns)),
        operations=operations,
        roofline=roofline(operations, rates, measured_ms=judged) if operations and rates else None,
        diagnosis=diagnosis,
    )


def _diagnosis(worker: Worker) -> WholeDiagnosis:
    told = worker.ask("diagnose", repeats=DIAGNOSES)
    return WholeDiagnosis(
        sampling_rate_hz=told["sampling_rate_hz"],
        wall_ms=median(told["wall_ns"]) / 1e6,
        cpu_ms=median(told["cpu_ns"]) / 1e6,
        peak=worker.ask("memory")["peak"],
    )


def _compare(
    base: Measured, model: Measured, base_turns: Sequence[Turn], turns: Sequence[Turn], seed: int
) -> Comparison:
    peak = above_import = None
    if base.memory is not None and model.memory is not None:
        peak = base.memory.peak / model.memory.peak
        above_import = base.memory.above_import / model.memory.above_import
    return Comparison(
        base=base.name,
        model=model.name,
        wall=paired_ratio([turn.wall for turn in base_turns], [turn.wall for turn in turns], seed=seed),
        cpu=paired_ratio([turn.cpu for turn in base_turns], [turn.cpu for turn in turns], seed=seed),
        stored=base.stored_bytes / model.stored_bytes,
        peak=peak,
        above_import=above_import,
    )
