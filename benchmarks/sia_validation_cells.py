"""What is measured of one subject: D on calibration text, the same cuts on held-out text, and the check."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, get_args

import numpy as np
from sia_validation_models import SEED, Subject

from secateur.core.seeds import derive
from secateur.models.binding import BoundModel, bind
from secateur.scoring.allocation import rank_cut
from secateur.scoring.matrices import MatrixCriterion, matrix_scores
from secateur.scoring.registered import CRITERIA, DEFAULT_CRITERION
from secateur.scoring.scores import ScoredKind, Scores
from secateur.sia.measured.evaluation import Evaluator
from secateur.sia.prediction import Prediction
from secateur.sia.structural import check_structure
from secateur.sia.trial import apart_plan
from secateur.sia.verdict import GranularityVerdict
from secateur.structure.counting import block_parameters, parameters, shape_parameters, unit_parameters
from secateur.structure.plan import PruningPlan
from secateur.surgery.apart import cut_apart
from secateur.surgery.apply import apply
from secateur.surgery.masks import mask
from secateur.workflow.sia import Effort, check_model

CHECKED_SHARE = 0.2
KINDS: dict[str, ScoredKind] = {"heads": "group", "channels": "channel"}
Line = dict[str, Any]


def can_differ(bound: BoundModel) -> bool:
    """Whether matrices can be cut apart, and that is another cut than the closed one."""
    if bound.spec.stacks[0].attention.head_inputs:
        return False
    return bound.shape.shares_keys or bound.spec.is_gated


def target_of(bound: BoundModel, share: float) -> int:
    """Return the parameters that stay when a share of the blocks' goes."""
    family, shape = bound.spec.family, bound.shape
    return shape_parameters(family, shape) - int(share * block_parameters(family, shape))


def cut_lines(subject: Subject, done: set[tuple]) -> Iterator[Line]:
    """Yield D and the measured loss of every cut that is not ``done``; (treatment, criterion, share).

    D is what :func:`secateur.sia.trial.trial_cut` measures, with one scoring for all shares.
    """
    model, batches = subject.model, subject.calibration
    bound = bind(model)
    treatments = ("closed", "apart") if can_differ(bound) else ("closed",)
    evaluator: Evaluator | None = None
    for criterion in subject.criteria:
        wanted = [
            (treatment, criterion, share)
            for share in subject.shares
            for treatment in treatments
            if (treatment, criterion, share) not in done
        ]
        if not wanted:
            continue
        evaluator = evaluator or Evaluator(model, batches)
        scores = CRITERIA.get(criterion)().score(model, bound, batches, seed=SEED)
        own = None
        if any(treatment == "apart" for treatment, _, _ in wanted) and criterion in get_args(MatrixCriterion):
            own = matrix_scores(model, bound, batches, criterion=criterion)
        identity = PruningPlan.identity(bound.spec.family, bound.shape)
        for treatment, _, share in wanted:
            begun = time.perf_counter()
            plan = rank_cut(scores, identity, target_of(bound, share))
            if treatment == "closed":
                with mask(model, plan):
                    figures = evaluator.figures_of(model)
                cut = apply(model, plan)
            else:
                cut = cut_apart(model, apart_plan(plan, own, gated=bound.spec.is_gated))
                figures = evaluator.figures_of(cut)
            increase = evaluator.increase(figures)
            loss, divergence = increase.mean(axis=1)
            yield {
                "kind": "cut",
                "subject": subject.name,
                "treatment": treatment,
                "criterion": criterion,
                "share": share,
                "removed": _removed(plan),
                "d_loss": float(loss),
                "d_divergence": float(divergence),
                "d_noise": float(np.std(increase[0] - increase[1], ddof=1) / np.sqrt(increase.shape[1])),
                "measured": subject.held_out(cut),
                "seconds": time.perf_counter() - begun,
            }


def _removed(plan: PruningPlan) -> float:
    gone = shape_parameters(plan.family, plan.shape) - parameters(plan)
    return gone / block_parameters(plan.family, plan.shape)


