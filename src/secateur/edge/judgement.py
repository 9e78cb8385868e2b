"""From a model's answer and the physical evidence to a class, or to "cannot say" with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur.bundle.manifest import AbstentionRecord, Manifest
from secateur.core.errors import DataError
from secateur.edge.own_healthy import NORMAL, OwnHealthy
from secateur.signals.envelope_rule import FAMILY_OF, FAULT_DB, SILENT_DB, RuleCall, envelope_rule
from secateur.signals.evidence import Evidence, FaultLine, gather_evidence
from secateur.signals.kinematics import FaultOrders
from secateur.signals.no_machine import NO_LINE
from secateur.signals.recording import WaveformSource
from secateur.signals.resample import resample

MOST_EVIDENCE_SAMPLES = 1 << 21
SLOWER_HZ = 20_000.0
MOST_UNCONFIRMED = 0.9
"""Confidence in an answer that the waveform does not confirm is no more than this."""

MOST_KURTOSIS_OF_NORMAL = 3.5
"""Above it a waveform has impacts, which a sound bearing has not; noise has 3. Chosen on simulated machines:
of the windows called normal with p > 0.9, 2 % were faulty below it and 11 % above."""

RACES, BALL = ("inner_race", "outer_race"), "ball"
LEAST_HARMONICS, LEAST_SIDEBANDS = 2, 4
"""With fewer of the four lines, and of the eight sidebands, a fault of a race is not believed: the blades of
a pump raise one line beside BPFO or BPFI."""

CAGE_HARMONICS = 4
"""A damaged ball passes the load zone with the cage too, and raises up to three of its lines."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What can be said of a recording.

    Attributes
    ----------
    label : str
        The likeliest class, of those that the lines leave.
    answer : str or None
        The label; None if it cannot be said.
    reasons : tuple of str
        Why it cannot be said; empty for an answer.
    confidence : float
        Calibrated probability of the label; at most 0.9 where the waveform does not confirm it.
    rule : RuleCall or None
        What the plain envelope rule says; None where there is no evidence.
    evidence : Evidence or None
        None where speed or bearing is unknown, or the recording is too short.
    no_evidence : str
        Why there is none; empty if there is.
    unlike_healthy : tuple of str or None
        In what it differs from the machine's own healthy recordings; empty if in nothing, None where none are
        known.
    """

    label: str
    answer: str | None
    reasons: tuple[str, ...]
    confidence: float
    rule: RuleCall | None = None
    evidence: Evidence | None = None
    no_evidence: str = ""
    unlike_healthy: tuple[str, ...] | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the judgement as JSON values."""
        return {
            "label": self.label,
            "answer": self.answer,
            "reasons": list(self.reasons),
            "confidence": self.confidence,
            "rule": None if self.rule is None else {"label": self.rule.label, "reason": self.rule.reason},
            "evidence": None if self.evidence is None else self.evidence.to_record(),
            "no_evidence": self.no_evidence,
            "unlike_healthy": None if self.unlike_healthy is None else list(self.unlike_healthy),
        }


def calibrated(logits: np.ndarray, abstention: AbstentionRecord | None) -> tuple[np.ndarray, np.ndarray]:
    """Return calibrated probabilities (n, classes) in float32, and energies (n,), of logits (n, classes).

    Without a record the temperature is 1.
    """
    scaled = np.asarray(logits, dtype=np.float64) / (1.0 if abstention is None else abstention.temperature)
    highest = scaled.max(axis=1, keepdims=True)
    summed = np.exp(scaled - highest).sum(axis=1, keepdims=True)
    energy = highest + np.log(summed)
    return np.exp(scaled - energy).astype(np.float32), energy[:, 0]


