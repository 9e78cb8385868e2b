"""All shipped criteria, registered."""

from __future__ import annotations

from secateur.scoring.criteria import activation, magnitude, random, taylor
from secateur.scoring.scores import CRITERIA

DEFAULT_CRITERION = "taylor"

__all__ = ["CRITERIA", "DEFAULT_CRITERION", "activation", "magnitude", "random", "taylor"]
