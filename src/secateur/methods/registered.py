"""All shipped methods, registered."""

from __future__ import annotations

from secateur.methods import cascade, int4, magnitude, one_shot, rounds, scratch, svd
from secateur.methods.base import METHODS

__all__ = ["METHODS", "cascade", "int4", "magnitude", "one_shot", "rounds", "scratch", "svd"]
