"""One arm of a comparison of orders: a dense model cut in one way, and judged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.errors import PlanError
from secateur.core.records import read_json, to_jsonable
from secateur.methods.base import Compression
from secateur.methods.cascade import Cascade
from secateur.methods.one_shot import OneShot
from secateur.methods.stage import Workbench
from secateur.models import checkpoint
from secateur.models.diagnoser import Diagnoser
from secateur.structure.budget import Budget
from secateur.structure.plan import PruningPlan
from secateur.structure.plan_file import plan_from_json
from secateur.tasks.windows import WindowTask
from secateur.training import metrics
from secateur.training.evaluate import fidelity, predict
from secateur.workflow.order_settings import DENSE_CONTROL, JOINT, ORDERS, OrderSettings
from secateur.workflow.task import Preparation


class Judge:
    """Test windows of one seed, and what the dense model says of them at every noise level.

    Parameters
    ----------
    dense : Diagnoser
        The reference.
    preparation : Preparation
    levels_db : sequence of float or None
        Noise levels; None for clean windows.
    seed : int
        Of the noise: every model hears the same.
    """

    def __init__(
        self, dense: Diagnoser, preparation: Preparation, levels_db: Sequence[float | None], *, seed: int
    ) -> None:
        self._test, self._levels, self._seed = preparation.test, tuple(levels_db), seed
        self._labels = np.asarray(preparation.test.labels)
        self._dense = [self._logits(dense, level) for level in self._levels]

    def figures(self, model: Diagnoser) -> dict[str, Any]:
        """Return ``parameters``, ``curve`` (one entry a level) and the means over the curve."""
        return self._figures(model, [self._logits(model, level) for level in self._levels])

    def figures_of_dense(self, dense: Diagnoser) -> dict[str, Any]:
        """Return the same of the reference itself."""
        return self._figures(dense, self._dense)

    def _figures(self, model: Diagnoser, logits: Sequence[np.ndarray]) -> dict[str, Any]:
        curve = [
            self._point(level, found, reference)
            for level, found, reference in zip(self._levels, logits, self._dense, strict=True)
        ]
        means = {
            name: float(np.mean([point[name] for point in curve])) for name in curve[0] if name != "snr_db"
        }
        return {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "curve": curve,
            **means,
        }

    def _point(self, level: float | None, logits: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
        counts = metrics.confusion(self._labels, logits.argmax(axis=1), logits.shape[1])
        likeness = fidelity(reference, logits)
        return {
            "snr_db": level,
            "accuracy": metrics.accuracy(counts),
            "macro_f1": metrics.macro_f1(counts),
            "kl": likeness.kl,
            "agreement": likeness.agreement,
        }

    def _logits(self, model: Diagnoser, level: float | None) -> np.ndarray:
        return predict(model, self._test, snr_db=level, seed=self._seed)


def run_arm(
    name: str,
    dense: Diagnoser,
    task: WindowTask,
    settings: OrderSettings,
    judge: Judge,
    stages: Path,
) -> dict[str, Any]:
    """Cut and recover the dense model in one way, and judge it.

    Parameters
    ----------
    name : str
        One of :data:`secateur.workflow.order_settings.ARMS`.
    dense : Diagnoser
    task : WindowTask
    settings : OrderSettings
    judge : Judge
    stages : Path
        Folder of the finished stages, from which a stopped arm goes on.

    Returns
    -------
    dict
        ``failed`` with the reason where an order cannot meet the budget; else figures on the test windows,
        ``depth``, recovery steps taken and the stage records.
    """
    started = time.perf_counter()
    try:
        compression = _compress(name, dense, task, settings, stages)
    except PlanError as error:
        return {"name": name, "failed": str(error)}
    assert isinstance(compression.model, Diagnoser), "as the dense model is"
    figures = judge.figures(compression.model)
    return to_jsonable(
        {
            "name": name,
            "failed": None,
            **figures,
            "ratio": sum(parameter.numel() for parameter in dense.parameters()) / figures["parameters"],
            "depth": len(compression.plan.layers),
            "recovery_steps": sum(record.recovery_steps for record in compression.records),
            "samples_seen": compression.samples_seen,
            "seconds": time.perf_counter() - started,
            "stages": compression.records,
        }
    )


def _compress(
    name: str, dense: Diagnoser, task: WindowTask, settings: OrderSettings, stages: Path
) -> Compression:
    budget = Budget(ratio=settings.ratio)
    if name == DENSE_CONTROL:
        return _recover_uncut(dense, task, settings, stages)
    method = OneShot(settings.search) if name == JOINT else Cascade(settings.cascade(ORDERS[name]))
    return method.compress(dense, task, budget, settings.recovery, stages)


def _recover_uncut(dense: Diagnoser, task: WindowTask, settings: OrderSettings, stages: Path) -> Compression:
    bench = Workbench(DENSE_CONTROL, dense, task, settings.search, settings.recovery)
    state, record = bench.cut_and_recover(
        bench.start(),
        bench.identity,
        stage="control",
        number=1,
        steps=bench.total_steps,
        target_parameters=None,
        decisions={},
        started=time.perf_counter(),
        out=stages / "recovery",
    )
    return Compression.by_plan(method=DENSE_CONTROL, model=state.model, plan=state.plan, records=(record,))


def stage_model(stages: Path, number: int, stage: str) -> tuple[Diagnoser, PruningPlan, dict[str, Any]]:
    """Load the model that a finished stage left, the plan that led to it, and its record."""
    place = stages / f"stage-{number}-{stage}"
    entry = read_json(place / "record.json", ("fingerprint", "plan", "record"))
    return checkpoint.load(place / "model"), plan_from_json(entry["plan"]), entry["record"]
