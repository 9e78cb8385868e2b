"""A measured part made by hand, for tests of what is built on it."""

from __future__ import annotations

from typing import Any

from secateur.core.provenance import provenance
from secateur.core.records import to_jsonable
from secateur.sia.measured.measurement import (
    AdditivityCurve,
    Agreement,
    Estimate,
    Fidelity,
    GapPoint,
    Interaction,
    InteractionMap,
    Measured,
    RankStability,
    RemovalCurve,
    RemovalPoint,
)
from secateur.sia.structural import check_structure
from secateur.sia.verdict import judge
from secateur.structure.shape import ModelShape
from secateur.structure.spec import load_spec

UNITS = ("layer", "group", "channel")


def estimate(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def gap(component, fraction, value) -> AdditivityCurve:
    point = GapPoint(
        size=round(16 * fraction),
        fraction=fraction,
        gap=value,
        joint=estimate(0.2, 0.05),
        summed=estimate(0.15, 0.05),
        n_subsets=8,
    )
    return AdditivityCurve(component=component, objective="divergence", points=(point,))


def interaction(component, value, place=None) -> Interaction:
    return Interaction(
        component=component,
        objective="divergence",
        place=place or ("across" if component == "layer" else "within"),
        mean=estimate(0.01, 0.005),
        normalised=value,
        signed=value,
        n_pairs=12,
    )


def stability(component, criterion, halves, ceiling) -> RankStability:
    return RankStability(
        component=component,
        criterion=criterion,
        removed_fraction=0.25,
        value=halves,
        across_halves=halves,
        noise_ceiling=estimate(ceiling, 0.02),
        n_removals=6,
    )


def fidelity(component, criterion, value) -> Fidelity:
    return Fidelity(
        component=component,
        criterion=criterion,
        objective="divergence",
        value=value,
        within_layers=value,
        n_units=16,
    )


def removal(component, criterion, points, *, width, treatment="closed") -> RemovalCurve:
    return RemovalCurve(
        component=component,
        criterion=criterion,
        treatment=treatment,
        score_name="accuracy",
        dense_score=0.96,
        points=tuple(
            RemovalPoint(
                fraction=fraction,
                parameters=0.6 * fraction,
                loss=estimate(loss, width),
                divergence=estimate(1.1 * loss, width),
                score=estimate(score, width),
            )
            for fraction, loss, score in points
        ),
    )


CLOSED_POINTS = ((0.25, 0.01, 0.955), (0.5, 0.05, 0.94), (0.75, 0.4, 0.8), (0.9, 1.1, 0.5))
APART_POINTS = ((0.25, 1.2, 0.4), (0.5, 2.1, 0.2), (0.75, 2.6, 0.12), (0.9, 2.9, 0.1))


def apart(component="matrix") -> RemovalCurve:
    return removal(component, "taylor", APART_POINTS, width=0.05, treatment="apart")


def interaction_map(component, layers: int = 4) -> InteractionMap:
    rows = tuple(tuple(0.3 / (1 + abs(row - column)) for column in range(layers)) for row in range(layers))
    return InteractionMap(
        component=component,
        objective="divergence",
        normalised=rows,
        signed=tuple(
            tuple((-1) ** (i + j) * value for j, value in enumerate(row)) for i, row in enumerate(rows)
        ),
        n_pairs=tuple((5,) * layers for _ in range(layers)),
    )


def made() -> Measured:
    """Figures within every limit."""
    return Measured(
        task="classification",
        components=("layer", "group", "head", "channel", "matrix"),
        criteria=("taylor", "activation", "magnitude"),
        additivity=tuple(gap(entry, 0.2, estimate(0.2, 0.05)) for entry in UNITS),
        interactions=tuple(
            interaction(entry, estimate(0.1, 0.03), place)
            for entry in UNITS
            for place in ("within", "across")
        ),
        interaction_maps=tuple(interaction_map(entry) for entry in UNITS),
        rank_stability=(
            stability("layer", "removal", estimate(0.9, 0.05), ceiling=0.95),
            stability("group", "taylor", estimate(0.85, 0.05), ceiling=0.95),
            stability("channel", "taylor", estimate(0.8, 0.05), ceiling=0.9),
        ),
        fidelity=tuple(
            fidelity(component, criterion, estimate(value, 0.1))
            for component in ("group", "channel")
            for criterion, value in (("taylor", 0.85), ("activation", 0.75), ("magnitude", 0.4))
        ),
        agreement=(
            Agreement(
                component="channel",
                roles=("gate", "up", "down"),
                criterion="magnitude",
                kept_fraction=0.5,
                value=estimate(0.4, 0.05),
                by_layer=(estimate(0.4, 0.05),) * 4,
                by_pair={"gate-up": estimate(0.4, 0.05)},
                chance=1 / 3,
            ),
        ),
        removal_loss=(
            removal("layer", "removal", ((0.5, 0.2, 0.9),), width=0.05),
            removal("group", "taylor", CLOSED_POINTS, width=0.03),
            removal("channel", "taylor", CLOSED_POINTS, width=0.03),
            apart(),
            apart("head"),
        ),
        n_samples=64,
        n_evaluations=300,
        seconds=12.0,
        reached_width=0.2,
        wanted_width=0.1,
        ended_by="budget",
        seed=0,
    )


def made_check(measured: Measured | None = None, *, ratio: float | None = 2.5) -> dict[str, Any]:
    """A check of a model with shared keys and a gate, as in ``sia.json``."""
    shape = ModelShape(
        n_layers=4,
        hidden=32,
        head_dim=4,
        heads_per_layer=(8,) * 4,
        kv_groups_per_layer=(2,) * 4,
        channels_per_layer=(64,) * 4,
        other_parameters=4000,
    )
    structure = check_structure(load_spec("llama"), shape)
    verdict = judge(structure, measured, shape=shape, ratio=ratio, default_criterion="taylor", chance=0.1)
    return to_jsonable(
        {
            "model": "a model",
            "shape": shape,
            "structure": structure,
            "measured": measured,
            "verdict": verdict,
            "samples": None,
            "effort": None,
            "provenance": provenance(seed=0),
        }
    )
