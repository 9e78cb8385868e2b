"""What a compression method is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from secateur.core.registry import Registry
from secateur.methods.records import StageRecord
from secateur.recovery.settings import StudentSettings
from secateur.structure.budget import Budget
from secateur.structure.plan import PruningPlan
from secateur.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class Compression:
    """A compressed model and how it came about.

    Parameters
    ----------
    method : str
        Name of the method.
    model : nn.Module
        The small model, in evaluation mode.
    plan : PruningPlan
        What it keeps, in indices of the dense model.
    records : tuple of StageRecord
        One for each stage; empty if nothing had to be removed.
    stopped_by_floor : bool
        Whether a floor made it go back to an earlier stage, so that the budget is not met.
    reason : str or None
        Why it stopped early.
    """

    method: str
    model: nn.Module
    plan: PruningPlan
    records: tuple[StageRecord, ...]
    stopped_by_floor: bool = False
    reason: str | None = None

    @property
    def samples_seen(self) -> int:
        """Training samples drawn in all stages, with repetition."""
        return sum(record.samples_seen for record in self.records)


class Method(Protocol):
    """One way to compress.

    ``keeps_weights`` says whether the small model starts from the dense one's weights.
    """

    name: str
    keeps_weights: bool

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
