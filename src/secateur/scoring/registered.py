"""All shipped criteria, registered."""

from __future__ import annotations

from secateur.scoring.criteria import activation, magnitude, random, surgeon, taylor
from secateur.scoring.scores import CRITERIA

DEFAULT_CRITERION = "taylor"
TEXT_CRITERION = "surgeon"
"""Of models of text."""

__all__ = [
    "CRITERIA",
    "DEFAULT_CRITERION",
    "TEXT_CRITERION",
    "activation",
    "magnitude",
    "random",
    "surgeon",
    "taylor",
]
