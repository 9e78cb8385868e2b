"""With what a model calls its blocks: caught once, so that a block can be run outside its model.

Position embeddings, masks, ALiBi slopes and the like are computed by each family's own forward. A pass of the
real base model, with every block replaced by a catcher that hands the stream on, shows them all; no weight of
any block is needed for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from secateur.core.errors import UnsupportedArchitecture
from secateur.models.binding import BoundModel

STREAM = "hidden_states"


@dataclass(frozen=True, kw_only=True)
class BlockCall:
    """Arguments of one block beside the residual stream.

    Attributes
    ----------
    args : tuple
        Positional arguments behind the stream.
    kwargs : dict
        Arguments by name.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def run(self, block: nn.Module, stream: Tensor) -> Tensor:
        """Return the stream behind ``block``."""
        output = block(stream, *self.args, **self.kwargs)
        return output[0] if isinstance(output, tuple) else output


@dataclass(frozen=True, kw_only=True)
class BlockInputs:
    """What a batch looks like in front of the blocks.

    Attributes
    ----------
    stream : torch.Tensor
        Input of the first block, (windows, tokens, hidden).
    calls : tuple of BlockCall
        One a block.
    """

    stream: Tensor
    calls: tuple[BlockCall, ...]

    def sharing(self, other: BlockInputs) -> BlockInputs:
        """Return these inputs with every argument that equals the one of ``other`` held only once."""
        if len(self.calls) != len(other.calls):
            return self
        return BlockInputs(
            stream=self.stream,
            calls=tuple(
                BlockCall(args=_shared(own.args, theirs.args), kwargs=_shared(own.kwargs, theirs.kwargs))
                for own, theirs in zip(self.calls, other.calls, strict=True)
            ),
        )

    def tensors(self) -> list[Tensor]:
        """Return every tensor among the arguments once."""
        found: dict[int, Tensor] = {}
        for call in self.calls:
            for tensor in (*_tensors_in(call.args), *_tensors_in(call.kwargs)):
                found[id(tensor)] = tensor
        return list(found.values())


class _AllCaughtError(Exception):
    """Ends the forward behind the last block."""


class _Catcher(nn.Module):
    """Stands for a block: keeps its arguments, hands the stream on."""

    def __init__(
        self, block: nn.Module, returns: str, caught: list[BlockCall], streams: list[Tensor]
    ) -> None:
        super().__init__()
        # in a tuple, so that the block does not become a submodule
        self._stands_for = (block,)
        self._returns, self._caught, self._streams = returns, caught, streams

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_stands_for"][0], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if args:
            stream, args = args[0], args[1:]
        else:
            stream = kwargs.pop(STREAM)
        self._caught.append(BlockCall(args=args, kwargs=kwargs))
        self._streams.append(stream)
        return stream if self._returns == "tensor" else (stream, None)


@torch.no_grad()
def block_inputs(bound: BoundModel, input_ids: Tensor) -> BlockInputs:
    """Run a model as far as its blocks and return what they would be called with.

    Parameters
    ----------
    bound : BoundModel
        A model of one stack. What is used in front of the blocks (embeddings) must have its weights; the
        rest may be on the meta device.
    input_ids : torch.Tensor
        Tokens (windows, tokens).

    Raises
    ------
    UnsupportedArchitecture
        If the model is no single stack of blocks, each of which is given what the one before it returned.
    """
    return inputs_of_run(bound, lambda: bound.base(input_ids=input_ids, use_cache=False))


@torch.no_grad()
def inputs_of_run(bound: BoundModel, run: Callable[[], Any]) -> BlockInputs:
    """As :func:`block_inputs`, for any way of calling the model.

    Parameters
    ----------
    bound : BoundModel
    run : callable
        Calls the model; it is ended behind the last block.
    """
    family = bound.spec.family
    if len(bound.spec.stacks) != 1:
        raise UnsupportedArchitecture(
            f"models of the family '{family}' have {len(bound.spec.stacks)} stacks of blocks; running them "
            "one block at a time is possible for one stack only. Without calibration (--criterion magnitude) "
            "they can be cut."
        )
    caught: list[BlockCall] = []
    streams: list[Tensor] = []
    with _caught_blocks(bound, caught, streams), suppress(_AllCaughtError):
        run()
    if len(caught) != len(bound.layers) or any(stream is not streams[0] for stream in streams):
        raise UnsupportedArchitecture(
            f"the '{family}' model does not hand the output of each of its {len(bound.layers)} blocks on to "
            f"the next ({len(caught)} were called); it cannot be run one block at a time."
        )
    return BlockInputs(stream=streams[0], calls=tuple(caught))


@contextmanager
def _caught_blocks(bound: BoundModel, caught: list[BlockCall], streams: list[Tensor]) -> Iterator[None]:
    stack = bound.spec.stacks[0]
    parent, _, name = stack.layers.rpartition(".")
    owner = bound.base.get_submodule(parent)
    blocks = getattr(owner, name)
    catchers = nn.ModuleList(_Catcher(block, stack.returns, caught, streams) for block in blocks)

    def stop(*_: Any) -> None:
        raise _AllCaughtError

    catchers[-1].register_forward_hook(stop)
    setattr(owner, name, catchers)
    try:
        yield
    finally:
        setattr(owner, name, blocks)


def _shared(own: Any, other: Any) -> Any:
    """Return ``own`` with the tensors of ``other`` where they are equal."""
    if isinstance(own, Tensor):
        same = isinstance(other, Tensor) and own.shape == other.shape and own.dtype == other.dtype
        return other if same and torch.equal(own, other) else own
    if isinstance(own, dict):
        named = other if isinstance(other, dict) else {}
        return {name: _shared(value, named.get(name)) for name, value in own.items()}
    if isinstance(own, (list, tuple)) and type(own) in (list, tuple):
        theirs = other if isinstance(other, (list, tuple)) and len(other) == len(own) else [None] * len(own)
        return type(own)(_shared(value, entry) for value, entry in zip(own, theirs, strict=True))
    return own


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _tensors_in(entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _tensors_in(entry)