def judge(
    probabilities: np.ndarray,
    energy: float,
    manifest: Manifest,
    *,
    evidence: Evidence | None,
    no_evidence: str = "",
    no_machine: str = "",
    doubts: tuple[str, ...] = (),
    own_healthy: OwnHealthy | None = None,
    rms: float = 0.0,
    shaft_rate_hz: float = 0.0,
) -> Judgement:
    """Turn a recording's mean answer into a judgement.

    Where the machine's own healthy recordings are known, they decide what is normal in the place of
    confidence and energy.

    Parameters
    ----------
    probabilities : ndarray, shape (classes,)
        Mean over the windows, calibrated.
    energy : float
        Median over the windows.
    manifest : Manifest
        Its ``abstention`` holds the thresholds; without it confidence and energy are no reason to abstain.
    evidence : Evidence or None
    no_evidence : str
        Why there is none.
    no_machine : str
        What the waveform lacks of a turning machine; see :func:`secateur.signals.no_machine.why_no_machine`.
    doubts : tuple of str
        Further reasons to say nothing, such as a doubtful speed.
    own_healthy : OwnHealthy, optional
        Limits learned from the machine's own healthy recordings.
    rms, shaft_rate_hz : float
        Level and speed of the recording, for these limits.
    """
    label, confidence = _likeliest(probabilities, manifest, evidence)
    rule = None if evidence is None else envelope_rule(evidence)
    reasons = list(doubts)
    unlike = None
    if own_healthy is not None:
        normal = float(probabilities[manifest.labels.index(NORMAL)])
        unlike = own_healthy.differences(normal=normal, rms=rms, shaft_rate_hz=shaft_rate_hz)
    if unlike is not None and label == NORMAL:
        reasons += [f"unlike the machine's own healthy recordings: {difference}" for difference in unlike]
    elif (record := manifest.abstention) is not None:
        if confidence < record.least_confidence:
            reasons.append(
                f"the model is not sure: {label.replace('_', ' ')} {100 * confidence:.0f} %, needed "
                f"{100 * record.least_confidence:.0f} %"
            )
        if record.least_energy is not None and energy < record.least_energy:
            reasons.append("the waveform is unlike any that the model was judged on")
    as_when_healthy = label == NORMAL and unlike == ()
    # a line over no noise at all bears nothing out
    seen = no_machine == NO_LINE and evidence is not None and _borne_out(label, evidence)
    if no_machine and not seen:
        reasons.append(no_machine)
    if evidence is not None and rule is not None:
        reasons += _disagreement(label, manifest, evidence, rule)
        if _knows_simulation_alone(manifest):
            reasons += _unheard(label, manifest.hears_up_to_hz, evidence)
        if not as_when_healthy:
            reasons += _unexplained(label, evidence)
    confirmed = as_when_healthy or _confirmed(label, evidence, rule)
    return Judgement(
        label=label,
        answer=None if reasons else label,
        reasons=tuple(reasons),
        confidence=confidence if confirmed else min(confidence, MOST_UNCONFIRMED),
        rule=rule,
        evidence=evidence,
        no_evidence=no_evidence,
        unlike_healthy=unlike,
    )


def _likeliest(probabilities: np.ndarray, manifest: Manifest, evidence: Evidence | None) -> tuple[str, float]:
    """Return the likeliest class and its probability, of those that the lines leave.

    A damaged race shows its lines nearly always, a damaged ball seldom. So a model that has met no recordings
    may name a ball as if a race without lines were none of its classes, provided that the ball is likelier
    than a guess.
    """
    labels, record = manifest.labels, manifest.abstention
    likeliest = labels[int(np.argmax(probabilities))], float(np.max(probabilities))
    if evidence is None or record is None or BALL not in labels or not _knows_simulation_alone(manifest):
        return likeliest
    ball = float(probabilities[labels.index(BALL)])
    silent = sum(
        float(probability)
        for name, probability in zip(labels, probabilities, strict=True)
        if name in RACES and _is_silent(name, evidence)
    )
    sure = ball >= record.least_confidence * (1.0 - silent)
    return (BALL, ball / (1.0 - silent)) if sure and ball > 1.0 / len(labels) else likeliest


def _is_silent(race: str, evidence: Evidence) -> bool:
    """Whether a race's lines would be seen, and hardly one is."""
    line = evidence.line(FAMILY_OF[race])
    return evidence.shows(line) and _hardly_any_lines(line)


def _hardly_any_lines(line: FaultLine) -> bool:
    return line.harmonics < LEAST_HARMONICS and line.sidebands < LEAST_SIDEBANDS


def _confirmed(label: str, evidence: Evidence | None, rule: RuleCall | None) -> bool:
    """Whether the waveform shows what is said: lines of that fault, or neither lines nor impacts."""
    if evidence is None or rule is None or rule.label != label:
        return False
    return label != NORMAL or evidence.kurtosis <= MOST_KURTOSIS_OF_NORMAL


