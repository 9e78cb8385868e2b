"""Scores of importance, and what a criterion is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from torch import nn

from secateur.core.registry import Registry
from secateur.models.binding import BoundModel
from secateur.scoring.calibration import Batch


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Importance of every group and channel of a model; higher matters more.

    Parameters
    ----------
    groups : tuple of ndarray of float64
        One array a layer, of shape (KV groups,); heads where no key or value is shared.
    channels : tuple of ndarray of float64
        One array a layer, of shape (channels,).
    comparable : bool
        Whether a group's number means the same as a channel's (an estimated loss). If not, only numbers
        of one kind are compared and allocation gives each kind its own scale.
    """

    groups: tuple[np.ndarray, ...]
    channels: tuple[np.ndarray, ...]
    comparable: bool

    def of(self, kind: Literal["group", "channel"]) -> tuple[np.ndarray, ...]:
        """Return the arrays of one kind of unit."""
        return self.groups if kind == "group" else self.channels


class Criterion(Protocol):
    """How units are scored.

    ``needs`` says what of the model is looked at: nothing, its weights, activations, or gradients too.
    """

    needs: ClassVar[Literal["nothing", "weights", "activations", "gradients"]]

    def score(self, model: nn.Module, bound: BoundModel, batches: Iterable[Batch], *, seed: int) -> Scores:
        """Score every group and channel of ``model``, of which ``bound`` is the binding."""


CRITERIA: Registry[Criterion] = Registry("criterion")
