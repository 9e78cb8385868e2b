"""Channel widths rounded to multiples that hardware likes, without leaving the budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from secateur.scoring.scores import Scores
from secateur.structure.counting import channel_parameters, parameters
from secateur.structure.plan import PruningPlan

MULTIPLES = (64, 32, 16, 8, 1)


def multiples_to_try(mean_width: float, multiple: int | None) -> tuple[int, ...]:
    """Return the multiples to try, the preferred first, 1 last.

    Parameters
    ----------
    mean_width : float
        Mean number of channels a layer that the budget leaves.
    multiple : int or None
        The preferred one; None for the largest of 64, 32, 16, 8 that is at most a quarter of the mean
        width, so that rounding moves no width far.
    """
    if multiple is None:
        return tuple(entry for entry in MULTIPLES if entry == 1 or entry * 4 <= mean_width)
    return (multiple, *(entry for entry in MULTIPLES if entry < multiple))


def round_channels(
    cut: PruningPlan,
    scores: Scores,
    start: PruningPlan,
    target_parameters: int,
    *,
    multiple: int | None,
) -> PruningPlan:
    """Round the channels of ``cut`` and use up what is left of the budget, the best channels first.

    Parameters
    ----------
    cut : PruningPlan
        A plan within the budget, of the best channels of each layer.
    scores : Scores
        Importance of the units of the model of ``start.shape``.
    start : PruningPlan
        What there was to cut; a layer may keep its whole width whatever that is.
    target_parameters : int
        Not exceeded.
    multiple : int or None
        See :func:`multiples_to_try`.
    """
    widths = {layer.index: len(layer.channels) for layer in cut.layers}
    for step in multiples_to_try(float(np.mean(list(widths.values()))), multiple):
        rounded = _Widths(cut, scores, start, step)
        if rounded.shrink_to(target_parameters):
            rounded.grow_to(target_parameters)
            return rounded.plan()
    raise AssertionError("widths rounded to 1 are within the budget as they came")


def _best_first(channels: Sequence[int], values: np.ndarray) -> list[int]:
    return sorted(channels, key=lambda index: (-values[index], index))


class _Widths:
    """Channels a layer, moved in steps of ``step``; the kept ones are always the best of their layer."""

    def __init__(self, cut: PruningPlan, scores: Scores, start: PruningPlan, step: int) -> None:
        self.cut, self.step = cut, step
        self.cost = channel_parameters(start.family, start.shape)
        self.values = {layer.index: scores.channels[layer.index] for layer in start.layers}
        self.best_first = {
            layer.index: _best_first(layer.channels, self.values[layer.index]) for layer in start.layers
        }
        former = {layer.index: len(layer.channels) for layer in cut.layers}
        self.width = {layer: self._nearest(layer, width) for layer, width in former.items()}
        change = sum((self.width[layer] - width) * self.cost for layer, width in former.items())
        self.total = parameters(cut) + change

    def shrink_to(self, target: int) -> bool:
        """Drop the steps that matter least until the target is met; False if it cannot be."""
        while self.total > target:
            layers = [layer for layer in self.width if self._below(layer) > 0]
            if not layers:
                return False
            worst = min(layers, key=lambda layer: (self._density(layer, self._below(layer)), layer))
            self._move(worst, self._below(worst))
        return True

    def grow_to(self, target: int) -> None:
        """Add the steps that matter most as long as one fits."""
        while True:
            layers = [
                layer
                for layer in self.width
                if self._above(layer) > self.width[layer]
                and self.total + (self._above(layer) - self.width[layer]) * self.cost <= target
            ]
            if not layers:
                return
            best = max(layers, key=lambda layer: (self._density(layer, self._above(layer)), -layer))
            self._move(best, self._above(best))

    def plan(self) -> PruningPlan:
        """Return the cut with these widths."""
        plan = self.cut
        for layer, width in self.width.items():
            plan = plan.with_channels(layer, self.best_first[layer][:width])
        return plan

    def _nearest(self, layer: int, width: int) -> int:
        whole = len(self.best_first[layer])
        if width == whole or whole <= self.step:
            return whole
        rounded = max(self.step, int(width / self.step + 0.5) * self.step)
        return min(rounded, whole)

    def _below(self, layer: int) -> int:
        """Next smaller allowed width, 0 if there is none."""
        return (self.width[layer] - 1) // self.step * self.step

    def _above(self, layer: int) -> int:
        """Next larger allowed width, the present one if there is none."""
        return min((self.width[layer] // self.step + 1) * self.step, len(self.best_first[layer]))

    def _move(self, layer: int, width: int) -> None:
        self.total += (width - self.width[layer]) * self.cost
        self.width[layer] = width

    def _density(self, layer: int, other: int) -> float:
        low, high = sorted((self.width[layer], other))
        between = self.best_first[layer][low:high]
        return float(np.sum(self.values[layer][between])) / len(between)
