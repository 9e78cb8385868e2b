"""Usable information of hidden states about the class, and where processing makes more of it usable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from secateur.core.errors import DataError
from secateur.core.seeds import derive
from secateur.sia.softmax_probe import fit_probe, prior_probe
from secateur.training.metrics import bootstrap_interval

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class UsableInformation:
    """``I_V(h; Y) = H_V(Y) - H_V(Y | h)`` of one place, judged on samples that the probe has not seen.

    Parameters
    ----------
    place : str
        Such as ``layer 3``.
    nats : float
        Negative only as far as the evaluation samples differ by chance or by kind from those fitted on.
    interval : (float, float)
        95 % bootstrap interval of ``nats``.
    share : float
        Of ``entropy``.
    entropy : float
        ``H_V(Y)`` in nats: loss on the evaluation samples of the best probe that sees nothing.
    penalty : float or None
        Penalty that was chosen; None where the probe that sees nothing did best.
    pointwise : ndarray, shape (samples,)
        Pointwise usable information of every evaluation sample, in nats.
    """

    place: str
    nats: float
    interval: tuple[float, float]
    share: float
    entropy: float
    penalty: float | None
    pointwise: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ProcessingViolation:
    """A step of the network behind which an estimate of dependence on the class is larger than before it.

    Parameters
    ----------
    former, latter : str
        Places before and behind the step.
    gain : float
        By how much it grew, in the unit of the estimate.
    interval : (float, float)
        95 % interval of the gain; it lies above 0.
    why : str
        What that does and does not mean.
    """

    former: str
    latter: str
    gain: float
    interval: tuple[float, float]
    why: str


WHY_USABLE = (
    "Shannon's I(h; Y) of all tokens cannot grow from {former} to {latter}, for the latter is computed from "
    "the former. This estimate grew by {gain:.3f} nats because it counts only what a linear probe can read "
    "in the mean over tokens, and the step between them made more readable. It is no evidence against the "
    "inequality; it shows that the inequality says nothing about what the next layer can use."
)


def usable_information(
    place: str,
    fit_states: np.ndarray,
    fit_labels: np.ndarray,
    states: np.ndarray,
    labels: np.ndarray,
    *,
    n_classes: int,
    fit_groups: Sequence[str] | None = None,
    clusters: Sequence[str] | None = None,
    seed: int = 0,
) -> UsableInformation:
    """Estimate usable information with ridge-penalised softmax probes.

    The family V holds all affine softmax classifiers of the state, the constant ones included, as the
    definition demands. The penalty is chosen inside the fitting part.

    Parameters
    ----------
    place : str
        For the result.
    fit_states : ndarray, shape (n, features)
        What the probe learns from.
    fit_labels : ndarray of int, shape (n,)
    states : ndarray, shape (m, features)
        What it is judged on; other samples, and of other specimens where the split allows.
    labels : ndarray of int, shape (m,)
    n_classes : int
    fit_groups : sequence of str, optional
        Recording or specimen of each fitting sample: whole ones are held out to choose the penalty.
    clusters : sequence of str, optional
        Specimen of each evaluation sample: whole ones are drawn for the interval. Without it, or with
        fewer than two, single samples are, which is too optimistic where they resemble each other.
    seed : int

    Raises
    ------
    DataError
        If there is nothing to judge on, or the labels do not fit.

    References
    ----------
    Xu, Zhao, Song, Stewart, Ermon, "A Theory of Usable Information under Computational Constraints",
    ICLR 2020, definitions 1 and 2. Ethayarajh, Choi, Swayamdipta, "Understanding Dataset Difficulty with
    V-Usable Information", ICML 2022, for the pointwise form on held-out samples.
    """
    labels = np.asarray(labels)
    if len(labels) == 0 or len(labels) != len(states):
        raise DataError(f"{len(labels)} labels for {len(states)} states; give one each, and at least one.")
    probe = fit_probe(fit_states, fit_labels, n_classes, groups=fit_groups, seed=derive(seed, "information"))
    blind = prior_probe(np.asarray(fit_labels), n_classes, states.shape[1])
    rows = np.arange(len(labels))
    surprise = -blind.log_probabilities(states)[rows, labels]
    pointwise = surprise + probe.log_probabilities(states)[rows, labels]
    entropy = float(surprise.mean())
    return UsableInformation(
        place=place,
        nats=float(pointwise.mean()),
        interval=_interval(pointwise, clusters, seed),
        share=float(pointwise.mean() / entropy),
        entropy=entropy,
        penalty=probe.penalty,
        pointwise=pointwise,
    )


def processing_violations(
    curve: Sequence[UsableInformation], *, clusters: Sequence[str] | None = None, seed: int = 0
) -> tuple[ProcessingViolation, ...]:
    """List the steps of the chain behind which usable information is larger, beyond the interval.

    The data-processing inequality, ``I(h_{l+1}; Y) <= I(h_l; Y)``, holds for Shannon's mutual information in
    the chain ``Y -> h_l -> h_{l+1}``, where a state is that of all tokens. It does not hold here, for two
    reasons: computation can make information usable (Xu et al. 2020, section 3.2), and the mean over tokens
    behind a block is not computed from the mean in front of it.

    Parameters
    ----------
    curve : sequence of UsableInformation
        Places in the order of the computation, judged on the same samples.
    clusters : sequence of str, optional
        Specimen of each sample, as for :func:`usable_information`.
    seed : int
    """
    found = []
    for former, latter in pairwise(curve):
        gains = latter.pointwise - former.pointwise
        low, high = _interval(gains, clusters, seed)
        if low > 0:
            gain = float(gains.mean())
            found.append(
                ProcessingViolation(
                    former=former.place,
                    latter=latter.place,
                    gain=gain,
                    interval=(low, high),
                    why=WHY_USABLE.format(former=former.place, latter=latter.place, gain=gain),
                )
            )
    return tuple(found)


def _interval(values: np.ndarray, clusters: Sequence[str] | None, seed: int) -> tuple[float, float]:
    drawn = None if clusters is None or len(set(clusters)) < 2 else np.asarray(clusters)
    return bootstrap_interval(values, clusters=drawn, confidence=CONFIDENCE, seed=derive(seed, "interval"))
