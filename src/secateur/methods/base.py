"""What a compression method is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from torch import nn

from secateur.core.registry import Registry
from secateur.methods.cost import Cost
from secateur.methods.records import StageRecord
from secateur.models.binding import bind
from secateur.models.compact.change import WeightChange
from secateur.recovery.settings import StudentSettings
from secateur.structure.budget import Budget
from secateur.structure.counting import parameters, shape_parameters
from secateur.structure.plan import PruningPlan
from secateur.tasks.base import Task

Change = PruningPlan | WeightChange
"""What a method did, as data: units removed, or weights in a compact form (mask, bits, factors)."""

Changes = Literal["units", "weights"]


@dataclass(frozen=True, kw_only=True)
class Compression:
    """A compressed model and how it came about.

    Parameters
    ----------
    method : str
        Name of the method.
    model : nn.Module
        The small model, in evaluation mode.
    change : PruningPlan or WeightChange
        What was done to the dense model: the units that stay, in its indices, or its compact weights.
    cost : Cost
        Before and after, in the unit of the budget.
    records : tuple of StageRecord
        One for each stage; empty if nothing had to be removed.
    stopped_by_floor : bool
        Whether a floor made it go back to an earlier stage, so that the budget is not met.
    reason : str or None
        Why it stopped early.
    """

    method: str
    model: nn.Module
    change: Change
    cost: Cost
    records: tuple[StageRecord, ...]
    stopped_by_floor: bool = False
    reason: str | None = None

    @classmethod
    def by_plan(
        cls,
        *,
        method: str,
        model: nn.Module,
        plan: PruningPlan,
        records: tuple[StageRecord, ...],
        stopped_by_floor: bool = False,
        reason: str | None = None,
    ) -> Compression:
        """Return what removing units came to."""
        dense, remaining = shape_parameters(plan.family, plan.shape), parameters(plan)
        return cls(
            method=method,
            model=model,
            change=plan,
            cost=Cost(unit="parameters", dense=dense, remaining=remaining),
            records=records,
            stopped_by_floor=stopped_by_floor,
            reason=reason,
        )

    @property
    def plan(self) -> PruningPlan:
        """The units that stay; all of them where weights were changed."""
        return self.change if isinstance(self.change, PruningPlan) else bind(self.model).whole_plan

    @property
    def weights(self) -> WeightChange | None:
        """The compact weights; None where units were removed."""
        return self.change if isinstance(self.change, WeightChange) else None

    @property
    def samples_seen(self) -> int:
        """Training samples drawn in all stages, with repetition."""
        return sum(record.samples_seen for record in self.records)


class Method(Protocol):
    """One way to compress.

    Attributes
    ----------
    name : str
    keeps_weights : bool
        Whether the small model starts from the dense one's weights.
    changes : {"units", "weights"}
        Whether units are removed, or the shapes stay and weights get a compact form.
    """

    name: ClassVar[str]
    keeps_weights: ClassVar[bool]
    changes: ClassVar[Changes]

    def compress(
        self,
        model: nn.Module,
        task: Task,
        budget: Budget | None,
        recovery: StudentSettings | None,
        out: Path | None = None,
    ) -> Compression:
        """Compress ``model``, which is left as it is.

        Parameters
        ----------
        model : nn.Module
            The dense model.
        task : Task
            Data and seed.
        budget : Budget or None
            What may remain; None only where the settings say it otherwise, as an allocation by hand does.
        recovery : StudentSettings or None
            Gradient recovery; its ``max_steps`` is the total over all stages. None for none.
        out : Path, optional
            Folder in which finished stages are kept, so that a killed run goes on from the last one.

        Raises
        ------
        PlanError
            If the budget cannot be reached; the message names the largest ratio that can.
        """


METHODS: Registry[type[Method]] = Registry("method")
