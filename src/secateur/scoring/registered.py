"""All shipped criteria, registered."""

from __future__ import annotations

from collections.abc import Collection

from secateur.scoring.criteria import activation, magnitude, random, surgeon, taylor
from secateur.scoring.scores import CRITERIA, Criterion, ScoredKind

DEFAULT_CRITERION = "taylor"
TEXT_CRITERION = "surgeon"
"""Of models of text."""


def criterion_of_text(name: str, kinds: Collection[ScoredKind]) -> Criterion:
    """Return a criterion by which units of these kinds of a model of text can be ranked together."""
    if name == "taylor" and len(kinds) > 1:
        return taylor.Taylor(gates="dimension")
    return CRITERIA.get(name)()


__all__ = [
    "CRITERIA",
    "DEFAULT_CRITERION",
    "TEXT_CRITERION",
    "activation",
    "criterion_of_text",
    "magnitude",
    "random",
    "surgeon",
    "taylor",
]
