"""Residual blocks skipped for a while: what a model without them computes, without a cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from secateur.models.binding import BoundModel
from secateur.models.stand_in import forward_as


@contextmanager
def skipped(bound: BoundModel, positions: Sequence[int]) -> Iterator[None]:
    """Let the residual stream pass by the layers at ``positions`` while the block runs."""
    with ExitStack() as undone:
        for position in positions:
            layer = bound.layers[position]
            passing = _pass_by if layer.stack.returns == "tensor" else _pass_by_in_tuple
            undone.enter_context(forward_as(layer.module, passing))
        yield


def _pass_by(hidden_states: Tensor, *_args: Any, **_options: Any) -> Tensor:
    return hidden_states


def _pass_by_in_tuple(hidden_states: Tensor, *_args: Any, **_options: Any) -> tuple[Tensor, None]:
    return hidden_states, None