def structure_line(subject: Subject) -> Line:
    """Carry out the structural check, which needs no data."""
    bound = bind(subject.model)
    structure = check_structure(bound.spec, bound.shape)
    return {
        "kind": "structure",
        "subject": subject.name,
        "family": structure.family,
        "gated": structure.gated,
        "heads_per_group": structure.heads_per_group,
        "closed": {entry.component: entry.holds for entry in structure.definitions},
        "dense": subject.dense,
        "measured": subject.measured,
    }


def check_line(subject: Subject) -> Line:
    """Carry out the check, then cut heads and channels, each alone, as it says and by lot."""
    begun = time.perf_counter()
    bound = bind(subject.model)
    whole = shape_parameters(bound.spec.family, bound.shape)
    check = check_model(
        subject.model,
        subject.calibration,
        ratio=whole / target_of(bound, CHECKED_SHARE),
        effort=Effort(budget_s=float("inf"), width=0.1, max_evaluations=subject.evaluations),
        seed=SEED,
    )
    return {
        "kind": "check",
        "subject": subject.name,
        "evaluations": check.measured.n_evaluations,
        "criterion": check.verdict.criterion,
        "predicted": _both(check.verdict.predicted),
        "predicted_apart": _both(check.verdict.predicted_apart),
        "granularities": [granularity_line(subject, bound, entry) for entry in check.verdict.granularities],
        "thresholds": {"fixed_on": str(check.verdict.thresholds.fixed_on)},
        "measured": subject.measured,
        "seconds": time.perf_counter() - begun,
    }


def _both(prediction: Prediction | None) -> dict[str, float] | None:
    if prediction is None:
        return None
    return {"loss": prediction.loss.value, "divergence": prediction.divergence.value}


def check_figures(verdict: GranularityVerdict) -> list[Line]:
    """Return the figures that a verdict rests on."""
    return [
        {
            "figure": check.figure,
            "outcome": check.outcome,
            **asdict(check.value),
            "sets": check.sets,
            "too_few_sets": check.too_few_sets,
        }
        for check in verdict.checks
    ]


def granularity_line(subject: Subject, bound: BoundModel, verdict: GranularityVerdict) -> Line:
    """Return a verdict beside the loss of a cut of this granularity alone, by score and by lot."""
    line: Line = {
        "granularity": verdict.granularity,
        "verdict": verdict.verdict,
        "settled": verdict.settled,
        "units": verdict.units,
        "criterion": verdict.criterion,
        "checks": check_figures(verdict),
        "predicted": _both(verdict.predicted),
    }
    if verdict.granularity not in KINDS:
        return line
    kind = KINDS[verdict.granularity]
    criterion = CRITERIA.get(verdict.criterion or DEFAULT_CRITERION)()
    chosen = criterion.score(subject.model, bound, subject.calibration, seed=SEED)
    lots = [
        CRITERIA.get("random")().score(subject.model, bound, (), seed=derive(SEED, "lot", number))
        for number in range(subject.lots)
    ]
    return line | {
        "loss": _loss_of(subject, bound, chosen, kind),
        "by_lot": [_loss_of(subject, bound, scores, kind) for scores in lots],
    }


def _loss_of(subject: Subject, bound: BoundModel, scores: Scores, kind: ScoredKind) -> float:
    """Held-out loss without the checked share of all units of one kind."""
    family, shape = bound.spec.family, bound.shape
    counts = shape.channels_per_layer if kind == "channel" else shape.kv_groups_per_layer
    costs = [unit_parameters(family, shape, layer, kind) for layer in range(shape.n_layers)]
    removed = CHECKED_SHARE * float(np.dot(counts, costs))
    identity = PruningPlan.identity(family, shape)
    plan = rank_cut(scores, identity, parameters(identity) - int(removed), kinds=(kind,))
    return subject.held_out(apply(subject.model, plan))
