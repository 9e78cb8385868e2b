"""Judging a model on windows: clean, under noise, and against another model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import nn

from secateur.core.errors import MeasurementError
from secateur.core.seeds import generator
from secateur.signals.noise import add_noise
from secateur.training import metrics
from secateur.training.batches import as_tensors, forward, to_device

if TYPE_CHECKING:
    from secateur.signals.windows import Windows


class WindowClassifier(Protocol):
    """A rival that is no neural network but is judged alike."""

    def window_logits(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Return log-probabilities, shape (n, n_classes), of stacked windows."""


@dataclass(frozen=True, kw_only=True)
class SnrPoint:
    """Figures at one signal-to-noise ratio."""

    snr_db: float
    accuracy: float
    macro_f1: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How well a model calls the windows of a test set.

    Parameters
    ----------
    parameters : int or None
        Parameters of the deployed model; None for a rival that is no neural network.
    windows : int
        Windows judged.
    accuracy, macro_f1 : float
        Macro-F1 over the classes present.
    accuracy_interval : (float, float)
        95 % bootstrap interval over specimens (over windows if the test set has fewer than two specimens).
    per_class_recall : dict
        Class name to recall, None where the class has no windows.
    false_alarm_rate : float or None
        Share of healthy windows called faulty.
    ece : float
        Expected calibration error, 15 bins.
    confusion : list of list of int
        True class (rows) by called class (columns).
    snr_curve : tuple of SnrPoint
        The same windows with white noise added.
    snr_db : float or None
        Noise that was added for the figures above; None if they are on clean windows.
    """

    parameters: int | None
    windows: int
    accuracy: float
    macro_f1: float
    accuracy_interval: tuple[float, float]
    per_class_recall: dict[str, float | None]
    false_alarm_rate: float | None
    ece: float
    confusion: list[list[int]]
    snr_curve: tuple[SnrPoint, ...] = ()
    snr_db: float | None = None


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """How closely a cut model follows the dense one, whatever the labels say.

    Parameters
    ----------
    agreement : float
        Share of windows on which both call the same class.
    kl : float
        Mean KL(dense || cut) in nats.
    """

    agreement: float
    kl: float


def noisy(waveforms: np.ndarray, indices: Sequence[int], snr_db: float | None, seed: int) -> np.ndarray:
    """Add white noise whose draw depends on each window's index alone, so that all models hear the same.

    Parameters
    ----------
    waveforms : ndarray of float32, shape (n, length)
    indices : sequence of int
        Index of each window in its collection.
    snr_db : float or None
        None leaves the windows as they are.
    seed : int

    Returns
    -------
    ndarray of float32, shape (n, length)
    """
    if snr_db is None:
        return waveforms
    return np.stack(
        [
            add_noise(waveform, snr_db, generator(seed, "test noise", index))
            for waveform, index in zip(waveforms, indices, strict=True)
        ]
    )


@torch.no_grad()
def predict(
    model: nn.Module | WindowClassifier,
    windows: Windows,
    *,
    snr_db: float | None = None,
    seed: int = 0,
    batch_size: int = 64,
) -> np.ndarray:
    """Return the logits of every window, float32 of shape (n, n_classes).

    Parameters
    ----------
    model : nn.Module or WindowClassifier
        A network is run in evaluation mode in float32 and returned to its mode.
    windows : Windows
    snr_db : float, optional
        White noise added to every window; the same noise for every model of one seed.
    seed : int
    batch_size : int

    Raises
    ------
    MeasurementError
        If an output is not finite: no class can be read off it.
    """
    was_training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    logits, done = [], 0
    for arrays in windows.batches(batch_size):
        count = len(arrays["label"])
        waveform = noisy(arrays["waveform"], range(done, done + count), snr_db, seed)
        done += count
        arrays = {**arrays, "waveform": waveform}
        if isinstance(model, nn.Module):
            device = next(model.parameters()).device
            logits.append(forward(model, to_device(as_tensors(arrays), device)).cpu().numpy())
        else:
            logits.append(model.window_logits(arrays).astype(np.float32))
    if isinstance(model, nn.Module) and was_training:
        model.train()
    found = np.concatenate(logits)
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        raise MeasurementError(
            f"the model gives no finite numbers for {int((~finite).sum())} of {len(found)} windows, so it "
            "calls no class there; its weights or the recordings are damaged, or its training diverged."
        )
    return found


def judge(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    classes: Sequence[str],
    groups: Sequence[str] | None = None,
    parameters: int | None = None,
    snr_curve: tuple[SnrPoint, ...] = (),
    snr_db: float | None = None,
    seed: int = 0,
) -> Evaluation:
    """Turn logits into an :class:`Evaluation`.

    Parameters
    ----------
    logits : ndarray, shape (n, n_classes)
    labels : ndarray of int, shape (n,)
    classes : sequence of str
        Class names; 'normal' is the healthy one.
    groups : sequence of str, optional
        Specimen of each window, for the interval.
    parameters, snr_curve, snr_db
        Carried into the result.
    seed : int
        Of the bootstrap.

    Raises
    ------
    DataError
        If there are no windows, or some have no label.
    """
    labels = np.asarray(labels)
    predicted = logits.argmax(axis=1)
    counts = metrics.confusion(labels, predicted, len(classes))
    recalls = metrics.per_class_recall(counts)
    healthy = list(classes).index("normal") if "normal" in classes else None
    clusters = np.asarray(groups) if groups is not None and len(set(groups)) > 1 else None
    return Evaluation(
        parameters=parameters,
        windows=len(labels),
        accuracy=metrics.accuracy(counts),
        macro_f1=metrics.macro_f1(counts),
        accuracy_interval=metrics.bootstrap_interval(predicted == labels, clusters=clusters, seed=seed),
        per_class_recall={
            name: None if np.isnan(recall) else float(recall)
            for name, recall in zip(classes, recalls, strict=True)
        },
        false_alarm_rate=metrics.false_alarm_rate(counts, healthy),
        ece=metrics.expected_calibration_error(logits, labels),
        confusion=counts.tolist(),
        snr_curve=snr_curve,
        snr_db=snr_db,
    )


def evaluate(
    model: nn.Module | WindowClassifier,
    windows: Windows,
    *,
    classes: Sequence[str],
    snr_db: float | None = None,
    snr_curve_db: Sequence[float] = (),
    seed: int = 0,
    batch_size: int = 64,
) -> Evaluation:
    """Judge a model on labelled windows, with a curve over noise levels if asked for.

    Parameters
    ----------
    model : nn.Module or WindowClassifier
    windows : Windows
    classes : sequence of str
    snr_db : float, optional
        Noise for the main figures (protocol ``load@SNR``); None judges clean windows.
    snr_curve_db : sequence of float
        Ratios of the curve in dB.
    seed : int
    batch_size : int
    """
    points = []
    for level in snr_curve_db:
        logits = predict(model, windows, snr_db=level, seed=seed, batch_size=batch_size)
        counts = metrics.confusion(windows.labels, logits.argmax(axis=1), len(classes))
        points.append(
            SnrPoint(
                snr_db=float(level), accuracy=metrics.accuracy(counts), macro_f1=metrics.macro_f1(counts)
            )
        )
    parameters = sum(p.numel() for p in model.parameters()) if isinstance(model, nn.Module) else None
    return judge(
        predict(model, windows, snr_db=snr_db, seed=seed, batch_size=batch_size),
        windows.labels,
        classes=classes,
        groups=windows.group_ids,
        parameters=parameters,
        snr_curve=tuple(points),
        snr_db=snr_db,
        seed=seed,
    )


def fidelity(dense_logits: np.ndarray, pruned_logits: np.ndarray) -> Fidelity:
    """Compare a cut model with the dense one from their logits on the same windows."""
    return Fidelity(
        agreement=metrics.agreement(dense_logits, pruned_logits),
        kl=metrics.kl_divergence(dense_logits, pruned_logits),
    )
