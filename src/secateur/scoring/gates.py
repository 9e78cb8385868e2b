"""Reading what flows out of heads, groups and channels, and the gradient with respect to it.

Every unit enters the residual stream through the input of an output projection: a KV group through a
block of columns of the attention output projection, a channel through one column of the FFN's. A gate on
a unit multiplies exactly those inputs, so observing them is observing the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from secateur.models.binding import BoundModel
from secateur.structure.spec import WidthKind

Visit = Callable[[WidthKind, int, torch.Tensor], None]
VisitGradient = Callable[[WidthKind, int, torch.Tensor, torch.Tensor], None]


def _output_modules(bound: BoundModel) -> Iterator[tuple[WidthKind, int, torch.nn.Module]]:
    for position, layer in enumerate(bound.layers):
        for kind in layer.kinds:
            yield kind, position, layer.output(kind)


@contextmanager
def unit_inputs(bound: BoundModel, visit: Visit) -> Iterator[None]:
    """Call ``visit(kind, layer position, z)`` with the input z (B, T, D) of every output projection."""
    handles = []

    def observing(kind: WidthKind, position: int) -> Callable:
        def before(_module: torch.nn.Module, args: tuple) -> None:
            visit(kind, position, args[0].detach())

        return before

    try:
        for kind, position, module in _output_modules(bound):
            handles.append(module.register_forward_pre_hook(observing(kind, position)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def unit_gradients(bound: BoundModel, visit: VisitGradient) -> Iterator[None]:
    """Call ``visit(kind, layer position, z, dL/dz)`` for every output projection during ``backward``.

    An input that carries no gradient (all earlier parameters frozen) is replaced by a leaf that does.
    """
    handles = []

    def observing(kind: WidthKind, position: int) -> Callable:
        def before(_module: torch.nn.Module, args: tuple) -> tuple:
            z = args[0] if args[0].requires_grad else args[0].detach().requires_grad_(True)
            seen = z.detach()
            z.register_hook(lambda gradient: visit(kind, position, seen, gradient.detach()))
            return (z, *args[1:])

        return before

    try:
        for kind, position, module in _output_modules(bound):
            handles.append(module.register_forward_pre_hook(observing(kind, position)))
        yield
    finally:
        for handle in handles:
            handle.remove()
