"""Judging a checkpoint, alone or against the model that it was cut from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur.core.provenance import provenance
from secateur.core.records import to_jsonable
from secateur.models import checkpoint
from secateur.signals.selection import specimen_of
from secateur.signals.splits import Split
from secateur.training.evaluate import evaluate, fidelity, predict
from secateur.workflow.steps import load_for_task, load_with_task
from secateur.workflow.task import prepare_everything, split_record


def judge_checkpoint(
    folder: Path,
    *,
    against: Path | None = None,
    data: str | None = None,
    split: str | None = None,
    snr_curve_db: Sequence[float] = (),
) -> dict[str, Any]:
    """Evaluate a checkpoint on the test windows of its task, or of other data or another split.

    Parameters
    ----------
    folder : Path
        The checkpoint.
    against : Path, optional
        Another checkpoint of the same classes, to which agreement and KL are measured.
    data, split : str, optional
        Default: what the checkpoint was trained on. Of data without a split every labelled recording is
        scored, whatever classes are there.
    snr_curve_db : sequence of float
        Noise levels in dB.

    Returns
    -------
    dict
        ``evaluation``, ``split``, ``fidelity`` (or None), ``absent_classes``, ``unknown_classes`` (recordings
        by label that the model does not know) and ``provenance`` as JSON values.
    """
    absent: tuple[str, ...] = ()
    unknown: dict[str, int] = {}
    if data is not None and split is None:
        model, task = load_with_task(folder, data=data)
        everything = prepare_everything(
            task, classes=model.config.classes, sampling_rate_hz=model.config.sampling_rate_hz
        )
        division, test, digest = everything.split, everything.test, everything.data_sha256
        absent, unknown = everything.absent, everything.unknown
    else:
        model, task, preparation = load_for_task(folder, data=data, split=split)
        division, test, digest = preparation.split, preparation.test, preparation.data_sha256
    noise: dict[str, Any] = {"snr_db": division.test_snr_db, "seed": task.seed}
    evaluation = evaluate(model, test, classes=division.classes, snr_curve_db=snr_curve_db, **noise)
    closeness = None
    if against is not None:
        closeness = fidelity(
            predict(checkpoint.load(against), test, **noise),
            predict(model, test, **noise),
        )
    return to_jsonable(
        {
            "evaluation": evaluation,
            "fidelity": closeness,
            "split": {
                **split_record(division),
                **_leak(division, checkpoint.describe(folder).metadata["training_specimens"]),
            },
            "absent_classes": absent,
            "unknown_classes": unknown,
            "data_sha256": digest,
            "provenance": provenance(seed=task.seed),
        }
    )


def _leak(split: Split, training_specimens: list[str]) -> dict[str, Any]:
    """Say whether the model was trained on specimens of this test, whatever its own split was."""
    damaged = {
        specimen_of(segment.recording)
        for segment in split.test
        if segment.recording.fault_location != "normal"
    }
    known = sorted(damaged & set(training_specimens))
    if not known or split.leaks:
        return {}
    return {"leaks": True, "leak_reason": f"the model was trained on test specimens: {', '.join(known)}."}
