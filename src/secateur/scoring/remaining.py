"""What is left of a plan while units are taken out of it, with a running count of parameters."""

from __future__ import annotations

from typing import Literal

from secateur.scoring.scores import Scores
from secateur.structure.counting import head_parameters, parameters, unit_parameters
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.structure.spec import WidthKind

Kind = WidthKind | Literal["head"]


class Remaining:
    """The units that stay.

    Parameters
    ----------
    start : PruningPlan
        What there is.
    scores : Scores
        They tell which head of a group is its least important one.

    Attributes
    ----------
    total : int
        Parameters of the whole model that is left.
    """

    def __init__(self, start: PruningPlan, scores: Scores) -> None:
        self.start = start
        self.total = parameters(start)
        self._layers = {layer.index: _RemainingLayer(start, layer, scores) for layer in start.layers}

    def remove(self, kind: Kind, layer: int, index: int) -> None:
        """Take a unit out, unless it is the last of its kind in the layer.

        Parameters
        ----------
        kind : {"group", "head", "cross_group", "channel"}
            A head is taken out of every group that is left, the least important one of each.
        layer, index : int
            Which one; for heads the index does not matter.
        """
        self.total -= self._layers[layer].remove(kind, index)

    def plan(self) -> PruningPlan:
        """Return what is left as a plan."""
        plan = self.start
        for index, layer in self._layers.items():
            plan = plan.with_groups(index, layer.units["group"])
            plan = plan.with_heads(index, (layer.heads[group] for group in sorted(layer.units["group"])))
            plan = plan.with_channels(index, layer.units["channel"])
            if layer.units["cross_group"]:
                plan = plan.with_cross_groups(index, layer.units["cross_group"])
        return plan


class _RemainingLayer:
    def __init__(self, start: PruningPlan, layer: LayerPlan, scores: Scores) -> None:
        self.units: dict[WidthKind, set[int]] = {
            "group": set(layer.groups),
            "cross_group": set(layer.cross_groups),
            "channel": set(layer.channels),
        }
        sharing = start.shape.heads_per_group(layer.index)
        values = scores.heads[layer.index] if scores.heads else None

        def worst_first(group: int, heads: tuple[int, ...]) -> list[int]:
            return sorted(heads, key=lambda head: 0.0 if values is None else values[group * sharing + head])

        self.heads = {
            group: worst_first(group, layer.heads_of(position, sharing))
            for position, group in enumerate(layer.groups)
        }
        self._cost = {
            kind: unit_parameters(start.family, start.shape, layer.index, kind) if units else 0
            for kind, units in self.units.items()
        }
        self._cost_of_head = head_parameters(start.family, start.shape, layer.index)
        # keys and values alone, without the queries that read them
        self._cost["group"] -= sharing * self._cost_of_head

    @property
    def heads_per_group(self) -> int:
        return len(self.heads[next(iter(self.units["group"]))])

    def remove(self, kind: Kind, index: int) -> int:
        """Return the parameters that went."""
        if kind == "head":
            if self.heads_per_group < 2:
                return 0
            for group in self.units["group"]:
                del self.heads[group][0]
            return len(self.units["group"]) * self._cost_of_head
        members = self.units[kind]
        if len(members) < 2:
            return 0
        freed = self._cost[kind]
        if kind == "group":
            freed += len(self.heads[index]) * self._cost_of_head
        members.remove(index)
        return freed
