"""One block at work: what enters its output projections, and what it adds to the residual stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from secateur.blockwise.samples import Samples
from secateur.core.errors import DataError
from secateur.models.binding import BoundLayer, BoundProjection
from secateur.models.block_inputs import BlockCall
from secateur.models.stand_in import forward_as
from secateur.structure.spec import OUTPUT_ROLE, WidthKind

Output = Literal["attention_output", "ffn_output"]
OUTPUTS: dict[Output, WidthKind] = {"attention_output": "group", "ffn_output": "channel"}
BRANCHES: dict[Output, Literal["attention", "ffn"]] = {"attention_output": "attention", "ffn_output": "ffn"}

See = Callable[[int, Output, Tensor, Tensor], None]
"""Given batch, projection, its input (B, T, features) and its output (B, T, hidden)."""

FEW = 1e-3
"""Up to this share two tensors are the same but for rounding."""


class _ReachedError(Exception):
    """Ends a block at the projection of interest."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """How the output of a projection enters the residual stream: ``factor * norm(output)``.

    Attributes
    ----------
    factor : float
        1 in most families.
    norm : nn.Module or None
        The normalisation behind the projection, where there is one.
    """

    factor: float
    norm: nn.Module | None

    def added(self, output: Tensor) -> Tensor:
        """Return what is added to the stream, (B, T, hidden)."""
        normed = output if self.norm is None else self.norm(output)
        return normed if self.factor == 1.0 else self.factor * normed

    def gains(self, like: Tensor) -> Tensor:
        """Return the factor of each feature, (hidden,), float64, beside the scale of a token."""
        if self.norm is None:
            return torch.full(like.shape[-1:], self.factor, dtype=torch.float64)
        return self.factor * self.norm(torch.ones_like(like[:1, :1])).double().flatten()

    def scales(self, output: Tensor) -> Tensor:
        """Return by what the norm, where there is one, divides each token, (B, T, 1), float64."""
        grown = output.double() * self.gains(output)
        shown = (self.added(output).double() * grown).sum(dim=-1, keepdim=True)
        return grown.square().sum(dim=-1, keepdim=True).clamp_min(1e-30) / shown.clamp_min(1e-30)


def output_projection(layer: BoundLayer, name: Output) -> BoundProjection:
    """Return an output projection of a block."""
    return layer.projection(OUTPUT_ROLE[OUTPUTS[name]])


def branches_of(
    layer: BoundLayer, before: Tensor, after: Tensor, outputs: dict[Output, Tensor], mask: Tensor
) -> dict[Output, Branch] | None:
    """Return how both branches enter the stream, as one batch shows it; None if they are not just added.

    Parameters
    ----------
    layer : BoundLayer
    before, after : Tensor, shape (B, T, hidden)
        The streams in front of the block and behind it.
    outputs : dict of Tensor, shape (B, T, hidden)
        Of the output projections.
    mask : Tensor of bool, shape (B, T)
    """
    norms = {spec.after: module for spec, module in layer.norms.values() if spec.after is not None}
    found = {name: Branch(factor=1.0, norm=norms.get(BRANCHES[name])) for name in OUTPUTS}
    for name, branch in found.items():
        if branch.norm is None:
            continue
        output = outputs[name]
        linear = (output.double() / branch.scales(output)) * branch.gains(output)
        if layer_has_bias(layer, name) or not _same(branch.added(output), linear, mask):
            return None
    attention, ffn = (branch.added(outputs[name]) for name, branch in found.items())
    # a stream may be wider than what is added to it
    added = attention.to(after) + ffn.to(after)
    grown = (after - before)[mask].double()
    sums = added[mask].double()
    factor = float((grown * sums).sum() / sums.square().sum().clamp_min(1e-30))
    if abs(factor - 1) < FEW:
        factor = 1.0
    beside = [attention, ffn, *([after] if after.dtype == attention.dtype else [])]
    if not factor or not _same(after - before, factor * added, mask, attention.dtype, beside):
        return None
    return {name: Branch(factor=factor, norm=branch.norm) for name, branch in found.items()}


def layer_has_bias(layer: BoundLayer, name: Output) -> bool:
    """Whether an output projection has a bias."""
    return output_projection(layer, name).module.bias is not None


def _same(
    one: Tensor,
    other: Tensor,
    mask: Tensor,
    dtype: torch.dtype | None = None,
    beside: Sequence[Tensor] = (),
) -> bool:
    """Whether two tensors are the same but for rounding to a type, theirs or a narrower one.

    Tensors ``beside`` them, which they were made of, may be larger and so round more.
    """
    dtype = dtype or one.dtype
    gap, size = (one.double() - other.double())[mask].abs().max(), other[mask].abs().max().double()
    allowed = FEW * size
    if dtype in (torch.float16, torch.bfloat16):
        large = max([size, *(tensor[mask].abs().max().double() for tensor in beside)])
        allowed = 4 * torch.finfo(dtype).eps * large
    return bool(gap <= allowed)


@torch.no_grad()
def advance(layer: BoundLayer, samples: Samples, name: str, see: Sequence[See] = ()) -> None:
    """Send every batch of a stream through a block: ``name.<layer>`` becomes ``name.<layer + 1>``.

    Raises
    ------
    DataError
        If numbers that are not finite come out.
    """
    place = layer.index
    for batch in samples.batches:
        stream = samples.activations.get(f"{name}.{place}", batch)
        with _observed(layer, batch, stream.shape[:-1], see):
            stream = samples.calls[batch][place].run(layer.module, stream)
        require_finite(layer, stream[samples.masks[batch]])
        samples.activations.put(f"{name}.{place + 1}", batch, stream)


def require_finite(layer: BoundLayer, stream: Tensor) -> None:
    """Check what a block put out.

    Raises
    ------
    DataError
        If numbers are not finite.
    """
    if not torch.isfinite(stream).all():
        raise DataError(
            f"layer {layer.index} puts out numbers that are not finite ({stream.dtype}); its weights are "
            "damaged, or the model needs a wider type."
        )


@torch.no_grad()
def inputs_of(
    layer: BoundLayer,
    samples: Samples,
    name: str,
    module: nn.Module,
    attended: Callable[[int], Tensor] | None = None,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Run a block as far as one of its projections; yield batch, stream in front and the projection's input.

    Parameters
    ----------
    layer : BoundLayer
    samples : Samples
    name : str
        Of the stream.
    module : nn.Module
        Any projection of the block.
    attended : callable, optional
        Gives the output of the attention's output projection for a batch, (B, T, hidden), where it is known
        already: then attention is not computed again, if the block lets it be answered for.
    """
    answer = None
    for batch in samples.batches:
        stream = samples.activations.get(f"{name}.{layer.index}", batch)
        known = None if attended is None else attended(batch)
        seen: list[Tensor] = []

        def catch(_module: nn.Module, arguments: tuple[Tensor, ...], seen: list[Tensor] = seen) -> None:
            seen.append(arguments[0])
            raise _ReachedError

        with module.register_forward_pre_hook(catch):
            if known is not None and batch == 0:
                answer = _answer_of(layer, samples.calls[batch][layer.index], stream, known)
            else:
                with suppress(_ReachedError), _answering(layer, answer, known):
                    samples.calls[batch][layer.index].run(layer.module, stream)
        # some families fold samples and tokens into one axis in front of their FFN
        yield batch, stream, seen[0].reshape(*stream.shape[:-1], -1)


