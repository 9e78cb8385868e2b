"""Classical rivals: a random forest on vibration features, a logistic regression on fault lines.

They learn from clean windows and from noisy copies drawn from the range that the networks train
on, so that a comparison under noise is fair to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from secateur.core.errors import DataError
from secateur.core.progress import track
from secateur.core.seeds import derive, generator
from secateur.signals.descriptors.classical import classical_features
from secateur.signals.descriptors.fault_lines import compact_fault_lines
from secateur.signals.noise import add_noise
from secateur.training.augment import Augmentation
from secateur.training.class_balance import class_weights
from secateur.training.metrics import confusion, macro_f1

if TYPE_CHECKING:
    from secateur.signals.windows import Windows

FEATURE_BATCH = 64
MOST_WINDOWS = 2_000
"""Windows of a part that are described: more overlap with each other and say little new."""

LEAST_PROBABILITY = 1e-6
REGULARISATIONS = (0.01, 0.1, 1.0, 10.0)

Descriptor = Callable[[dict[str, np.ndarray], float], np.ndarray]
"""Features of stacked windows at a sampling rate in Hz, shape (n, features)."""


def forest_features(arrays: dict[str, np.ndarray], sampling_rate_hz: float) -> np.ndarray:
    """Features of waveform, spectrum and envelope; they need neither speed nor bearing."""
    return classical_features(arrays["waveform"], sampling_rate_hz)[0]


def fault_line_features(arrays: dict[str, np.ndarray], sampling_rate_hz: float) -> np.ndarray:
    """Levels of the bearing's fault lines in the envelope spectrum."""
    return compact_fault_lines(
        arrays["waveform"], sampling_rate_hz, arrays["shaft_rate_hz"], arrays["fault_orders"]
    )


