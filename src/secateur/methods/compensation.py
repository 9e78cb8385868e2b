"""What a removed layer did on average, folded into the bias of the layer before it, where that helps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from secateur.models.binding import BoundModel, bind
from secateur.models.calls import Batch, run
from secateur.models.frozen import frozen
from secateur.scoring.objective import sample_losses
from secateur.structure.plan import PruningPlan
from secateur.tasks.objective import Reference


@dataclass(frozen=True, kw_only=True)
class Compensated:
    """A model with or without the means of its removed layers.

    Attributes
    ----------
    model : nn.Module
    record : dict
        ``layers`` whose means could be folded in, mean ``loss_without`` and ``loss_with`` them on the
        calibration samples, and whether the latter was ``adopted``.
    """

    model: nn.Module
    record: dict[str, Any]


def compensated(
    former: nn.Module,
    cut: nn.Module,
    relative: PruningPlan,
    batches: Sequence[Batch],
    references: Sequence[Reference],
) -> Compensated:
    """Add to the layer before each removed one the mean of what that one added to the residual stream.

    The mean goes into the bias of the FFN's output projection, so that nothing remains to be computed. Where
    no layer is before it, or one without such a bias, nothing is added: the least-squares re-fit that follows
    makes good what it can. The better of the two models on the calibration samples is taken.

    Parameters
    ----------
    former, cut : nn.Module
        The model before and after the cut; both are left as they are.
    relative : PruningPlan
        The cut, in indices of ``former``.
    batches : sequence of dict
    references : sequence of Reference
        Of the dense model on them.

    References
    ----------
    Compare the compensation of magnitudes in Chen et al., "Prune&Comp: Free Lunch for Layer-Pruned LLMs via
    Iterative Pruning with Magnitude Compensation", arXiv 2507.18212, 2025.
    """
    homes = _homes(bind(former), relative)
    record: dict[str, Any] = {"layers": sorted(homes), "adopted": False}
    if not homes:
        return Compensated(model=cut, record=record)
    means = mean_updates(former, sorted(homes), batches)
    trial = deepcopy(cut)
    with torch.no_grad():
        for removed, home in homes.items():
            bias = bind(trial).layers[home].output("channel").get_parameter("bias")
            bias.add_(means[removed].to(bias))
    without, with_means = (float(sample_losses(model, batches, references).mean()) for model in (cut, trial))
    better = with_means < without
    record |= {"loss_without": without, "loss_with": with_means, "adopted": better}
    return Compensated(model=trial if better else cut, record=record)


def _homes(bound: BoundModel, relative: PruningPlan) -> dict[int, int]:
    """Return for each removed layer the position, after the cut, of the layer that can take its mean."""
    kept = [layer.index for layer in relative.layers]
    homes = {}
    for removed in relative.removed_layers:
        before = [position for position, index in enumerate(kept) if index < removed]
        if before and bound.layers[kept[before[-1]]].output("channel").bias is not None:
            homes[removed] = before[-1]
    return homes


@torch.no_grad()
def mean_updates(model: nn.Module, layers: Sequence[int], batches: Sequence[Batch]) -> dict[int, Tensor]:
    """Return the mean over tokens of what some layers add to the residual stream, (hidden,) each.

    Padding is left out.
    """
    sums: dict[int, Tensor] = {}
    tokens = 0
    with frozen(model), _updates(bind(model), layers) as updates:
        for batch in batches:
            run(model, batch)
            mask = batch.get("attention_mask")
            for layer in layers:
                update = updates[layer].double()
                present = update.flatten(0, -2) if mask is None else update[mask.bool()]
                sums[layer] = sums.get(layer, 0.0) + present.sum(dim=0)
            tokens += len(present)
    return {layer: total / tokens for layer, total in sums.items()}


@contextmanager
def _updates(bound: BoundModel, layers: Sequence[int]) -> Iterator[dict[int, Tensor]]:
    """Fill a dictionary with what each layer adds to the stream, at every call of the model."""
    found: dict[int, Tensor] = {}

    def observing(layer: int) -> Any:
        def after(_module: nn.Module, args: tuple, options: dict[str, Any], output: Any) -> None:
            stream = args[0] if args else options["hidden_states"]
            found[layer] = (output if isinstance(output, Tensor) else output[0]) - stream

        return after

    with ExitStack() as hooks:
        for layer in layers:
            module = bound.layers[layer].module
            hooks.enter_context(module.register_forward_hook(observing(layer), with_kwargs=True))
        yield found
