"""What is done with one block while it is in memory: run, score, re-fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from secateur.core.errors import DataError
from secateur.models.binding import BoundLayer
from secateur.models.block_inputs import BlockCall
from secateur.models.calls import real_tokens
from secateur.recovery.large_least_squares import STRIPE, RidgeFit, fit_ridges
from secateur.recovery.refit import HELD_OUT_EVERY, OUTPUTS, RIDGES, Output, ProjectionRefit, Target
from secateur.scoring.criteria.activation import layer_energies
from secateur.scoring.scores import SCORED_KINDS, ScoredKind
from secateur.structure.spec import OUTPUT_ROLE, WidthKind
from secateur.workflow.streaming.spill import Spill

Visit = Callable[[int, Output, Tensor, Tensor], None]
"""Given batch, projection, its input and its output."""

DENSE, CUT = "dense", "cut"
"""Streams of the two models."""

RESIDUALS, INPUTS = "residuals", "inputs"


class _ReachedError(Exception):
    """Ends a block at the projection of interest."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """What calibration text becomes in front of the blocks.

    Attributes
    ----------
    calls : tuple of tuple of BlockCall
        For each batch, what each block is called with beside the stream.
    masks : tuple of Tensor of bool, shape (B, T)
        Of every batch, which tokens are no padding.
    spill : Spill
        Holds the streams.
    """

    calls: tuple[tuple[BlockCall, ...], ...]
    masks: tuple[Tensor, ...]
    spill: Spill

    @property
    def samples(self) -> int:
        """Blocks of text, or sentences."""
        return sum(len(mask) for mask in self.masks)

    def chosen(self, batch: int, held_out: bool | None = None) -> Tensor:
        """Return the tokens of a batch, (B, T): those held out of a re-fit, the others, or all."""
        mask = self.masks[batch]
        if held_out is None:
            return mask
        first = sum(len(former) for former in self.masks[:batch])
        kept_back = (first + torch.arange(len(mask))) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        return mask & (kept_back == held_out)[:, None]

    @property
    def tokens(self) -> int:
        """Tokens of all samples."""
        return sum(int(mask.sum()) for mask in self.masks)

    @property
    def fitted_tokens(self) -> int:
        """Tokens that the ridge of a re-fit is chosen on."""
        return sum(int(self.chosen(batch, False).sum()) for batch in range(len(self.masks)))


@torch.no_grad()
def advance(layer: BoundLayer, text: Text, name: str, visit: Visit | None = None) -> None:
    """Send every batch of a stream through a block: ``name.<layer>`` becomes ``name.<layer + 1>``.

    Raises
    ------
    DataError
        If numbers that are not finite come out.
    """
    place = layer.index
    for batch in range(len(text.masks)):
        stream = text.spill.get(f"{name}.{place}", batch)
        with _observed(layer, batch, visit):
            stream = text.calls[batch][place].run(layer.module, stream)
        if not torch.isfinite(stream[text.masks[batch]]).all():
            raise DataError(
                f"layer {place} puts out numbers that are not finite ({stream.dtype}); its weights are "
                "damaged, or the model needs a wider type."
            )
        text.spill.put(f"{name}.{place + 1}", batch, stream)


class Energies:
    """Mean squares of what enters the output projections of a block."""

    def __init__(self, masks: Sequence[Tensor]) -> None:
        self._masks = masks
        self._sums: dict[WidthKind, Tensor] = {}
        self._tokens: dict[WidthKind, int] = {}

    def see(self, batch: int, name: Output, inputs: Tensor, _output: Tensor) -> None:
        """Add the tokens of a batch; see :data:`Visit`."""
        kind = OUTPUTS[name]
        rows = real_tokens(inputs, self._masks[batch])
        # some rows at a time, because float64 is large
        total = torch.stack([part.double().square().sum(dim=0) for part in rows.split(STRIPE // 4)]).sum(
            dim=0
        )
        self._sums[kind] = self._sums.get(kind, 0.0) + total
        self._tokens[kind] = self._tokens.get(kind, 0) + len(rows)

    def scores(self, layer: BoundLayer) -> dict[ScoredKind, np.ndarray]:
        """Return the energy of every unit."""
        means = {kind: total / self._tokens[kind] for kind, total in self._sums.items()}
        return {kind: layer_energies(layer, kind, means) for kind in SCORED_KINDS}


def put_aside(text: Text) -> Visit:
    """Keep the outputs of the dense projections as what the cut ones are re-fitted to."""
    return lambda batch, name, _inputs, output: text.spill.put(_target(name), batch, output)


@torch.no_grad()
def refit_block(layer: BoundLayer, text: Text, *, target: Target, gram: torch.dtype) -> list[ProjectionRefit]:
    """Re-fit both output projections of a cut block in place, as ``recovery.refit`` does in memory.

    Both streams wait in front of the block, the dense one behind it as well; the dense outputs are put aside.

    Parameters
    ----------
    layer : BoundLayer
        Already cut.
    text : Text
    target : {"stream", "projection"}
        See :func:`secateur.recovery.refit.refit`.
    gram : torch.dtype
        See :func:`secateur.recovery.large_least_squares.fit_ridges`.
    """
    repairs = target == "stream" and _is_sum(layer.index, text)
    records = [_refit(layer, text, name, repairs, gram) for name in OUTPUTS]
    for spilled in (INPUTS, RESIDUALS, *map(_target, OUTPUTS)):
        text.spill.drop(spilled)
    return records


def _target(name: Output) -> str:
    return f"target-{name}"


def _is_sum(place: int, text: Text) -> bool:
    """Whether the block adds the outputs of its projections to the stream, and nothing else."""
    before, after = (text.spill.get(f"{DENSE}.{at}", 0) for at in (place, place + 1))
    added = sum(text.spill.get(_target(name), 0).view(before.shape) for name in OUTPUTS)
    return bool((after - before - added).abs().max() <= 1e-3 * added.abs().max())


def _refit(layer: BoundLayer, text: Text, name: Output, repairs: bool, gram: torch.dtype) -> ProjectionRefit:
    projection = layer.projection(OUTPUT_ROLE[OUTPUTS[name]])
    module = projection.module
    before, size = _gather(layer, text, name, repairs)
    problem = {
        "n_inputs": projection.unit_features,
        "n_outputs": layer.widths.hidden,
        "has_bias": module.bias is not None,
        "gram": gram,
    }
    best, after = None, before
    fits = fit_ridges(
        lambda: _rows(text, held_out=False), n_tokens=text.fitted_tokens, ridges=RIDGES, **problem
    )
    for ridge, fit in zip(RIDGES, fits, strict=True):
        if fit is not None and fit.is_finite:
            left = fit.squared_residual(lambda: _rows(text, held_out=True))
            best, after = (ridge, left) if left < after else (best, after)
    del fits, fit
    adopted = best is not None
    if adopted:
        [fit] = fit_ridges(lambda: _rows(text), n_tokens=text.tokens, ridges=(best,), **problem)
        _renew(layer.role_weight(projection.spec.roles[0]), module, fit)
    return ProjectionRefit(
        layer=layer.index,
        dense_layer=layer.index,
        projection=name,
        residual_before=before / size,
        residual_after=after / size,
        adopted=adopted,
    )


def _gather(layer: BoundLayer, text: Text, name: Output, repairs: bool) -> tuple[float, float]:
    """Put inputs and residuals of a projection aside; return squares of held-out residuals and targets."""
    residual_square = target_square = 0.0
    for batch in range(len(text.masks)):
        stream = text.spill.get(f"{CUT}.{layer.index}", batch)
        inputs, outputs = _seen_by(layer, text, name, batch, stream)
        wanted = _wanted(layer.index, text, name, batch, outputs, stream, repairs)
        gap = wanted - outputs[name].to(wanted.dtype)
        kept_back = text.chosen(batch, held_out=True)
        residual_square += float(gap[kept_back].double().square().sum())
        target_square += float(wanted[kept_back].double().square().sum())
        text.spill.put(INPUTS, batch, inputs)
        text.spill.put(RESIDUALS, batch, gap)
    return residual_square, max(target_square, 1e-30)


def _seen_by(
    layer: BoundLayer, text: Text, name: Output, batch: int, stream: Tensor
) -> tuple[Tensor, dict[Output, Tensor]]:
    """Return the input of a projection, and the outputs of the projections up to it."""
    seen: list[Tensor] = []
    outputs: dict[Output, Tensor] = {}
    rows = text.masks[batch].shape

    def keep(_batch: int, found: Output, inputs: Tensor, output: Tensor) -> None:
        # some families fold samples and tokens into one axis in front of their FFN
        outputs[found] = output.view(*rows, -1).clone()
        if found == name:
            seen.append(inputs.reshape(*rows, -1))
            raise _ReachedError

    with _observed(layer, batch, keep), suppress(_ReachedError):
        text.calls[batch][layer.index].run(layer.module, stream)
    return seen[0], outputs


def _wanted(
    place: int,
    text: Text,
    name: Output,
    batch: int,
    outputs: Mapping[Output, Tensor],
    stream: Tensor,
    repairs: bool,
) -> Tensor:
    """Return what a projection is re-fitted to, in a type in which differences are exact enough."""
    target = text.spill.get(_target(name), batch).view(stream.shape)
    wider = torch.float64 if target.dtype in (torch.float32, torch.float64) else torch.float32
    if not repairs:
        return target.to(wider)
    dense, own = text.spill.get(f"{DENSE}.{place}", batch), stream
    if name == "ffn_output":
        dense = dense + text.spill.get(_target("attention_output"), batch).view(stream.shape)
        own = own + outputs["attention_output"]
    return target.to(wider) + dense.to(wider) - own.to(wider)


def _rows(text: Text, *, held_out: bool | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield inputs and residuals of the samples that are held out, of the others, or of all."""
    for batch in range(len(text.masks)):
        chosen = text.chosen(batch, held_out)
        if chosen.any():
            yield tuple(text.spill.get(name, batch)[chosen] for name in (INPUTS, RESIDUALS))


def _renew(weight: Tensor, module: nn.Module, fit: RidgeFit) -> None:
    """Add the change to a weight of shape (outputs, inputs), some columns at a time."""
    for begin in range(0, weight.shape[1], STRIPE):
        columns = slice(begin, begin + STRIPE)
        weight[:, columns] = (weight[:, columns].double() + fit.change(columns)).to(weight.dtype)
    if module.bias is not None:
        module.bias.copy_(module.bias.double() + fit.shift)


@contextmanager
def _observed(layer: BoundLayer, batch: int, visit: Visit | None) -> Iterator[None]:
    """Show ``visit`` the inputs and outputs of the output projections while the context lasts."""
    handles = []
    for name, kind in OUTPUTS.items() if visit is not None else ():

        def seen(_module: nn.Module, inputs: Sequence[Tensor], output: Tensor, name: Output = name) -> None:
            visit(batch, name, inputs[0], output)

        handles.append(layer.output(kind).register_forward_hook(seen))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
