"""Residual blocks skipped for a while: what a model without them computes, without a cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from secateur.models.binding import BoundModel


@contextmanager
def skipped(bound: BoundModel, positions: Sequence[int]) -> Iterator[None]:
    """Let the residual stream pass by the layers at ``positions`` while the block runs."""
    chosen = [bound.layers[position] for position in positions]
    for layer in chosen:
        layer.module.forward = _pass_by if layer.stack.returns == "tensor" else _pass_by_in_tuple
    try:
        yield
    finally:
        for layer in chosen:
            del layer.module.forward


def _pass_by(hidden_states: Tensor, *_args: Any, **_options: Any) -> Tensor:
    return hidden_states


def _pass_by_in_tuple(hidden_states: Tensor, *_args: Any, **_options: Any) -> tuple[Tensor, None]:
    return hidden_states, None
