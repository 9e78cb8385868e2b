"""Parity: the exported graph must say what the checkpoint says, on real windows."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
import torch
from torch import nn

from secateur.bundle.manifest import ParityRecord, Precision
from secateur.bundle.session import INPUTS, Session
from secateur.core.errors import ExportError

_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an exported graph may be from its checkpoint, and another machine from this one.

    Parameters
    ----------
    logits : float
        Largest difference of a logit.
    golden : float
        Largest difference of a logit of the golden windows between the exporting machine and the device.
    probability : float, optional
        Largest change of a probability.
    agreement : float, optional
        Least share of windows that both call alike.
    """

    logits: float
    golden: float
    probability: float | None = None
    agreement: float | None = None

    def beside(self, rounding: float) -> Tolerance:
        """Return one that allows logits a multiple of the checkpoint's own rounding, where that is more."""
        allowed = min(ROUNDINGS * rounding, MOST_FOR_ROUNDING)
        return replace(self, logits=max(self.logits, allowed), golden=max(self.golden, allowed))


ROUNDINGS = 5.0
"""So many times its own rounding in float32 may a checkpoint differ from another runtime's,"""

MOST_FOR_ROUNDING = 0.01
"""but by no more than this."""

TOLERANCES: Mapping[Precision, Tolerance] = {
    "float32": Tolerance(logits=1e-4, golden=1e-4),
    # a last digit of the front end can push an activation over the edge between two of its 256 steps
    "bfloat16": Tolerance(logits=0.25, golden=0.1, probability=0.05, agreement=0.99),
    "int8": Tolerance(logits=1.0, golden=0.1, probability=0.1, agreement=0.99),
    "int4": Tolerance(logits=3.0, golden=0.1, probability=0.25, agreement=0.98),
}

WINDOWS_TO_ALLOW_ONE = 50
"""Of fewer windows none may differ beyond the tolerance: one would be more than two percent."""


def reference_logits(model: nn.Module, windows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Logits of the torch model in float32 on the CPU, shape (n, classes).

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode, on the CPU, in float32.
    windows : mapping
        ``waveform`` (n, length), ``shaft_rate_hz`` (n,), ``fault_orders`` (n, 4).
    """
    return _logits(model, windows, torch.float32)


def own_rounding(model: nn.Module, windows: Mapping[str, np.ndarray], expected: np.ndarray) -> float:
    """Return how far a checkpoint's logits in float32 are at most from those in float64.

    Where an envelope spectrum has a deep gap, its logarithm makes a last digit a fourth one: no runtime
    can be nearer to the checkpoint than that.

    Parameters
    ----------
    model : torch.nn.Module
        On the CPU.
    windows : mapping
    expected : ndarray, shape (n, classes)
        From :func:`reference_logits`.
    """
    exact = _logits(copy.deepcopy(model).double(), windows, torch.float64)
    return float(np.abs(exact - expected).max())


def default_tolerance(
    precision: Precision, model: nn.Module, windows: Mapping[str, np.ndarray], expected: np.ndarray
) -> Tolerance:
    """Return the tolerance of a precision, or what the checkpoint's own rounding asks for where that is more.

    The rounding is measured only where it can decide: fewer bits are allowed more anyway.
    """
    tolerance = TOLERANCES[precision]
    if tolerance.logits >= MOST_FOR_ROUNDING:
        return tolerance
    return tolerance.beside(own_rounding(model, windows, expected))


def _logits(model: nn.Module, windows: Mapping[str, np.ndarray], dtype: torch.dtype) -> np.ndarray:
    tensors = [torch.as_tensor(np.asarray(windows[name], dtype=np.float32)).to(dtype) for name in INPUTS]
    with torch.no_grad():
        batches = [model(*batch) for batch in zip(*(t.split(_BATCH) for t in tensors), strict=True)]
    return torch.cat(batches).numpy()


def exported_logits(
    session: Session, windows: Mapping[str, np.ndarray], *, batch: int = _BATCH
) -> np.ndarray:
    """Logits of an exported model, shape (n, classes), computed so many windows at a time.

    Raises
    ------
    ExportError
        If probabilities do not belong to the logits.
    """
    logits = []
    for first in range(0, len(windows["waveform"]), batch):
        part, probabilities = session.run({name: windows[name][first : first + batch] for name in INPUTS})
        if not np.allclose(probabilities, _softmax(part), atol=1e-5, equal_nan=True):
            raise ExportError("the exported graph's probabilities are not the softmax of its logits.")
        logits.append(part)
    return np.concatenate(logits)


def measure_parity(
    session: Session, expected: np.ndarray, windows: Mapping[str, np.ndarray], *, tolerance: Tolerance
) -> ParityRecord:
    """Compare an exported model's logits with expected ones, in batches and again one window at a time.

    Parameters
    ----------
    session : Session
        The exported model in its runtime.
    expected : ndarray, shape (n, classes)
        From :func:`reference_logits`.
    windows : mapping
        The same windows.
    tolerance : Tolerance
        What is recorded, and allowed.

    Returns
    -------
    ParityRecord
        The worse of both ways.

    Raises
    ------
    ExportError
        If a difference is larger (or not a number), or probabilities do not belong to the logits.
    """
    found = np.stack([exported_logits(session, windows, batch=size) for size in (_BATCH, 1)])
    worst = float(np.abs(found - expected).max())
    change = float(np.abs(_softmax(found) - _softmax(expected)).max())
    agreement = float((found.argmax(axis=-1) == expected.argmax(axis=-1)).mean(axis=-1).min())
    if not np.isfinite(worst) or worst > tolerance.logits:
        _refuse(
            "logits differ from the checkpoint's", f"{worst:.2e}", f"{tolerance.logits:.0e}", len(expected)
        )
    if tolerance.probability is not None and change > tolerance.probability:
        _refuse(
            "probabilities differ from the checkpoint's",
            f"{change:.3f}",
            f"{tolerance.probability:g}",
            len(expected),
        )
    least = _least_agreement(tolerance, len(expected))
    if least is not None and agreement < least:
        raise ExportError(
            f"the exported graph calls only {agreement:.2%} of {len(expected)} windows as the "
            f"checkpoint does; at least {least:.2%} is required. Nothing was written. {_REMEDY}"
        )
    return ParityRecord(
        max_abs_diff=worst,
        tolerance=tolerance.logits,
        windows=len(expected),
        max_probability_change=change,
        probability_tolerance=tolerance.probability,
        agreement=agreement,
        least_agreement=least,
    )


def _least_agreement(tolerance: Tolerance, n_windows: int) -> float | None:
    """One window may differ where there are too few to tell a percent."""
    if tolerance.agreement is None or n_windows < WINDOWS_TO_ALLOW_ONE:
        return tolerance.agreement
    return min(tolerance.agreement, (n_windows - 1) / n_windows)


_REMEDY = (
    "In float32: the front end or attention uses an operation that the runtime computes differently. In "
    "fewer bits: choose the other quantisation, or export in fp32."
)


def _refuse(what: str, worst: str, allowed: str, count: int) -> NoReturn:
    raise ExportError(
        f"the exported graph's {what} by {worst} over {count} windows; allowed is {allowed}. Nothing was "
        f"written. {_REMEDY}"
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
