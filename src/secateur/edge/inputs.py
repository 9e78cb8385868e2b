"""What a caller gives the runtime, checked: samples, rates, speeds and bearings."""

from __future__ import annotations

import math

import numpy as np

from secateur.core.errors import ConfigError, DataError
from secateur.signals.kinematics import FaultOrders

FASTEST_SHAFT_HZ = 1000.0
"""60,000 turns a minute; a larger number is turns a minute given as turns a second."""

HIGHEST_ORDER = 100.0
"""Of a fault rate over the shaft rate: a bearing of 100 rolling elements has a BPFI of about 55."""

RATES_HZ = (1.0, 10e6)
"""Sampling rates of vibration, from a slow logger to acoustic emission."""


def real_samples(samples: np.ndarray) -> np.ndarray:
    """Return samples as float32; what does not fit into it becomes infinite.

    Raises
    ------
    DataError
        If they are no real numbers, or some are masked.
    """
    masked = np.ma.getmask(samples)
    found = np.asarray(samples)
    if found.dtype.kind not in "fiu":
        raise DataError(f"samples of type {found.dtype} were given; real numbers are needed.")
    if np.any(masked):
        raise DataError(
            f"{int(np.sum(masked))} samples are masked; fill them, with NaN where their windows are to be "
            "passed over."
        )
    with np.errstate(over="ignore"):
        return found.astype(np.float32, copy=False)


def require_sampling_rate(sampling_rate_hz: float) -> None:
    """Check a sampling rate.

    Raises
    ------
    DataError
        If it is no rate of a vibration sensor in Hz.
    """
    lowest, highest = RATES_HZ
    if not lowest <= sampling_rate_hz <= highest:
        raise DataError(
            f"a sampling rate of {sampling_rate_hz:g} Hz was given; give samples a second, from {lowest:g} "
            f"to {highest:g}."
        )


def require_running(shaft_rate_hz: float, fault_orders: FaultOrders | None, sampling_rate_hz: float) -> None:
    """Check a shaft rate and the fault lines that follow from it.

    Parameters
    ----------
    shaft_rate_hz : float
        Turns a second; 0 if unknown.
    fault_orders : FaultOrders or None
    sampling_rate_hz : float
        Of the model's windows.

    Raises
    ------
    DataError
        If it is negative, not finite or faster than any rolling bearing turns, orders are out of range, or a
        fault line lies above half the sampling rate.
    """
    if not 0.0 <= shaft_rate_hz <= FASTEST_SHAFT_HZ:
        meant = ""
        if 0 < shaft_rate_hz < math.inf:
            meant = (
                f" A shaft does not turn {60 * shaft_rate_hz:g} times a minute; if rpm were meant, "
                f"{shaft_rate_hz:g} rpm are {shaft_rate_hz / 60:.6g} turns a second."
            )
        raise DataError(
            f"shaft_rate_hz={shaft_rate_hz:g}; give turns a second, from 0 (unknown) to {FASTEST_SHAFT_HZ:g}."
            f"{meant}"
        )
    if fault_orders is None:
        return
    orders = fault_orders.as_array()
    if not (np.isfinite(orders) & (orders > 0) & (orders <= HIGHEST_ORDER)).all():
        raise DataError(
            f"{fault_orders}; orders are multiples of the shaft rate, above 0 and up to {HIGHEST_ORDER:g}. "
            "Divide rates in Hz by the shaft rate."
        )
    highest_hz = shaft_rate_hz * float(orders[:2].max())
    if highest_hz >= sampling_rate_hz / 2:
        raise DataError(
            f"at {shaft_rate_hz:g} turns a second this bearing has a fault line at {highest_hz:.6g} Hz, not "
            f"below half the model's sampling rate of {sampling_rate_hz:g} Hz; check speed and orders."
        )


def require_hop(hop_s: float | None, sampling_rate_hz: float) -> None:
    """Check the time from one window to the next.

    Raises
    ------
    ConfigError
        If it is not a time of at least one sample.
    """
    if hop_s is not None and not (math.isfinite(hop_s) and round(hop_s * sampling_rate_hz) >= 1):
        raise ConfigError(
            f"a hop of {hop_s} s between windows; give a time of at least one sample "
            f"({1 / sampling_rate_hz:.3g} s)."
        )
