"""All shipped methods, registered."""

from __future__ import annotations

from secateur.methods import cascade, one_shot, rounds, scratch
from secateur.methods.base import METHODS

__all__ = ["METHODS", "cascade", "one_shot", "rounds", "scratch"]
