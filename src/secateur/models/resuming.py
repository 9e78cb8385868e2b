"""A model's residual stream, kept, so that a pass begins at the first layer that a removal touches.

Units of layer l change nothing in front of layer l. What runs before (front end, embeddings, position tables)
is either cheap or replaced; the blocks in front are passed by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from secateur.core.errors import UnsupportedArchitecture
from secateur.models.binding import BoundModel
from secateur.models.block_inputs import STREAM
from secateur.models.skipping import skipped
from secateur.models.stand_in import forward_as

KEPT_BYTES = 512 * 2**20
"""Memory for streams; where all layers need more, every second, third, ... layer is kept."""


class Streams:
    """Inputs of the blocks of a model, batch by batch.

    Parameters
    ----------
    bound : BoundModel
        A model of one stack of blocks.

    Raises
    ------
    UnsupportedArchitecture
        For a model of several stacks.
    """

    def __init__(self, bound: BoundModel) -> None:
        if len(bound.spec.stacks) != 1:
            raise UnsupportedArchitecture(
                f"models of the family '{bound.spec.family}' have {len(bound.spec.stacks)} stacks of blocks; "
                "removals are measured on models of one stack only (decoders, encoders, Diagnosers)."
            )
        self._bound = bound
        self._blocks = [layer.module for layer in bound.layers]
        self._kept: list[dict[int, Tensor]] = []
        self._every: int | None = None

    @contextmanager
    def recording(self, n_batches: int) -> Iterator[None]:
        """Keep the input of each block for the batch that runs inside; call once a batch, in order.

        Parameters
        ----------
        n_batches : int
            How many batches there will be, for the choice of layers to keep.
        """
        found: dict[int, Tensor] = {}

        def observing(layer: int) -> Callable:
            def before(_block: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
                stream = (args[0] if args else kwargs[STREAM]).detach()
                if self._every is None:
                    wanted = stream.nbytes * len(self._blocks) * n_batches
                    self._every = max(1, -(-wanted // KEPT_BYTES))
                if layer % self._every == 0:
                    found[layer] = stream

            return before

        with ExitStack() as undone:
            for layer, block in enumerate(self._blocks):
                undone.callback(block.register_forward_pre_hook(observing(layer), with_kwargs=True).remove)
            yield
        self._kept.append(found)

    @contextmanager
    def resumed(self, first: int) -> Iterator[Callable[[int], None]]:
        """Let passes begin at layer ``first``, or at the last kept layer in front of it.

        Yields
        ------
        callable
            To be told the number of the batch before each pass.
        """
        start = first - first % (self._every or 1)
        current: dict[str, Tensor] = {}

        def choose(number: int) -> None:
            current["stream"] = self._kept[number][start]

        def replacing(_block: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
            if args:
                return (current["stream"], *args[1:]), kwargs
            return args, {**kwargs, STREAM: current["stream"]}

        with ExitStack() as undone:
            hook = self._blocks[start].register_forward_pre_hook(replacing, with_kwargs=True, prepend=True)
            undone.callback(hook.remove)
            undone.enter_context(skipped(self._bound, range(start)))
            front = getattr(self._bound.model, "front_end", None)
            if front is not None:
                undone.enter_context(forward_as(front, lambda *_inputs: current["stream"]))
            yield choose