Answer = Callable[[Tensor], Any]
"""Makes what an attention returns of the output of its output projection."""


def _attention(layer: BoundLayer) -> nn.Module:
    """Return the smallest module of a block that holds all projections of its attention."""
    paths = [projection.path.split(".") for projection in layer.projections_of("group")]
    shared = [names[0] for names in zip(*paths, strict=False) if len(set(names)) == 1]
    return layer.module.get_submodule(".".join(shared))


def _answer_of(layer: BoundLayer, call: BlockCall, stream: Tensor, known: Tensor) -> Answer | None:
    """Run a block as usual, and see how its attention returns what is known; None if it returns more."""
    returned: list[Any] = []
    attention = _attention(layer)
    if attention is layer.module:
        with suppress(_ReachedError):
            call.run(layer.module, stream)
        return None
    catching = attention.register_forward_hook(lambda _module, _inputs, output: returned.append(output))
    with catching, suppress(_ReachedError):
        call.run(layer.module, stream)
    if not returned:
        return None
    first, *others = returned[0] if isinstance(returned[0], tuple) else returned
    everywhere = torch.ones(known.shape[:2], dtype=torch.bool)
    if any(other is not None for other in others) or first.shape != known.shape:
        return None
    if not _same(first, known, everywhere):
        return None
    if isinstance(returned[0], tuple):
        return lambda output: (output, *others)
    return lambda output: output


def _answering(layer: BoundLayer, answer: Answer | None, known: Tensor | None) -> AbstractContextManager:
    """Let the attention of a block return what is known in place of computing it."""
    if answer is None or known is None:
        return nullcontext()
    return forward_as(_attention(layer), lambda *_, **__: answer(known))


@contextmanager
def _observed(layer: BoundLayer, batch: int, leading: torch.Size, see: Sequence[See]) -> Iterator[None]:
    """Show inputs and outputs of the output projections while the context lasts."""

    def seeing(name: Output) -> Callable:
        def seen(_module: nn.Module, inputs: Sequence[Tensor], output: Tensor) -> None:
            # a copy, because some families add to a captured output in place
            shown = inputs[0].reshape(*leading, -1), output.reshape(*leading, -1).clone()
            for look in see:
                look(batch, name, *shown)

        return seen

    with ExitStack() as hooks:
        for name, kind in OUTPUTS.items() if see else ():
            hooks.enter_context(layer.output(kind).register_forward_hook(seeing(name)))
        yield