def _unexplained(label: str, evidence: Evidence) -> list[str]:
    """Say what strikes at an even rate that no class explains, unless lines bear the answer out."""
    if _borne_out(label, evidence):
        return []
    cage = evidence.line("ftf")
    if cage.strength_db >= FAULT_DB and cage.harmonics >= CAGE_HARMONICS:
        return [
            f"something strikes once in a turn of the cage ({cage.strength_db:z.0f} dB, {cage.harmonics} of "
            "4 harmonics): a damaged cage, of which the model knows nothing, or a ball"
        ]
    if (stray := evidence.stray) is None:
        return []
    return [
        f"something strikes {stray.rate_hz:.1f} times a second, {stray.order:.2f} times a turn "
        f"({stray.strength_db:z.0f} dB, {stray.harmonics} of 4 harmonics), and neither shaft nor bearing as "
        "stated does so; check speed and bearing"
    ]


def _borne_out(label: str, evidence: Evidence) -> bool:
    return label in FAMILY_OF and evidence.line(FAMILY_OF[label]).strength_db >= SILENT_DB


def _knows_simulation_alone(manifest: Manifest) -> bool:
    """Whether a model has met no recordings; one that has may know a machine by other signs than lines."""
    return manifest.abstention is not None and manifest.abstention.set_on == "held-out machines"


def _unheard(label: str, highest_hz: float | None, evidence: Evidence) -> list[str]:
    """Say that the races are struck faster than the model can follow, unless lines bear the answer out."""
    fastest_hz = max(evidence.line(family).rate_hz for family in ("bpfo", "bpfi"))
    if highest_hz is None or fastest_hz <= highest_hz or _borne_out(label, evidence):
        return []
    return [
        f"a damaged race of this bearing would be struck {fastest_hz:.0f} times a second, and the model "
        f"follows {highest_hz:.0f} at most: the shaft is too fast for it"
    ]


def _disagreement(label: str, manifest: Manifest, evidence: Evidence, rule: RuleCall) -> list[str]:
    """Say where the model contradicts clear lines, or sees a race fault of which there is no line."""
    said = label.replace("_", " ")
    if rule.label in FAMILY_OF and rule.label in manifest.labels and rule.label != label:
        return [f"the model says {said}, the fault lines say {rule.label.replace('_', ' ')} ({rule.reason})"]
    if label in RACES:
        line = evidence.line(FAMILY_OF[label])
        if _hardly_any_lines(line) and (evidence.shows(line) or _knows_simulation_alone(manifest)):
            return [
                f"the model says {said}, but its lines do not stand out ({line.strength_db:z.0f} dB, "
                f"{line.harmonics} of 4 harmonics, {line.sidebands} of 8 sidebands)"
            ]
    return []


def evidence_of(
    source: WaveformSource,
    *,
    channel: int,
    sampling_rate_hz: float,
    shaft_rate_hz: float,
    fault_orders: FaultOrders | None,
) -> tuple[Evidence | None, str]:
    """Return the evidence in a recording (its first two million samples), or why there is none.

    Bands are shares of the sampling rate, so a fast recording is looked at a second time, at
    :data:`SLOWER_HZ`: what rings at 2 kHz lies below all bands of 100 kHz. The clearer of the two counts.
    """
    if not shaft_rate_hz > 0:
        return None, "the shaft speed is not known"
    if fault_orders is None:
        return None, "the bearing is not known"
    waveform = source.read(0, min(source.n_samples, MOST_EVIDENCE_SAMPLES))[channel]
    rates = [sampling_rate_hz, SLOWER_HZ] if sampling_rate_hz >= 2.0 * SLOWER_HZ else [sampling_rate_hz]
    try:
        found = [
            gather_evidence(
                waveform if rate == sampling_rate_hz else resample(waveform, sampling_rate_hz, rate),
                sampling_rate_hz=rate,
                shaft_rate_hz=shaft_rate_hz,
                fault_orders=fault_orders,
            )
            for rate in rates
        ]
    except DataError as error:
        return None, str(error)
    return max(found, key=_clearest_db), ""


def _clearest_db(evidence: Evidence) -> float:
    return max(evidence.line(family).strength_db for family in FAMILY_OF.values())
