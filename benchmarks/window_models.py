"""What is trained on one set of windows: the foundation diagnoser, its cut, and the baselines.

Everything is kept in a folder; a stopped benchmark goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secateur.methods.scratch import Scratch
from secateur.models import checkpoint
from secateur.models.front_end.settings import front_end_for
from secateur.recovery.settings import RecoverySettings
from secateur.signals.envelope_rule import EnvelopeRule
from secateur.signals.recording import FAULT_LOCATIONS, Recording
from secateur.signals.segment import Segment
from secateur.signals.splits import Split
from secateur.signals.validation import hold_back
from secateur.signals.windows import HIGHEST_RATE_HZ, Windows, WindowSpec
from secateur.training.classical import fit_fault_line_regression, fit_forest
from secateur.training.evaluate import predict
from secateur.training.metrics import log_softmax
from secateur.training.settings import FitSettings
from secateur.workflow.backbone import learning_rate_for, windows_for
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.settings import TaskSettings, windows_of
from secateur.workflow.steps import calibrated_task, prune_and_save, train_dense
from secateur.workflow.task import Preparation, digest_of

BACKBONE = "foundation-micro"
DENSE, CUT, SCRATCH = "dense", "cut", "scratch"
FOREST, REGRESSION, RULE = "random forest", "fault line regression", "envelope rule"
MODELS = (DENSE, CUT, SCRATCH, FOREST, REGRESSION, RULE)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Steps of the dense model and of recovery, and how many times fewer parameters the cut has."""

    train_steps: int = 300
    recovery_steps: int = 150
    ratio: float = 2.0


def prepared(
    name: str, train: Sequence[Recording], test: Sequence[Recording], *, seed: int, leak_reason: str = ""
) -> Preparation:
    """Return windows of the length that the foundation diagnoser takes; whole specimens are held back.

    Parameters
    ----------
    name : str
        Of the task.
    train, test : sequence of Recording
        Of every class of :data:`FAULT_LOCATIONS` there must be some in ``train``.
    seed : int
        Decides which training specimens are held back to choose by.
    leak_reason : str
        Which specimens stand on both sides, if any do.
    """
    classes = FAULT_LOCATIONS
    class_of = {recording.recording_id: str(recording.fault_location) for recording in (*train, *test)}
    held = hold_back(train, class_of, classes, seed=seed, known_specimens=False)
    split = Split(
        protocol=name,
        leaks=bool(leak_reason),
        leak_reason=leak_reason,
        classes=classes,
        train=held.train,
        validation=held.validation,
        test=tuple(Segment.whole(r, classes.index(class_of[r.recording_id])) for r in test),
        lone_classes=held.lone_classes,
        last_fit=held.few_specimens,
    )
    length = windows_of(windows_for(BACKBONE, None))
    spec = WindowSpec(sampling_rate_hz=HIGHEST_RATE_HZ, length=length["window_length"])
    learnt = Windows(split.train, spec, length["train_hop"])
    return Preparation(
        split=split,
        front_end=front_end_for(HIGHEST_RATE_HZ, spec.length),
        train=learnt,
        validation=Windows(split.validation, spec, length["test_hop"]),
        test=Windows(split.test, spec, length["test_hop"]),
        data_sha256=digest_of([*train, *test]),
        everything=Windows((*split.train, *split.validation), spec, length["train_hop"])
        if split.last_fit
        else None,
    )


def window_logits(
    preparation: Preparation, budget: Budget, folder: Path, *, seed: int
) -> dict[str, np.ndarray]:
    """Train what is not there yet and return log-probabilities of the test windows by the name of the model.

    Returns
    -------
    dict of ndarray, shape (windows, classes)
        One for each of :data:`MODELS`.
    """
    found = {}
    for name in MODELS:
        kept = folder / f"{name.replace(' ', '_')}.npy"
        if not kept.exists():
            folder.mkdir(parents=True, exist_ok=True)
            logits = predict(_model(name, preparation, budget, folder, seed=seed), preparation.test)
            np.save(kept, log_softmax(logits))
        found[name] = np.load(kept)
    return found


def _model(name: str, preparation: Preparation, budget: Budget, folder: Path, *, seed: int):
    rate = learning_rate_for(BACKBONE)
    length = windows_of(windows_for(BACKBONE, None))
    task = TaskSettings(data=preparation.split.protocol, split="specimen", seed=seed, **length)
    recovery = RecoverySettings(max_steps=budget.recovery_steps, learning_rate=rate)
    if name == FOREST:
        learnt_from = preparation.everything or preparation.train
        return fit_forest(learnt_from, n_classes=len(preparation.classes), seed=seed)
    if name == REGRESSION:
        return fit_fault_line_regression(
            preparation.train,
            preparation.validation,
            n_classes=len(preparation.classes),
            seed=seed,
            last_fit=preparation.split.last_fit,
        )
    if name == RULE:
        return EnvelopeRule(classes=preparation.classes, sampling_rate_hz=HIGHEST_RATE_HZ)
    dense = train_dense(
        preparation,
        backbone=BACKBONE,
        task=task,
        settings=FitSettings(max_steps=budget.train_steps, learning_rate=rate),
        folder=folder / DENSE,
    )
    if name == DENSE:
        return dense
    if not (folder / CUT / checkpoint.CHECKSUMS).exists():
        cut = CutSettings(ratio=budget.ratio, recovery=recovery)
        prune_and_save(dense, preparation, task=task, cut=cut, folder=folder / CUT)
    if name == CUT:
        return checkpoint.load(folder / CUT)
    steps = checkpoint.describe(folder / DENSE).metadata["fit"]["steps"]
    scratch = Scratch(plan=checkpoint.describe(folder / CUT).plan, extra_steps=steps)
    learning = calibrated_task(preparation, seed=seed, settings=recovery)
    return scratch.compress(dense, learning, None, recovery, folder / SCRATCH).model
