"""Example windows for the report, one of each class, with what the models say of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from secateur.core.files import write_aside
from secateur.core.seeds import generator
from secateur.models.diagnoser import Diagnoser
from secateur.training.batches import as_tensors, forward
from secateur.workflow.task import Preparation


def write_examples(
    preparation: Preparation, models: Mapping[str, Diagnoser], path: Path, *, seed: int
) -> None:
    """Write a test window of each class, drawn by the seed, and each model's probabilities for it.

    Parameters
    ----------
    preparation : Preparation
    models : mapping
        Name ("dense", "pruned") to model.
    path : Path
        The ``.npz`` to write; its keys are those that :mod:`secateur.report.page` reads.
    seed : int
    """
    test = preparation.test
    random = generator(seed, "examples")
    rows = [int(random.choice(np.flatnonzero(test.labels == label))) for label in np.unique(test.labels)]
    arrays: dict[str, Any] = test.take(rows)
    with torch.no_grad():
        probabilities: dict[str, Any] = {
            f"{name}_probabilities": forward(model.eval(), as_tensors(arrays)).softmax(-1).numpy()
            for name, model in models.items()
        }
    with write_aside(path) as aside, aside.open("wb") as stream:
        np.savez_compressed(
            stream,
            **arrays,
            **probabilities,
            sampling_rate_hz=np.float64(test.spec.sampling_rate_hz),
            classes=np.array(preparation.classes),
            recording_id=np.array([test.recording_ids[row] for row in rows]),
        )
