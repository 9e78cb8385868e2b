"""The plain envelope rule: the fault whose lines stand out most, or none, or "cannot say".

It learns nothing and is the first thing that a trained model has to beat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secateur.signals.evidence import Evidence, line_strengths
from secateur.signals.lines import FAMILIES

FAMILY_OF = {"outer_race": "bpfo", "inner_race": "bpfi", "ball": "bsf2"}
"""Family of lines that speaks for each fault."""

FAULT_DB = 10.0
"""Lines this strong in the mean speak for a fault."""

SILENT_DB = 7.5
"""Lines below this speak against one."""

WINDOW_DB = 5.0
"""Threshold for a single window, where noise was not averaged and its reach is taken off already."""

LEAD_DB = 2.0
"""By so much the strongest family must lead the next one."""


@dataclass(frozen=True, kw_only=True)
class RuleCall:
    """What the rule says.

    Attributes
    ----------
    label : str or None
        "normal", "inner_race", "outer_race" or "ball"; None if the rule cannot say.
    reason : str
        Why, in plain words.
    """

    label: str | None
    reason: str


def envelope_rule(evidence: Evidence) -> RuleCall:
    """Judge by the strength of the fault lines alone.

    Parameters
    ----------
    evidence : Evidence
        Of a whole recording, or of one window. A ball is not judged where its lines lie beside multiples of
        the shaft rate: they are weak, and many a healthy machine shows the fourth multiple and its like.
    """
    judged = [name for name in FAMILY_OF if name != "ball" or not evidence.line("bsf2").beside_shaft]
    strengths = sorted(((evidence.line(FAMILY_OF[name]).strength_db, name) for name in judged), reverse=True)
    strongest, name = strengths[0]
    line = evidence.line(FAMILY_OF[name])
    words = f"{FAMILY_OF[name].upper()} {strongest:z.0f} dB, {line.harmonics} of 4 harmonics"
    hidden = [FAMILY_OF[each] for each in judged if not evidence.shows(evidence.line(FAMILY_OF[each]))]
    if strongest < FAULT_DB and hidden:
        return RuleCall(
            label=None,
            reason=f"{hidden[0].upper()} lies at {evidence.line(hidden[0]).rate_hz:.0f} Hz, too high for the "
            f"envelope spectrum ({evidence.frequency_hz[-1]:.0f} Hz)",
        )
    if strongest < SILENT_DB:
        return RuleCall(label="normal", reason=f"no fault line stands out (strongest: {words})")
    if strongest < FAULT_DB:
        return RuleCall(label=None, reason=f"a fault line stands out a little ({words})")
    if len(strengths) > 1 and strongest - strengths[1][0] < LEAD_DB:
        other = FAMILY_OF[strengths[1][1]].upper()
        return RuleCall(label=None, reason=f"two kinds of fault lines stand out alike ({words}, and {other})")
    return RuleCall(label=name, reason=words)


@dataclass(frozen=True, kw_only=True)
class EnvelopeRule:
    """The rule as a classifier of windows, which always names a class.

    A window is called faulty if its strongest fault line has more than ``threshold_db``. Where speed or
    bearing is unknown it is called normal. Classes that the rule does not know are never called.

    Parameters
    ----------
    classes : tuple of str
        Class names in the order of the logits; one of them is "normal".
    sampling_rate_hz : float
    threshold_db : float
    """

    classes: tuple[str, ...]
    sampling_rate_hz: float
    threshold_db: float = WINDOW_DB

    def window_logits(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Return log-odds, shape (n, classes); see :func:`fault_log_odds`."""
        strength, beside = line_strengths(
            arrays["waveform"], self.sampling_rate_hz, arrays["shaft_rate_hz"], arrays["fault_orders"]
        )
        return fault_log_odds(strength, beside, self.classes, self.threshold_db)


def fault_log_odds(
    strength_db: np.ndarray, beside_shaft: np.ndarray, classes: tuple[str, ...], threshold_db: float
) -> np.ndarray:
    """Return log-odds of each class in arbitrary units, shape (n, classes): one for each 4 dB of strength.

    Parameters
    ----------
    strength_db : ndarray, shape (n, families)
        Of windows (threshold :data:`WINDOW_DB`) or of whole recordings (:data:`FAULT_DB`); NaN if unknown.
    beside_shaft : ndarray of bool, shape (n, families)
    classes : tuple of str
        "normal" has 0, classes that the rule does not know -10.
    threshold_db : float
        Where a fault is as likely as none.
    """
    strength = np.nan_to_num(np.asarray(strength_db, dtype=np.float64), nan=-np.inf)
    ball = FAMILIES.index(FAMILY_OF["ball"])
    strength[beside_shaft[:, ball], ball] = -np.inf
    logits = np.full((len(strength), len(classes)), -10.0)
    for number, name in enumerate(classes):
        if name == "normal":
            logits[:, number] = 0.0
        elif name in FAMILY_OF:
            above = strength[:, FAMILIES.index(FAMILY_OF[name])] - threshold_db
            logits[:, number] = np.clip(above / 4.0, -10.0, 10.0)
    return logits


def knows(classes: tuple[str, ...]) -> bool:
    """Whether the rule can judge these classes: "normal", and faults that have lines."""
    return "normal" in classes and set(classes) <= {"normal", *FAMILY_OF}
