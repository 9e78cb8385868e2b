"""What a model says about a burst, and when it had better say nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur.core.errors import DataError
from secateur.edge.agent.config.machines import Diagnosis as DiagnosisSettings
from secateur.edge.runtime import Diagnosis, Runtime
from secateur.edge.windows import REASONS
from secateur.signals.kinematics import FaultOrders


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """A diagnosis, or why there is none.

    Attributes
    ----------
    label : str or None
        The class; None for "cannot say".
    reason : str
        Why it cannot say; empty if it can.
    confidence : float
        That of the judgement; lowered where the fault lines say something else.
    probabilities : dict of str to float
        Of every class, as the model gives them; empty if it was not asked.
    agrees : bool or None
        Whether model and fault lines say the same; None where the lines say nothing.
    evidence : dict or None
        Fault lines of this burst, what the envelope rule makes of them, or why there are none.
    fit_for_use : bool or None
        Verdict of the run that made the model.
    model, version : str
        Name of the bundle and first digits of its hash.
    latency_ms : float
    """

    label: str | None
    reason: str
    confidence: float
    probabilities: dict[str, float]
    agrees: bool | None
    model: str
    version: str
    latency_ms: float
    evidence: dict[str, Any] | None = None
    fit_for_use: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "label": self.label,
            "reason": self.reason,
            "confidence": round(self.confidence, 4),
            "probabilities": {name: round(value, 4) for name, value in self.probabilities.items()},
            "agrees_with_lines": self.agrees,
            "model": self.model,
            "version": self.version,
            "fit_for_use": self.fit_for_use,
            "latency_ms": round(self.latency_ms, 2),
        }


def ask(
    runtime: Runtime,
    samples: np.ndarray,
    *,
    sampling_rate_hz: float,
    shaft_rate_hz: float | None,
    fault_orders: FaultOrders | None,
    settings: DiagnosisSettings,
) -> Opinion:
    """Ask a model about a burst.

    Parameters
    ----------
    runtime : Runtime
    samples : ndarray of float32, shape (n,)
    sampling_rate_hz : float
    shaft_rate_hz : float or None
    fault_orders : FaultOrders or None
    settings : DiagnosisSettings

    Raises
    ------
    FloatingPointError
        If the model gives no finite numbers; it is broken.
    """
    duration_s = len(samples) / sampling_rate_hz
    if duration_s < runtime.least_s * (1 - 1e-9):
        return _silent(
            runtime, f"the burst lasts {duration_s:.3f} s, and the model needs {runtime.least_s:.3f} s"
        )
    try:
        found = runtime.diagnose(
            samples,
            sampling_rate_hz=sampling_rate_hz,
            shaft_rate_hz=shaft_rate_hz or 0.0,
            fault_orders=fault_orders,
        )
    except DataError as error:
        if REASONS["output not finite"] in str(error):
            raise FloatingPointError(f"model {runtime.version}: {error}") from None
        return _silent(runtime, str(error))
    return weigh(found, settings)


def weigh(found: Diagnosis, settings: DiagnosisSettings) -> Opinion:
    """Turn a diagnosis into an opinion; it abstains where the bundle's judgement or the settings doubt."""
    judgement = found.judgement
    lines_say = None if judgement.rule is None else judgement.rule.label
    agrees = None if lines_say is None else lines_say == judgement.label
    confidence = judgement.confidence * (settings.disagreement if agrees is False else 1.0)
    reasons = list(judgement.reasons)
    if not reasons and confidence < settings.least_confidence:
        reasons.append(f"confidence {confidence:.2f} is below {settings.least_confidence:g}")
        if agrees is False:
            reasons.append(f"the model says {judgement.label}, the fault lines say {lines_say}")
    record = judgement.to_record()
    evidence = record["evidence"] or {"reason": record["no_evidence"]}
    return Opinion(
        label=None if reasons else judgement.label,
        reason="; ".join(reasons),
        confidence=confidence,
        probabilities=found.probabilities,
        agrees=agrees,
        model=found.model,
        version=found.version,
        latency_ms=found.latency_ms,
        evidence=evidence | {"rule": record["rule"]},
        fit_for_use=found.fit_for_use,
    )


def _silent(runtime: Runtime, reason: str) -> Opinion:
    return Opinion(
        label=None,
        reason=reason,
        confidence=0.0,
        probabilities={},
        agrees=None,
        model=runtime.manifest.name,
        version=runtime.version,
        latency_ms=0.0,
    )
