"""What a compressed model has to beat: a plain rule, classical models, its own shape trained from scratch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from secateur.core.records import read_json, to_jsonable, write_json
from secateur.methods.scratch import Scratch
from secateur.models.diagnoser import Diagnoser
from secateur.recovery.settings import RecoverySettings
from secateur.signals.envelope_rule import EnvelopeRule, knows
from secateur.structure.plan import PruningPlan
from secateur.training.classical import fit_fault_line_regression, fit_forest
from secateur.training.evaluate import WindowClassifier, evaluate
from secateur.workflow.settings import RunSettings
from secateur.workflow.steps import calibrated_task
from secateur.workflow.task import Preparation


def judge_rivals(
    dense: Diagnoser,
    preparation: Preparation,
    plan: PruningPlan | None,
    *,
    settings: RunSettings,
    dense_steps: int,
    folder: Path,
) -> dict[str, dict[str, Any]]:
    """Fit and judge every rival; each result is kept in ``folder``, so that a killed run goes on.

    Parameters
    ----------
    dense : Diagnoser
        The dense model, whose initialiser the scratch model uses.
    preparation : Preparation
    plan : PruningPlan or None
        The shape for the model from scratch; None for none, where the shape is that of the dense model.
    settings : RunSettings
    dense_steps : int
        Steps that the dense model was trained for: the model from scratch is granted them on top of
        the recovery's, so that it sees as many windows as dense training and recovery together.
    folder : Path

    Returns
    -------
    dict
        ``envelope_rule`` (where it knows the classes), ``random_forest``, ``fault_line_regression`` and, with
        a plan, ``scratch``: evaluations as JSON values.
    """
    seed = settings.task.seed
    classes = preparation.classes

    def scratch() -> Diagnoser:
        extra_steps, recovery = dense_steps, settings.cut.recovery
        if recovery is None:
            recovery = RecoverySettings(max_steps=dense_steps, batch_size=settings.fit.batch_size)
            extra_steps = 0
        method = Scratch(settings.cut.search, plan=plan, extra_steps=extra_steps)
        task = calibrated_task(preparation, seed=seed, settings=recovery)
        made = method.compress(dense, task, None, recovery, folder / "scratch").model
        assert isinstance(made, Diagnoser), "as the dense model is"
        return made

    learnt_from = preparation.train if preparation.everything is None else preparation.everything
    fitted: dict[str, Callable[[], Any]] = {
        "random_forest": lambda: fit_forest(learnt_from, n_classes=len(classes), seed=seed),
        "fault_line_regression": lambda: fit_fault_line_regression(
            preparation.train,
            preparation.validation,
            n_classes=len(classes),
            seed=seed,
            last_fit=preparation.split.last_fit,
        ),
    }
    if plan is not None:
        fitted["scratch"] = scratch
    if knows(classes):
        rule = EnvelopeRule(classes=classes, sampling_rate_hz=preparation.test.spec.sampling_rate_hz)
        fitted = {"envelope_rule": lambda: rule, **fitted}
    return {name: _judged(name, make, preparation, settings, folder) for name, make in fitted.items()}


def _judged(
    name: str,
    make: Callable[[], Diagnoser | WindowClassifier],
    preparation: Preparation,
    settings: RunSettings,
    folder: Path,
) -> dict[str, Any]:
    kept = folder / f"{name}.json"
    if kept.exists():
        return read_json(kept)
    evaluation = evaluate(
        make(),
        preparation.test,
        classes=preparation.classes,
        snr_db=preparation.split.test_snr_db,
        snr_curve_db=settings.snr_curve_db,
        seed=settings.task.seed,
    )
    write_json(kept, evaluation)
    return to_jsonable(evaluation)
