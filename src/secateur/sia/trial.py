"""A trial cut: what the asked ratio costs before any recovery, measured once on the dense model.

Removal curves tell of one granularity at a time. Here heads and channels go together, by one ranking of score
per parameter, as a one-shot cut would take them; and, for comparison, as many rows of every matrix, each
choosing by itself. Neither is an estimate of what is left after recovery, which wins much of it back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from secateur.core.errors import PlanError
from secateur.models.binding import BoundModel
from secateur.models.calls import Batch
from secateur.scoring.allocation import rank_cut
from secateur.scoring.matrices import MatrixScores, matrix_scores
from secateur.scoring.registered import CRITERIA
from secateur.sia.measured.bootstrap import NOTHING, estimate_of, resampling_weights
from secateur.sia.measured.evaluation import Evaluator
from secateur.sia.prediction import Prediction, Trial, changed
from secateur.structure.budget import Budget
from secateur.structure.counting import block_parameters, parameters, shape_parameters
from secateur.structure.plan import PruningPlan
from secateur.surgery.apart import ApartLayer, ApartPlan, cut_apart
from secateur.surgery.masks import mask
from secateur.tasks.sample_judges import SCORE


def trial_cut(
    model: nn.Module, batches: Sequence[Batch], *, ratio: float, criterion: str, seed: int
) -> Trial | None:
    """Cut for a moment and look.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    batches : sequence of dict
        Calibration samples, by which units are scored and the cut is judged.
    ratio : float
        Dense over remaining parameters of the whole model.
    criterion : str
        Name of a registered criterion.
    seed : int
        Of the bootstrap and of criteria that draw.

    Returns
    -------
    Trial or None
        None where the ratio cannot be reached by heads and channels alone.
    """
    evaluator = Evaluator(model, batches)
    bound = evaluator.bound
    identity = PruningPlan.identity(bound.spec.family, bound.shape)
    target = Budget(ratio=ratio).target_parameters(parameters(identity))
    scores = CRITERIA.get(criterion)().score(model, bound, batches, seed=seed)
    try:
        plan = rank_cut(scores, identity, target)
    except PlanError:
        return None
    weights = resampling_weights(evaluator.n_samples, seed=seed, name="samples")

    def cost(figures: np.ndarray) -> Prediction:
        return _prediction(evaluator, figures, weights, plan, criterion)

    with mask(model, plan):
        closed = cost(evaluator.figures_of(model))
    apart = None
    if evaluator.can_score_matrices(criterion) and _can_differ(bound):
        own = matrix_scores(model, bound, batches, criterion=criterion)
        apart = cost(evaluator.figures_of(cut_apart(model, apart_plan(plan, own, gated=bound.spec.is_gated))))
    return Trial(closed=closed, apart=apart)


def _can_differ(bound: BoundModel) -> bool:
    attention = bound.spec.stacks[0].attention
    return (bound.shape.shares_keys or bound.spec.is_gated) and not attention.head_inputs


def apart_plan(plan: PruningPlan, own: MatrixScores, *, gated: bool) -> ApartPlan:
    """Return the cut to the same widths in which every matrix keeps its own best.

    Parameters
    ----------
    plan : PruningPlan
        The closed cut; it keeps all layers, and whole groups.
    own : sequence of mapping
        For each layer, what each matrix scores its own units.
    gated : bool
        Whether the FFN has a gate.

    Returns
    -------
    ApartPlan
        ``o`` follows ``q`` and ``v`` follows ``k``. Where nothing competes, in plain FFNs and in attentions
        without shared keys, the closed choice stays.
    """
    whole = ApartPlan.of_closed(plan, gated=gated)
    layers = []
    for layer, scores in zip(whole.layers, own, strict=True):
        kept = dict(layer.kept)
        if plan.shape.heads_per_group(layer.index) > 1:
            kept["q"] = kept["o"] = _best(scores["q"], len(kept["q"]))
            kept["k"] = kept["v"] = _best(scores["k"], len(kept["k"]))
        if gated:
            kept |= {role: _best(scores[role], len(kept[role])) for role in ("gate", "up", "down")}
        layers.append(ApartLayer(index=layer.index, kept=kept))
    return ApartPlan(family=plan.family, shape=plan.shape, layers=tuple(layers))


def _best(scores: np.ndarray, kept: int) -> tuple[int, ...]:
    return tuple(np.sort(np.argsort(-scores, kind="stable")[:kept]).tolist())


def _prediction(
    evaluator: Evaluator, figures: np.ndarray, weights: np.ndarray, plan: PruningPlan, criterion: str
) -> Prediction:
    judge = evaluator.judge
    costs = evaluator.increase(figures) @ weights
    estimates = {
        name: estimate_of(costs[row]) if name in evaluator.objectives else NOTHING
        for row, name in enumerate(("loss", "divergence"))
    }
    if judge.score_name == "perplexity_ratio":
        dense_score, change = 1.0, estimate_of(np.exp(costs[0]) - 1)
    else:
        dense = evaluator.dense[SCORE]
        dense_score, change = float(dense.mean()), estimate_of((figures[SCORE] - dense) @ weights)
    gone = shape_parameters(plan.family, plan.shape) - parameters(plan)
    return Prediction(
        fraction=gone / block_parameters(plan.family, plan.shape),
        loss=estimates["loss"],
        divergence=estimates["divergence"],
        score_name=judge.score_name,
        dense_score=dense_score,
        score_change=changed(change, judge.score_name, dense_score, evaluator.n_samples),
        criterion=criterion,
        beyond=False,
    )
