"""All shipped criteria, registered."""

from __future__ import annotations

from collections.abc import Collection

from secateur.scoring.criteria import activation, magnitude, random, surgeon, taylor
from secateur.scoring.scores import CRITERIA, Criterion, ScoredKind
from secateur.tasks.objective import Objective

DEFAULT_CRITERION = "taylor"
TEXT_CRITERION = "surgeon"
"""Of models of text."""


def criterion_for(name: str, objective: Objective, kinds: Collection[ScoredKind]) -> Criterion:
    """Return a criterion by which units of these kinds of a model can be ranked together.

    In models of text, Taylor's gates on whole groups let the terms of their dimensions cancel. The surgeon
    weighs heads together with the groups that they are in.
    """
    if name == "taylor" and objective.rounds and len(kinds) > 1:
        return taylor.Taylor(gates="dimension")
    if name == "surgeon":
        return surgeon.Surgeon(kinds)
    return CRITERIA.get(name)()


__all__ = [
    "CRITERIA",
    "DEFAULT_CRITERION",
    "TEXT_CRITERION",
    "activation",
    "criterion_for",
    "magnitude",
    "random",
    "surgeon",
    "taylor",
]
