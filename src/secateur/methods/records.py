"""What is written down of every stage."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from secateur.structure.plan import PruningPlan
from secateur.tasks.figures import Figures


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """One stage of a method.

    Parameters
    ----------
    method, stage : str
        Such as "cascade" and "groups".
    number : int
        From 1.
    target_parameters : int or None
        What the stage was to come down to; None if the counts were given by hand.
    removed_layers : tuple of int
        Layers that this stage removed, as dense indices.
    removed_groups, removed_heads, removed_channels : int
        Units that this stage removed from the layers that stayed; query heads inside the groups that stayed.
    kept : tuple of dict
        What stays after it: dense ``index``, number of ``groups`` and of ``channels`` a layer.
    before, after_cut, after_refit, after_recovery : Figures
        Validation figures of the task from the stage's start to its end.
    recovery_steps : int
        Steps that were taken.
    samples_seen : int
        Training samples drawn, with repetition.
    refit : dict
        What the least-squares re-fit reports; empty if there was none.
    decisions : dict
        How the cut was chosen: layer ranking, probed depths.
    accepted : bool
        False if a floor was broken and the stage was undone.
    seconds : float
        Wall time.
    """

    method: str
    stage: str
    number: int
    target_parameters: int | None
    removed_layers: tuple[int, ...]
    removed_groups: int
    removed_channels: int
    kept: tuple[dict[str, int], ...]
    before: Figures
    after_cut: Figures
    after_refit: Figures
    after_recovery: Figures
    recovery_steps: int
    samples_seen: int
    refit: dict[str, Any]
    decisions: dict[str, Any]
    accepted: bool
    seconds: float
    removed_heads: int = 0

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> StageRecord:
        """Read a record back from its JSON form."""
        figures = {f.name: Figures.from_json(value[f.name]) for f in fields(cls) if f.type == "Figures"}
        return cls(
            **{
                **value,
                **figures,
                "removed_layers": tuple(value["removed_layers"]),
                "kept": tuple(value["kept"]),
            }
        )


def what_was_cut(former: PruningPlan, plan: PruningPlan) -> dict[str, Any]:
    """Return the fields of a record that tell the difference between two plans of one dense model."""
    before = {layer.index: layer for layer in former.layers}
    return {
        "removed_layers": tuple(sorted(set(before) - {layer.index for layer in plan.layers})),
        "removed_groups": sum(len(before[layer.index].groups) - len(layer.groups) for layer in plan.layers),
        "removed_heads": sum(
            len(layer.groups) * (former.heads_per_group(before[layer.index]) - plan.heads_per_group(layer))
            for layer in plan.layers
        ),
        "removed_channels": sum(
            len(before[layer.index].channels) - len(layer.channels) for layer in plan.layers
        ),
        "kept": tuple(
            {"index": layer.index, "groups": len(layer.groups), "channels": len(layer.channels)}
            for layer in plan.layers
        ),
    }
