"""What the passes of a streaming cut over the blocks have in common."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.blockwise.samples import Samples
from secateur.structure.plan import PruningPlan
from secateur.structure.shape import ModelShape
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.streaming.memory import Layout
from secateur.workflow.streaming.progress import Progress
from secateur.workflow.streaming.source import StreamedModel


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that the passes over the blocks share.

    Attributes
    ----------
    model : StreamedModel
    cut : CutSettings
    done : Progress
    layout : Layout
    scoring : Samples or None
        None where units are scored by their weights, or by the text that is re-fitted on.
    fitting : Samples or None
        None without calibration.
    dense : ModelShape
        Shape of the model before the cut.
    identity : PruningPlan
        The plan that keeps everything.
    target : int
        Parameters that may remain.
    """

    model: StreamedModel
    cut: CutSettings
    done: Progress
    layout: Layout
    scoring: Samples | None
    fitting: Samples | None
    dense: ModelShape
    identity: PruningPlan
    target: int

    @property
    def by_activation(self) -> bool:
        """Whether units are scored by what they do to a text."""
        return self.cut.criterion == "activation"
