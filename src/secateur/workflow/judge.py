"""Judging a checkpoint, alone or against the model that it was cut from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur.core.provenance import provenance
from secateur.core.records import to_jsonable
from secateur.models import checkpoint
from secateur.training.evaluate import evaluate, fidelity, predict
from secateur.workflow.steps import load_for_task


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
        Default: what the checkpoint was trained on.
    snr_curve_db : sequence of float
        Noise levels in dB.

    Returns
    -------
    dict
        ``evaluation``, ``split``, ``fidelity`` (or None) and ``provenance`` as JSON values.
    """
    model, task, preparation = load_for_task(folder, data=data, split=split)
    noise = {"snr_db": preparation.split.test_snr_db, "seed": task.seed}
    evaluation = evaluate(
        model, preparation.test, classes=preparation.classes, snr_curve_db=snr_curve_db, **noise
    )
    closeness = None
    if against is not None:
        closeness = fidelity(
            predict(checkpoint.load(against), preparation.test, **noise),
            predict(model, preparation.test, **noise),
        )
    return to_jsonable(
        {
            "evaluation": evaluation,
            "fidelity": closeness,
            "split": {
                "protocol": preparation.split.protocol,
                "leaks": preparation.split.leaks,
                "leak_reason": preparation.split.leak_reason,
                "caveat": preparation.split.caveat,
                "groups": preparation.split.groups(),
            },
            "data_sha256": preparation.data_sha256,
            "provenance": provenance(seed=task.seed),
        }
    )
