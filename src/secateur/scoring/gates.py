"""Reading what flows out of heads, groups and channels, and gradients on both sides of the projection.

Every unit enters the residual stream through the input of an output projection: a KV group through a
block of columns of the attention output projection, a channel through one column of the FFN's. A gate on
a unit multiplies exactly those inputs, so observing them is observing the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch

from secateur.models.binding import BoundModel
from secateur.structure.spec import WidthKind

Visit = Callable[[WidthKind, int, torch.Tensor], None]
VisitGradient = Callable[[WidthKind, int, torch.Tensor, torch.Tensor], None]


def _requiring_gradient(z: torch.Tensor) -> torch.Tensor:
    """Replace an input that carries no gradient (all earlier parameters frozen) by a leaf that does."""
    return z if z.requires_grad else z.detach().requires_grad_(True)


def _output_modules(bound: BoundModel) -> Iterator[tuple[WidthKind, int, torch.nn.Module]]:
    for position, layer in enumerate(bound.layers):
        for kind in layer.kinds:
            yield kind, position, layer.output(kind)


@contextmanager
def unit_inputs(bound: BoundModel, visit: Visit) -> Iterator[None]:
    """Call ``visit(kind, layer position, z)`` with the input z (B, T, D) of every output projection."""

    def observing(kind: WidthKind, position: int) -> Callable:
        def before(_module: torch.nn.Module, args: tuple) -> None:
            visit(kind, position, args[0].detach())

        return before

    with ExitStack() as hooks:
        for kind, position, module in _output_modules(bound):
            hooks.enter_context(module.register_forward_pre_hook(observing(kind, position)))
        yield


@contextmanager
def unit_gradients(bound: BoundModel, visit: VisitGradient) -> Iterator[None]:
    """Call ``visit(kind, layer position, z, dL/dz)`` for every output projection during ``backward``."""

    def observing(kind: WidthKind, position: int) -> Callable:
        def before(_module: torch.nn.Module, args: tuple) -> tuple:
            z = _requiring_gradient(args[0])
            seen = z.detach()
            z.register_hook(lambda gradient: visit(kind, position, seen, gradient.detach()))
            return (z, *args[1:])

        return before

    with ExitStack() as hooks:
        for kind, position, module in _output_modules(bound):
            hooks.enter_context(module.register_forward_pre_hook(observing(kind, position)))
        yield


@contextmanager
def output_gradients(bound: BoundModel, visit: VisitGradient) -> Iterator[None]:
    """Call ``visit(kind, layer position, z, dL/dy)`` for every output projection ``y = W z``, on backward."""

    def with_gradient(_module: torch.nn.Module, args: tuple) -> tuple:
        return (_requiring_gradient(args[0]), *args[1:])

    def observing(kind: WidthKind, position: int) -> Callable:
        def after(_module: torch.nn.Module, args: tuple, output: torch.Tensor) -> None:
            seen = args[0].detach()
            output.register_hook(lambda gradient: visit(kind, position, seen, gradient.detach()))

        return after

    with ExitStack() as hooks:
        for kind, position, module in _output_modules(bound):
            hooks.enter_context(module.register_forward_pre_hook(with_gradient))
            hooks.enter_context(module.register_forward_hook(observing(kind, position)))
        yield
