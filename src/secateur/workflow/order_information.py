"""Information about the class along the layers: dense, and behind every stage of the coarse-to-fine order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.errors import DataError
from secateur.core.progress import track
from secateur.core.records import to_jsonable
from secateur.core.seeds import derive
from secateur.methods.settings import STAGE_NAMES
from secateur.models.binding import bind
from secateur.models.calls import Batch
from secateur.models.diagnoser import Diagnoser
from secateur.sia.information import processing_violations, usable_information
from secateur.sia.kernels import kernel_dependence, kernel_violations
from secateur.sia.pooled_states import pooled_states
from secateur.signals.windows import Windows
from secateur.structure.plan import PruningPlan
from secateur.tasks.calibration import stratified_indices
from secateur.training.batches import as_tensors
from secateur.training.evaluate import noisy
from secateur.workflow.order_arms import stage_model
from secateur.workflow.order_settings import OrderSettings
from secateur.workflow.task import Preparation

BATCH = 64
MOST_TEST_WINDOWS = 1000
"""A kernel matrix grows with their square."""

DENSE = "dense"


@dataclass(frozen=True, kw_only=True)
class ProbeWindows:
    """Windows on which information is measured, each with one noise level of the curve in turn.

    Parameters
    ----------
    batches : tuple of dict
        As a model takes them.
    labels : ndarray of int, shape (windows,)
    recordings, specimens : tuple of str
        Of each window.
    """

    batches: tuple[Batch, ...]
    labels: np.ndarray
    recordings: tuple[str, ...]
    specimens: tuple[str, ...]


def probe_windows(
    windows: Windows, indices: np.ndarray, levels_db: tuple[float | None, ...], *, seed: int
) -> ProbeWindows:
    """Read windows once and add the noise of level ``k mod n`` to the ``k``-th of them."""
    arrays = windows.take(indices)
    turns = np.arange(len(indices)) % len(levels_db)
    for turn, level in enumerate(levels_db):
        rows = np.flatnonzero(turns == turn)
        arrays["waveform"][rows] = noisy(arrays["waveform"][rows], indices[rows].tolist(), level, seed)
    tensors = as_tensors(arrays)
    return ProbeWindows(
        batches=tuple(
            {name: values[first : first + BATCH] for name, values in tensors.items()}
            for first in range(0, len(indices), BATCH)
        ),
        labels=arrays["label"],
        recordings=tuple(windows.recording_ids[index] for index in indices),
        specimens=tuple(windows.group_ids[index] for index in indices),
    )


def measure_information(
    dense: Diagnoser, preparation: Preparation, settings: OrderSettings, stages: Path | None, *, seed: int
) -> list[dict[str, Any]]:
    """Measure usable information and kernel dependence at every place of every model of one seed.

    Probes learn from training windows and are judged on test windows: the two sides of the split, which are
    of different specimens where the protocol says that it does not leak. Kernels are measured on the test
    windows; of more than 1000 of these, 1000 evenly spaced ones are taken for both.

    Parameters
    ----------
    dense : Diagnoser
    preparation : Preparation
    settings : OrderSettings
    stages : Path or None
        Finished stages of the coarse-to-fine order; None measures the dense model alone.
    seed : int

    Returns
    -------
    list of dict
        One entry a model: ``model`` ("dense", "layers", "groups", "channels": what it stands behind),
        ``places`` (``place``, dense layer ``index``, ``usable`` and ``kernel``), and the violations of the
        data-processing inequality by either estimator.

    Raises
    ------
    DataError
        If a class of the test windows has no labelled training window.
    """
    levels, n_classes = settings.levels_db, len(preparation.classes)
    chosen = stratified_indices(preparation.train.labels, len(preparation.train), seed=derive(seed, "probes"))
    labelled = chosen[preparation.train.labels[chosen] >= 0][: settings.probe_windows]
    fit = probe_windows(preparation.train, labelled, levels, seed=derive(seed, "probe noise"))
    count = len(preparation.test)
    spread = np.unique(np.linspace(0, count - 1, min(count, MOST_TEST_WINDOWS)).round().astype(np.int64))
    test = probe_windows(preparation.test, spread, levels, seed=seed)
    if missing := sorted(set(test.labels.tolist()) - set(fit.labels.tolist())):
        names = ", ".join(preparation.classes[label] for label in missing)
        raise DataError(f"no labelled training window is of {names}; a probe cannot learn these classes.")
    return [
        to_jsonable(_of_model(name, model, plan, fit, test, n_classes, seed))
        for name, model, plan in track(list(_models(dense, stages)), "measuring information")
    ]


def _models(dense: Diagnoser, stages: Path | None) -> Iterator[tuple[str, Diagnoser, PruningPlan]]:
    bound = bind(dense)
    yield DENSE, dense, PruningPlan.identity(bound.spec.family, bound.shape)
    if stages is None:
        return
    for number, stage in enumerate(STAGE_NAMES, start=1):
        model, plan, _ = stage_model(stages, number, stage)
        yield stage, model, plan


def _of_model(
    name: str,
    model: Diagnoser,
    plan: PruningPlan,
    fit: ProbeWindows,
    test: ProbeWindows,
    n_classes: int,
    seed: int,
) -> dict[str, Any]:
    learnt, judged = pooled_states(model, fit.batches), pooled_states(model, test.batches)
    index_of = {f"layer {position}": layer.index for position, layer in enumerate(plan.layers)}
    usable, kernels, indices = [], [], []
    for place, fit_states, states in zip(judged.places, learnt.states, judged.states, strict=True):
        index = index_of.get(place)
        shown = place if index is None else f"layer {index}"
        indices.append(index)
        usable.append(
            usable_information(
                shown,
                fit_states,
                fit.labels,
                states,
                test.labels,
                n_classes=n_classes,
                fit_groups=fit.recordings,
                clusters=test.specimens,
                seed=seed,
            )
        )
        kernels.append(kernel_dependence(shown, states, test.labels, seed=seed))
    return {
        "model": name,
        "layers": [layer.index for layer in plan.layers],
        "fit_windows": len(fit.labels),
        "test_windows": len(test.labels),
        "places": [
            {
                "place": found.place,
                "index": index,
                "usable": {
                    key: value for key, value in vars(found).items() if key not in ("place", "pointwise")
                },
                "kernel": {
                    key: value for key, value in vars(kernel).items() if key not in ("place", "halves")
                },
            }
            for found, kernel, index in zip(usable, kernels, indices, strict=True)
        ],
        "usable_violations": processing_violations(usable, clusters=test.specimens, seed=seed),
        "kernel_violations": kernel_violations(kernels),
    }
