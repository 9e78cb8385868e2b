"""How fast a model could be on this machine, and what share of that it reaches."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.bench.operations import Operations
from secateur.bench.rates import Rates


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """Bounds of the time of one inference, in milliseconds.

    Attributes
    ----------
    memory_ms : float
        Weights read once, at the bandwidth of a working set of their size.
    compute_ms : float
        Operations at the best rate of each precision.
    sum_ms : float
        Both, one after the other: weights arrive, then are multiplied. What is judged against.
    longest_ms : float
        The longer of the two: as if reading and multiplying overlapped fully.
    measured_ms : float
        Median processor time on one thread, median wall time on several.
    share : float
        ``sum_ms / measured_ms``.

    References
    ----------
    Williams, Waterman, Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
    Architectures", CACM 2009, has the longer of the two.
    """

    memory_ms: float
    compute_ms: float
    sum_ms: float
    longest_ms: float
    measured_ms: float
    share: float


def roofline(operations: Operations, rates: Rates, *, measured_ms: float) -> Roofline:
    """Predict the bound of a model and compare with what was measured."""
    memory = operations.weight_bytes / rates.bandwidth(operations.weight_bytes)
    compute = (
        operations.float_operations / rates.float_rate + operations.integer_operations / rates.integer_rate
    )
    total = 1e3 * (memory + compute)
    return Roofline(
        memory_ms=1e3 * memory,
        compute_ms=1e3 * compute,
        sum_ms=total,
        longest_ms=1e3 * max(memory, compute),
        measured_ms=measured_ms,
        share=total / measured_ms,
    )