@dataclass(frozen=True, kw_only=True)
class ClassicalRival:
    """A fitted classifier on descriptors, judged by :func:`secateur.training.evaluate.evaluate`.

    Parameters
    ----------
    name : str
    estimator : object
        Fitted scikit-learn classifier.
    describe : callable
        Its descriptors.
    n_classes : int
    sampling_rate_hz : float
        Rate of the windows that it was fitted on.
    """

    name: str
    estimator: Any
    describe: Descriptor
    n_classes: int
    sampling_rate_hz: float

    def window_logits(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Return log-probabilities, shape (n, n_classes); a class never trained on is least likely."""
        features = self.describe(arrays, self.sampling_rate_hz)
        probabilities = np.zeros((len(features), self.n_classes))
        probabilities[:, self.estimator.classes_] = self.estimator.predict_proba(features)
        return np.log(np.maximum(probabilities, LEAST_PROBABILITY))


def described(
    windows: Windows, describe: Descriptor, *, copies: int, snr_db: tuple[float, float], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return descriptors and labels of clean windows and of noisy copies of them.

    Parameters
    ----------
    windows : Windows
        Read in batches; only the descriptors are kept. Of many, :data:`MOST_WINDOWS` are taken.
    describe : callable
    copies : int
        Noisy copies of each window.
    snr_db : (float, float)
        Range of their signal-to-noise ratio.
    seed : int

    Returns
    -------
    (ndarray of float, ndarray of int)
        Shapes (n * (1 + copies), features) and (n * (1 + copies),), n windows being described.

    Raises
    ------
    DataError
        If some windows have no label.
    """
    if (windows.labels < 0).any():
        raise DataError(
            f"{int((windows.labels < 0).sum())} windows have no label; leave unlabelled recordings out."
        )
    rate = windows.spec.sampling_rate_hz
    features, labels = [], []
    chosen = spread_over_classes(windows.labels, MOST_WINDOWS)
    n_batches = -(-len(chosen) // FEATURE_BATCH)
    batches = windows.batches(FEATURE_BATCH, chosen)
    for number, arrays in enumerate(track(batches, "computing the features of the baselines", n_batches)):
        rng = generator(seed, "noisy copies", number)
        versions = [arrays]
        for _ in range(copies):
            levels = rng.uniform(*snr_db, len(arrays["label"]))
            versions.append({**arrays, "waveform": add_noise(arrays["waveform"], levels, rng)})
        features += [describe(version, rate) for version in versions]
        labels += [arrays["label"]] * len(versions)
    return np.concatenate(features), np.concatenate(labels)


def spread_over_classes(labels: np.ndarray, most: int) -> np.ndarray:
    """Choose windows evenly from each class, the same number of each as far as there are so many.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
    most : int
        How many in all, at most.

    Returns
    -------
    ndarray of int
        Numbers of windows, rising; all of them if there are no more than ``most``.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    by_class = sorted((np.flatnonzero(labels == label) for label in np.unique(labels)), key=len)
    chosen, left = [], most
    for number, rows in enumerate(by_class):
        count = min(len(rows), left // (len(by_class) - number))
        chosen.append(rows[np.linspace(0, len(rows) - 1, count).round().astype(int)])
        left -= count
    return np.sort(np.concatenate(chosen))


def fit_forest(
    train: Windows,
    *,
    n_classes: int,
    seed: int,
    snr_db: tuple[float, float] = Augmentation.snr_db,
    copies: int = 2,
    n_trees: int = 300,
) -> ClassicalRival:
    """Fit a random forest on classical vibration features.

    Parameters
    ----------
    train : Windows
        Labelled windows.
    n_classes : int
    seed : int
    snr_db : (float, float)
        Range of the noisy copies.
    copies : int
        Noisy copies of each window.
    n_trees : int

    Returns
    -------
    ClassicalRival
    """
    features, labels = described(
        train, forest_features, copies=copies, snr_db=snr_db, seed=derive(seed, "forest")
    )
    forest = RandomForestClassifier(
        n_estimators=n_trees,
        class_weight=_weights(labels, train.healthy_label),
        random_state=derive(seed, "forest"),
    )
    return ClassicalRival(
        name="random forest on classical features",
        estimator=forest.fit(features, labels),
        describe=forest_features,
        n_classes=n_classes,
        sampling_rate_hz=train.spec.sampling_rate_hz,
    )


def fit_fault_line_regression(
    train: Windows,
    validation: Windows,
    *,
    n_classes: int,
    seed: int,
    last_fit: bool = False,
    snr_db: tuple[float, float] = Augmentation.snr_db,
    copies: int = 2,
) -> ClassicalRival:
    """Fit a logistic regression on compact fault lines, its regularisation chosen on validation windows.

    Parameters
    ----------
    train, validation : Windows
        Labelled windows.
    n_classes : int
    seed : int
    last_fit : bool
        Whether the validation windows are learnt from as well, once they have chosen.
    snr_db : (float, float)
        Range of the noisy copies, of the validation windows too.
    copies : int
        Noisy copies of each window.

    Returns
    -------
    ClassicalRival
    """
    (features, labels), (checks, truth) = (
        described(part, fault_line_features, copies=copies, snr_db=snr_db, seed=derive(seed, name))
        for name, part in (("fault lines", train), ("fault lines validation", validation))
    )

    def fitted(strength: float, features: np.ndarray, labels: np.ndarray) -> Any:
        weights = _weights(labels, train.healthy_label)
        regression = LogisticRegression(C=strength, class_weight=weights, max_iter=5000)
        return make_pipeline(StandardScaler(), regression).fit(features, labels)

    tried = {strength: fitted(strength, features, labels) for strength in REGULARISATIONS}
    figures = {
        strength: macro_f1(confusion(truth, estimator.predict(checks), n_classes))
        for strength, estimator in tried.items()
    }
    best = max(figures, key=lambda strength: figures[strength])
    estimator = tried[best]
    if last_fit:
        both = np.concatenate([features, checks]), np.concatenate([labels, truth])
        estimator = fitted(best, *both)
    return ClassicalRival(
        name="logistic regression on compact fault lines",
        estimator=estimator,
        describe=fault_line_features,
        n_classes=n_classes,
        sampling_rate_hz=train.spec.sampling_rate_hz,
    )


def _weights(labels: np.ndarray, healthy: int | None) -> dict[int, float]:
    """Return the weight of each class, as the batches of a model balance them."""
    weights = class_weights(labels, int(labels.max()) + 1, healthy)
    return {int(label): float(weights[label]) for label in np.unique(labels)}
