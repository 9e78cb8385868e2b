"""What a measurement came to, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from secateur.bench.energy import Energy
from secateur.bench.operations import Operations
from secateur.bench.rates import Rates
from secateur.bench.roofline import Roofline
from secateur.bench.statistics import Ratio, Spread
from secateur.bench.work import Kind

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident bytes of the process that held the model.

    Attributes
    ----------
    imported : int
        After the imports, before the model.
    loaded : int
        With the model, before its first answer.
    answered : int
        After the first answer.
    steady : int
        After all turns.
    peak : int
        The most at any time up to then.
    """

    imported: int
    loaded: int
    answered: int
    steady: int
    peak: int

    @property
    def above_import(self) -> int:
        """Peak without the import base: what the model itself costs."""
        return self.peak - self.imported


@dataclass(frozen=True, kw_only=True)
class WholeDiagnosis:
    """A burst of one window, resampled, cut into windows and diagnosed by the device's runtime.

    Attributes
    ----------
    sampling_rate_hz : float
        Of the burst.
    wall_ms, cpu_ms : float
        Medians.
    peak : int or None
        Peak resident bytes of the whole process since its start.
    """

    sampling_rate_hz: float
    wall_ms: float
    cpu_ms: float
    peak: int | None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One model at one number of tokens.

    Attributes
    ----------
    name, kind
        What it is called here, and what it is.
    stored_bytes : int
        Size of its files.
    cold_starts_s : tuple of float
        From the start of a fresh process to the first answer, each time.
    wall_ms, cpu_ms : Spread
        Of one inference, batch 1.
    wall_quantiles_ms : tuple of float
        From the fastest to the slowest in per cent, 101 of them.
    throughput_per_s : float
        Inferences a second, one after the other.
    memory : Memory or None
        None where the system does not tell.
    energy : Energy
    operations : Operations or None
        None for what is not run by ONNX Runtime.
    roofline : Roofline or None
        None where there are no operations.
    diagnosis : WholeDiagnosis or None
        Of bundles.
    """

    name: str
    kind: Kind
    stored_bytes: int
    cold_starts_s: tuple[float, ...]
    wall_ms: Spread
    cpu_ms: Spread
    wall_quantiles_ms: tuple[float, ...]
    throughput_per_s: float
    memory: Memory | None
    energy: Energy
    operations: Operations | None
    roofline: Roofline | None
    diagnosis: WholeDiagnosis | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How many times the base takes what a model takes.

    Attributes
    ----------
    base, model : str
        Their names.
    wall, cpu : Ratio
        Of the medians of turns that stand side by side.
    stored : float
        Of the sizes of the files.
    peak, above_import : float or None
        Of peak memory, whole and without each process's import base.
    """

    base: str
    model: str
    wall: Ratio
    cpu: Ratio
    stored: float
    peak: float | None
    above_import: float | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Models that took turns.

    Attributes
    ----------
    tokens : int or None
        None where windows go in.
    models : tuple of Measured
    comparisons : tuple of Comparison
    """

    tokens: int | None
    models: tuple[Measured, ...]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """All that was measured; written as ``bench.json``.

    Attributes
    ----------
    threads, seconds, starts, seed
        As asked for.
    load_average : tuple of float or None
        Processes that wanted to run, on average over a minute, before and after; what there was beside us.
    notes : tuple of str
        What could not be measured, and why.
    rates : Rates or None
        Of this machine; None where no graph was measured.
    groups : tuple of Group
        One for each number of tokens.
    provenance : dict
        Command, versions, machine, time.
    """

    threads: int
    seconds: float
    starts: int
    seed: int
    load_average: tuple[float, float] | None
    notes: tuple[str, ...]
    rates: Rates | None
    groups: tuple[Group, ...]
    provenance: dict[str, Any]
    schema_version: int = SCHEMA_VERSION
