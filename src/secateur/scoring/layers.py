"""How much whole layers matter: the exact loss of skipping them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from torch import nn

from secateur.core.errors import PlanError
from secateur.core.progress import progress
from secateur.models.binding import BoundModel
from secateur.models.calls import Batch
from secateur.models.resuming import Streams
from secateur.models.skipping import skipped
from secateur.scoring.objective import sample_losses
from secateur.tasks.objective import Reference


@dataclass(frozen=True, kw_only=True)
class LayerRanking:
    """Layers in the order in which they are given up.

    Parameters
    ----------
    order : tuple of int
        Positions of the removed layers, the least harmful first.
    losses : tuple of float
        Mean loss a sample with the first 0, 1, 2, ... of them removed; one more than ``order``.
    single_increases : tuple of float
        Increase in mean loss when each layer, by position, is removed alone.
    """

    order: tuple[int, ...]
    losses: tuple[float, ...]
    single_increases: tuple[float, ...]


def rank_layers(
    model: nn.Module,
    bound: BoundModel,
    batches: Sequence[Batch],
    references: Sequence[Reference] | None = None,
    *,
    n_removed: int,
    candidates: int | None = None,
) -> LayerRanking:
    """Remove the least harmful layer, measure the rest again, and so on.

    A pass without a layer begins at that layer, on the stream that those in front of it give.

    Parameters
    ----------
    model : nn.Module
    bound : BoundModel
        Its binding.
    batches : sequence of dict
        Calibration batches.
    references : sequence of Reference, optional
        Of the dense model; adds the divergence from it to the loss.
    n_removed : int
        How many layers to give up; at least one layer stays.
    candidates : int, optional
        Measure again only as many layers, those that cost least when they were measured last. A layer that
        was costly seldom becomes the cheapest when another has left, and passes of large models take long.

    Returns
    -------
    LayerRanking
    """
    n_layers = len(bound.layers)
    if not 0 <= n_removed < n_layers:
        raise PlanError(f"{n_removed} layers were to be removed of {n_layers}; allowed: 0 to {n_layers - 1}.")
    order: list[int] = []
    losses: list[float] = []
    single: tuple[float, ...] = ()
    most = n_layers if candidates is None else candidates
    total = n_layers + sum(min(most, n_layers - gone) for gone in range(1, n_removed))
    last = dict.fromkeys(range(n_layers), 0.0)
    with progress("measuring layers", total) as bar:
        while not single or len(order) < n_removed:
            remaining = sorted(set(last) - set(order), key=lambda position: (last[position], position))
            found = {}
            with skipped(bound, order):
                passes = _Passes(model, bound, batches, references)
                for position in sorted(remaining[: most if single else n_layers]):
                    found[position] = passes.loss_without(position)
                    bar.advance()
            last |= found
            if not single:
                losses.append(passes.whole)
                single = tuple(found[position] - passes.whole for position in range(n_layers))
            if len(order) < n_removed:
                best = min(found, key=found.__getitem__)
                order.append(best)
                losses.append(found[best])
    return LayerRanking(order=tuple(order), losses=tuple(losses), single_increases=single)


class _Passes:
    """Passes of a model that differ in one layer; those of a single stack begin at that layer."""

    def __init__(
        self,
        model: nn.Module,
        bound: BoundModel,
        batches: Sequence[Batch],
        references: Sequence[Reference] | None,
    ) -> None:
        self.model, self.bound, self.batches, self.references = model, bound, batches, references
        self.streams = Streams(bound) if len(bound.spec.stacks) == 1 else None
        self.whole = self._loss(self._recorded())

    def loss_without(self, position: int) -> float:
        """Return the mean loss of a sample without one layer."""
        with skipped(self.bound, (position,)):
            if self.streams is None:
                return self._loss(self.batches)
            with self.streams.resumed(position) as choose:
                return self._loss(self._chosen(choose))

    def _loss(self, batches: Iterable[Batch]) -> float:
        return float(sample_losses(self.model, batches, self.references).mean())

    def _recorded(self) -> Iterator[Batch]:
        for batch in self.batches:
            with nullcontext() if self.streams is None else self.streams.recording(len(self.batches)):
                yield batch

    def _chosen(self, choose: Callable[[int], None]) -> Iterator[Batch]:
        for number, batch in enumerate(self.batches):
            choose(number)
            yield batch
