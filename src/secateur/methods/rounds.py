"""Cut, re-fit, score again: a model brought to its size in rounds, without a gradient step on its weights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

from torch import nn

from secateur.blockwise.refit import RefitReport, Target, refit
from secateur.core.errors import PlanError
from secateur.core.progress import console
from secateur.models.binding import bind
from secateur.models.calls import Batch
from secateur.scoring.allocation import WidthKind, allocate
from secateur.scoring.scores import Criterion
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round did.

    Parameters
    ----------
    number : int
        From 1.
    parameters : int
        Of the whole model afterwards.
    refit : RefitReport or None
    seconds : float
    """

    number: int
    parameters: int
    refit: RefitReport | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """A model cut in rounds.

    Parameters
    ----------
    model : nn.Module
    plan : PruningPlan
        In indices of the dense model.
    rounds : tuple of Round
    """

    model: nn.Module
    plan: PruningPlan
    rounds: tuple[Round, ...]


def cut_in_rounds(
    dense: nn.Module,
    batches: Sequence[Batch],
    target_parameters: int,
    *,
    criterion: Criterion,
    n_rounds: int = 1,
    kinds: Sequence[WidthKind] = ("channel",),
    multiple: int | None = None,
    refit_batches: Sequence[Batch] | None = None,
    target: Target = "stream",
    seed: int = 0,
) -> Rounds:
    """Bring a model down to a size in equal steps, each scored on what the last one left.

    Scores go stale as units leave: those of the dense model describe a model that is no more. After each cut
    the output projections are re-fitted to the dense model's outputs in closed form.

    Parameters
    ----------
    dense : nn.Module
        Left as it is.
    batches : sequence of dict
        Calibration samples to score by; empty where the criterion needs none, and then nothing is re-fitted.
    target_parameters : int
        Parameters of the whole model that must not be exceeded.
    criterion : Criterion
    n_rounds : int
    kinds : sequence of {"group", "head", "cross_group", "channel"}
        What may be cut. First-order scores make whole groups and heads look too cheap beside channels, so
        that only channels are cut unless more is asked for.
    multiple : int, optional
        Multiple to which channels are rounded at the end.
    refit_batches : sequence of dict, optional
        Calibration samples to re-fit on; default: ``batches``.
    target : {"stream", "projection"}
        See :func:`secateur.blockwise.refit.refit`.
    seed : int
        Of a criterion that draws.

    Raises
    ------
    PlanError
        If the target cannot be reached, or there is no round.
    """
    if n_rounds < 1:
        raise PlanError(f"{n_rounds} rounds were asked for; give at least 1.")
    bound = bind(dense)
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    whole = parameters(plan)
    model, done = deepcopy(dense).eval(), []
    for number in range(1, n_rounds + 1):
        started = time.perf_counter()
        if n_rounds > 1:
            console.print(f"round {number} of {n_rounds}")
        scores = criterion.score(model, bind(model), batches, seed=seed)
        allowed = whole - (whole - target_parameters) * number // n_rounds
        start = PruningPlan.identity(plan.family, plan.result)
        relative = allocate(
            scores, start, allowed, multiple=multiple if number == n_rounds else 1, kinds=kinds
        )
        plan, model = plan.then(relative), apply(model, relative)
        samples = batches if refit_batches is None else refit_batches
        report = refit(model, plan, dense, samples, target=target) if samples else None
        seconds = time.perf_counter() - started
        done.append(Round(number=number, parameters=parameters(plan), refit=report, seconds=seconds))
    return Rounds(model=model, plan=plan, rounds=tuple(done))
