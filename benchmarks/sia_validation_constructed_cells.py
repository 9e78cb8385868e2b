"""What is measured of a constructed model: figures and verdicts, and cuts beside lots and known choices."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from sia_validation_cells import check_figures
from sia_validation_constructions import known_best
from sia_validation_models import SEED, Subject

from secateur.core.progress import quiet
from secateur.core.seeds import generator
from secateur.models.binding import BoundModel, bind
from secateur.models.calls import Batch
from secateur.scoring.registered import CRITERIA
from secateur.scoring.scores import Scores
from secateur.sia.components import Component
from secateur.sia.measured.evaluation import Evaluator
from secateur.sia.measured.gating import removed
from secateur.sia.measured.measure import measure
from secateur.sia.measured.measurement import Measured
from secateur.sia.measured.removal_choice import closed_removal
from secateur.sia.structural import Structure, check_structure
from secateur.sia.verdict import GranularityVerdict, judge
from secateur.structure.counting import block_parameters, shape_parameters
from secateur.structure.units import Unit, units

SCORED = ("taylor", "activation", "magnitude")
BESIDE = ("surgeon",)
"""Criteria that the check does not measure, among the choices that may be the best known."""

COMPONENTS: dict[str, Component] = {"heads": "group", "channels": "channel"}
Line = dict[str, Any]


def alone(measured: Measured, criterion: str) -> Measured:
    """Return what is measured as if this criterion were the only one."""
    return replace(
        measured,
        criteria=(criterion,),
        **{
            name: tuple(entry for entry in getattr(measured, name) if entry.criterion == criterion)
            for name in ("rank_stability", "fidelity", "removal_loss")
        },
    )


def lines_of(subject: Subject, construction: str) -> Iterator[Line]:
    """Measure one model: a line for each granularity, criterion and share."""
    begun = time.perf_counter()
    model, bound = subject.model, bind(subject.model)
    structure = check_structure(bound.spec, bound.shape)
    measured = measure(
        model,
        subject.calibration,
        components=tuple(COMPONENTS.values()),
        criteria=SCORED,
        budget_s=float("inf"),
        width=0.05,
        seed=SEED,
        max_evaluations=subject.evaluations,
    )
    cuts = Cuts(subject, construction)
    for criterion in SCORED:
        own = alone(measured, criterion)
        for share in subject.shares:
            verdict = judge(
                structure,
                own,
                shape=bound.shape,
                ratio=ratio_of(bound, share),
                default_criterion=criterion,
            )
            for entry in verdict.granularities:
                component = COMPONENTS.get(entry.granularity)
                if component is None or unchanged(construction, structure, entry.granularity):
                    continue
                yield {
                    "family": subject.name,
                    "construction": construction,
                    "criterion": criterion,
                    "share": share,
                    "dense": subject.dense,
                    "evaluations": measured.n_evaluations,
                    **told(entry, structure),
                    "figures": figures_of(own, component),
                    **cuts.line(component, criterion, share),
                    "seconds": time.perf_counter() - begun,
                }


def ratio_of(bound: BoundModel, share: float) -> float:
    """Return the ratio that takes a share of the parameters of the blocks away."""
    family, shape = bound.spec.family, bound.shape
    whole = shape_parameters(family, shape)
    return whole / (whole - share * block_parameters(family, shape))


def told(entry: GranularityVerdict, structure: Structure) -> Line:
    """Return what the verdict says."""
    return {
        "granularity": entry.granularity,
        "gated": structure.gated,
        "verdict": entry.verdict,
        "settled": entry.settled,
        "checks": check_figures(entry),
    }


def unchanged(construction: str, structure: Structure, granularity: str) -> bool:
    """Whether a construction leaves a granularity as it was trained."""
    return construction == "rescaled" and granularity == "channels" and not structure.gated


def figures_of(measured: Measured, component: Component) -> dict[str, Line]:
    """Return every figure of the check in both objectives, whatever the verdict looks at."""
    found: dict[str, Line] = {}
    for objective in ("loss", "divergence"):
        points = [
            point
            for curve in measured.additivity
            if (curve.component, curve.objective) == (component, objective)
            for point in curve.points
        ]
        found[objective] = {
            "gaps": [asdict(point) for point in points],
            "curve": [
                {"fraction": point.fraction, **asdict(getattr(point, objective))}
                for curve in measured.removal_loss
                if (curve.component, curve.treatment) == (component, "closed")
                for point in curve.points
            ],
            "fidelity": [
                asdict(entry.value)
                for entry in measured.fidelity
                if (entry.component, entry.objective) == (component, objective)
            ],
            "interaction": [
                asdict(entry.normalised) | {"signed": entry.signed.value}
                for entry in measured.interactions
                if (entry.component, entry.objective, entry.place) == (component, objective, "within")
            ],
        }
    return found


class Cuts:
    """Cuts of one model, each judged on calibration and held-out text.

    Parameters
    ----------
    subject : Subject
    construction : str
    """

    def __init__(self, subject: Subject, construction: str) -> None:
        self._subject, self._construction = subject, construction
        self._bound: BoundModel = bind(subject.model)
        self._evaluator = Evaluator(subject.model, subject.calibration)
        self._scores = {name: self._scored(name, subject.calibration) for name in (*SCORED, *BESIDE)}
        self._halves = [
            {name: self._scored(name, (batch,)) for name in SCORED} for batch in subject.calibration
        ]
        self._others: dict[tuple[Component, float], Line] = {}

    def _scored(self, name: str, batches: Sequence[Batch]) -> Scores:
        return CRITERIA.get(name)().score(self._subject.model, self._bound, batches, seed=SEED)

    def line(self, component: Component, criterion: str, share: float) -> Line:
        """Return the costs of one cut and of what it is held against."""
        if (component, share) not in self._others:
            self._others[component, share] = self._without_criterion(component, share)
        others = self._others[component, share]
        return {
            **others,
            **others["by"][criterion],
            "across_halves": self._across_halves(component, criterion, self._counts(component, share)),
            "by": {n: c["loss"] for n, c in others["by"].items()},
        }

    def _across_halves(self, component: Component, criterion: str, counts: Sequence[int]) -> Line:
        """Cost on the half of the calibration blocks that had no part in the scores, mean of both ways."""
        n = self._evaluator.n_samples // 2
        costs = []
        for half, scores in enumerate(self._halves):
            values = np.concatenate(scores[criterion].of(component))
            gone = closed_removal(self._bound.shape, component, values, counts)
            other = slice(n, None) if half == 0 else slice(None, n)
            costs.append(self._evaluator.cost(gone)[:, other].mean(axis=1))
        loss, divergence = np.mean(costs, axis=0)
        return {"loss": float(loss), "divergence": float(divergence)}

    def _without_criterion(self, component: Component, share: float) -> Line:
        counts = self._counts(component, share)
        chosen = {name: self._chosen(component, name, counts) for name in self._scores}
        by = {name: self._cost(component, gone) for name, gone in chosen.items()}
        lots = [
            self._cost(component, self._lot(component, counts, number))
            for number in range(self._subject.lots)
        ]
        known = {**by, **{f"lot {number}": cost for number, cost in enumerate(lots)}}
        if (gone := self._by_theory(component, counts)) is not None:
            known["theory"] = self._cost(component, gone)
        best = min(known, key=lambda name: known[name]["calibration"])
        return {
            "by": by,
            "by_lot": [cost["loss"] for cost in lots],
            "lot_calibration": [cost["calibration"] for cost in lots],
            "lot_divergence": [cost["divergence"] for cost in lots],
            "best": {"name": best, "loss": known[best]["loss"]},
            "theory": known["theory"]["loss"] if "theory" in known else None,
        }

    def _counts(self, component: Component, share: float) -> list[int]:
        shape = self._bound.shape
        whole = shape.kv_groups_per_layer if component == "group" else shape.channels_per_layer
        return [int(share * count) for count in whole]

    def _chosen(self, component: Component, name: str, counts: Sequence[int]) -> tuple[Unit, ...]:
        scores = np.concatenate(self._scores[name].of(component))
        return closed_removal(self._bound.shape, component, scores, counts)

    def _lot(self, component: Component, counts: Sequence[int], number: int) -> tuple[Unit, ...]:
        everything = units(self._bound.shape, component)
        scores = generator(SEED, "lot", component, number).random(len(everything))
        return closed_removal(self._bound.shape, component, scores, counts)

    def _by_theory(self, component: Component, counts: Sequence[int]) -> list[Unit] | None:
        found: list[Unit] = []
        for layer, count in zip(self._bound.layers, counts, strict=True):
            draw = generator(SEED, "theory", component, layer.index)
            chosen = known_best(self._construction, layer, component, count, draw)
            if chosen is None:
                return None
            found += chosen
        return found

    def _cost(self, component: Component, gone: Sequence[Unit]) -> Line:
        increase = self._evaluator.cost(gone)
        with removed(self._bound, gone), quiet():
            loss = self._subject.held_out(self._subject.model)
        calibration, divergence = increase.mean(axis=1)
        return {
            "loss": loss,
            "calibration": float(calibration),
            "divergence": float(divergence),
            "noise": float(np.std(increase[0] - increase[1], ddof=1) / np.sqrt(increase.shape[1])),
        }
