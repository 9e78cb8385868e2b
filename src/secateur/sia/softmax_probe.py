"""A ridge-penalised multinomial logistic probe, whose penalty is chosen on held-out groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from secateur.core.errors import DataError
from secateur.core.seeds import generator

PENALTIES = (10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
HELD_OUT_SHARE = 1 / 3
MOST_ITERATIONS = 300


@dataclass(frozen=True, kw_only=True)
class SoftmaxProbe:
    """``log softmax(W (x - centre) / scale + b)``.

    Parameters
    ----------
    weights : ndarray, shape (features, classes)
    bias : ndarray, shape (classes,)
    centre : ndarray, shape (features,)
    scale : float
        One number for all features: the probe then commutes with orthogonal maps of its input.
    penalty : float or None
        Half the squared norm of ``weights`` times this is added to the mean loss; None for the probe that
        does not look at its input.
    """

    weights: np.ndarray
    bias: np.ndarray
    centre: np.ndarray
    scale: float
    penalty: float | None

    def log_probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return log-probabilities, shape (samples, classes)."""
        return log_softmax((x - self.centre) / self.scale @ self.weights + self.bias, axis=1)


def prior_probe(labels: np.ndarray, n_classes: int, n_features: int) -> SoftmaxProbe:
    """Return the probe that gives every sample the class shares of ``labels``, whatever it sees.

    Shares are those of ``n_classes`` more samples, one of each class, so that none is 0.
    """
    counts = np.bincount(labels, minlength=n_classes) + 1.0
    return SoftmaxProbe(
        weights=np.zeros((n_features, n_classes)),
        bias=np.log(counts / counts.sum()),
        centre=np.zeros(n_features),
        scale=1.0,
        penalty=None,
    )


def fit_probe(
    x: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    *,
    groups: Sequence[str] | None = None,
    penalties: Sequence[float] = PENALTIES,
    seed: int = 0,
) -> SoftmaxProbe:
    """Fit a probe; where no penalty does better on the held-out part than the class shares, return those.

    Parameters
    ----------
    x : ndarray, shape (samples, features)
    labels : ndarray of int, shape (samples,)
        ``0 .. n_classes - 1``.
    n_classes : int
    groups : sequence of str, optional
        Samples of one group (recording, specimen) stand on one side when the penalty is chosen.
    penalties : sequence of float
        Candidates, the heaviest first.
    seed : int
        Of the held-out part.

    Raises
    ------
    DataError
        If there are fewer than two samples, or labels lie outside the classes.
    """
    x, labels = np.asarray(x, dtype=np.float64), np.asarray(labels)
    if len(labels) < 2 or labels.min() < 0 or labels.max() >= n_classes:
        raise DataError(
            f"a probe was given {len(labels)} samples"
            + (f" with labels {labels.min()} to {labels.max()}" if len(labels) else "")
            + f"; it needs at least 2, labelled 0 to {n_classes - 1}."
        )
    held = held_out(labels, groups, seed=seed)
    fitted, judged = ~held, held
    path = _path(x[fitted], labels[fitted], n_classes, penalties)
    candidates = [prior_probe(labels[fitted], n_classes, x.shape[1]), *path]
    losses = [_loss(candidate, x[judged], labels[judged]) for candidate in candidates]
    best = int(np.argmin(losses))
    if best == 0:
        return prior_probe(labels, n_classes, x.shape[1])
    return _path(x, labels, n_classes, penalties[:best])[-1]


def held_out(labels: np.ndarray, groups: Sequence[str] | None, *, seed: int) -> np.ndarray:
    """Choose about a third of each class: whole groups where the class has at least two.

    Returns
    -------
    ndarray of bool, shape (samples,)
        True for what is held out. A class of a single sample is not held out.
    """
    draw = generator(seed, "probe")
    names = np.arange(len(labels)) if groups is None else np.asarray(groups)
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        own = np.unique(names[members])
        if len(own) < 2:
            own, keys = members, np.arange(len(labels))
        else:
            keys = names
        n_held = min(max(round(HELD_OUT_SHARE * len(own)), 1), len(own) - 1)
        chosen = draw.permutation(own)[:n_held]
        held[members] = np.isin(keys[members], chosen)
    if held.any() and not held.all():
        return held
    return np.arange(len(labels)) % 2 == 1


def _path(
    x: np.ndarray, labels: np.ndarray, n_classes: int, penalties: Sequence[float]
) -> list[SoftmaxProbe]:
    """Fit every penalty, each from the solution of the one before it."""
    n, features = x.shape
    centre = x.mean(axis=0)
    scale = float(np.sqrt(((x - centre) ** 2).mean())) or 1.0
    z = (x - centre) / scale
    truth = np.zeros((n, n_classes))
    truth[np.arange(n), labels] = 1.0
    size = features * n_classes

    def objective(flat: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        weights, bias = flat[:size].reshape(features, n_classes), flat[size:]
        logs = log_softmax(z @ weights + bias, axis=1)
        error = (np.exp(logs) - truth) / n
        gradient = np.concatenate([(z.T @ error + penalty * weights).ravel(), error.sum(axis=0)])
        value = -(logs * truth).sum() / n + 0.5 * penalty * float((weights**2).sum())
        return value, gradient

    flat = np.concatenate([np.zeros(size), prior_probe(labels, n_classes, 1).bias])
    probes = []
    for penalty in penalties:
        flat = minimize(
            objective,
            flat,
            args=(penalty,),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": MOST_ITERATIONS, "gtol": 1e-6},
        ).x
        probes.append(
            SoftmaxProbe(
                weights=flat[:size].reshape(features, n_classes),
                bias=flat[size:],
                centre=centre,
                scale=scale,
                penalty=penalty,
            )
        )
    return probes


def _loss(probe: SoftmaxProbe, x: np.ndarray, labels: np.ndarray) -> float:
    return float(-probe.log_probabilities(x)[np.arange(len(labels)), labels].mean())
