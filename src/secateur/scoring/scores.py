"""Scores of importance, and what a criterion is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from torch import nn

from secateur.core.registry import Registry
from secateur.models.binding import BoundModel
from secateur.models.calls import Batch

ScoredKind = Literal["group", "head", "cross_group", "channel"]
SCORED_KINDS: tuple[ScoredKind, ...] = ("group", "head", "cross_group", "channel")
_FIELDS: dict[ScoredKind, str] = {kind: f"{kind}s" for kind in SCORED_KINDS}


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Importance of every unit inside the layers of a model; higher matters more.

    Parameters
    ----------
    groups : tuple of ndarray of float64
        One array a layer, of shape (KV groups,); heads where no key or value is shared.
    channels : tuple of ndarray of float64
        One array a layer, of shape (channels,).
    comparable : bool
        Whether a number means the same for every kind of unit and in every layer (an estimated loss). If
        not, only numbers of one kind in one layer are compared.
    heads : tuple of ndarray of float64
        One array a layer, of shape (query heads,), group after group.
    cross_groups : tuple of ndarray of float64
        One array a layer, of shape (groups,) of its attention over an encoder, empty where it has none.
    """

    groups: tuple[np.ndarray, ...]
    channels: tuple[np.ndarray, ...]
    comparable: bool
    heads: tuple[np.ndarray, ...] = ()
    cross_groups: tuple[np.ndarray, ...] = ()

    def of(self, kind: ScoredKind) -> tuple[np.ndarray, ...]:
        """Return the arrays of one kind of unit."""
        return getattr(self, _FIELDS[kind])

    def across_layers(self) -> Scores:
        """Return scores by which units of one kind can be ranked through all layers.

        Scores that are not comparable become places in the layer, between 0 and 1, so that all layers are cut
        alike: a number that means nothing beside one of another layer cannot say which should lose more.
        """
        if self.comparable:
            return self

        def ranked(values: np.ndarray) -> np.ndarray:
            return (values.argsort(kind="stable").argsort(kind="stable") + 0.5) / max(len(values), 1)

        found: dict[str, Any] = {name: tuple(map(ranked, self.of(kind))) for kind, name in _FIELDS.items()}
        return replace(self, **found)

    @classmethod
    def gathered(
        cls, score: Callable[[ScoredKind, int], np.ndarray], n_layers: int, *, comparable: bool
    ) -> Scores:
        """Ask ``score(kind, layer)`` for every array."""
        found = {kind: tuple(score(kind, layer) for layer in range(n_layers)) for kind in SCORED_KINDS}
        return cls(
            groups=found["group"],
            heads=found["head"],
            cross_groups=found["cross_group"],
            channels=found["channel"],
            comparable=comparable,
        )


Needs = Literal["nothing", "weights", "activations", "gradients"]


class Criterion(Protocol):
    """How units are scored.

    ``needs`` says what of the model is looked at: nothing, its weights, activations, or gradients too.
    """

    needs: ClassVar[Needs]

    def score(self, model: nn.Module, bound: BoundModel, batches: Iterable[Batch], *, seed: int) -> Scores:
        """Score every unit inside the layers of ``model``, of which ``bound`` is the binding."""


CRITERIA: Registry[type[Criterion]] = Registry("criterion")
