"""A diagnoser as a LiteRT flatbuffer, converted from torch by litert-torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from secateur.bundle.session import INPUTS, OUTPUTS
from secateur.core.errors import ConfigError, ExportError
from secateur.export.onnx import Deployed, silent

SIGNATURE = "serving_default"
INSTALL = (
    "install it in an environment of its own, since its parts ask for older releases of pydantic and "
    "typing-extensions: pip install 'secateur[train,litert-export]'"
)

_STDERR = 2
_WITH_HEADS, _MOST_COPIES = 4, 32


@dataclass(frozen=True, kw_only=True)
class Converter:
    """The modules of litert-torch that a conversion needs.

    Attributes
    ----------
    torch : module
        ``litert_torch``.
    lowerings : module
        Its table of how each operator of torch is written.
    decompositions : module
        Its table of operators that are written in others.
    ir, stablehlo : module
        What lowerings are written in.
    """

    torch: ModuleType
    lowerings: ModuleType
    decompositions: ModuleType
    ir: ModuleType
    stablehlo: ModuleType


class _Named(nn.Module):
    """Outputs by name, as the signature of a flatbuffer has them."""

    def __init__(self, diagnoser: nn.Module) -> None:
        super().__init__()
        self.deployed = Deployed(diagnoser)

    def forward(self, waveform: Tensor, shaft_rate_hz: Tensor, fault_orders: Tensor) -> dict[str, Tensor]:
        """Return logits and probabilities, both of shape (batch, classes)."""
        return dict(zip(OUTPUTS, self.deployed(waveform, shaft_rate_hz, fault_orders), strict=True))


def import_converter() -> Converter:
    """Import litert-torch.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    names = (
        "litert_torch",
        "litert_torch.backend.lowerings",
        "litert_torch.fx_infra.decomp",
        "litert_converter.mlir.ir",
        "litert_converter.mlir.dialects.stablehlo",
    )
    try:
        with silent_compiler():
            modules = [import_module(name) for name in names]
    except ImportError as error:
        raise ConfigError(
            f"an export to LiteRT needs the package litert-torch, which cannot be imported ({error}); "
            f"{INSTALL}. Running a LiteRT bundle needs 'secateur[litert]' alone."
        ) from None
    return Converter(**{field.name: module for field, module in zip(fields(Converter), modules, strict=True)})


def to_flatbuffer(model: nn.Module, windows: Mapping[str, np.ndarray]) -> bytes:
    """Return a diagnoser as the content of a ``.tflite`` file: one window in, logits and probabilities out.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode, on the CPU, in float32.
    windows : mapping
        At least one real window to trace with.

    Raises
    ------
    ConfigError
        If litert-torch is not installed.
    ExportError
        If it cannot express the model; the message names the operator.
    """
    converter = import_converter()
    _add_lowerings(converter)
    window = {name: torch.as_tensor(windows[name][:1], dtype=torch.float32) for name in INPUTS}
    try:
        with silent_compiler(), torch.no_grad():
            converted = converter.torch.convert(_Named(model).eval(), sample_kwargs=window)
            return bytes(converted.model_content())
    except Exception as error:  # the converter raises what its compiler raises
        raise ExportError(
            f"LiteRT cannot express the model: {_reason(error)} Write it in operations that LiteRT "
            "has, or export to ONNX."
        ) from error


@contextmanager
def silent_compiler() -> Iterator[None]:
    """Keep what converter and quantiser print to ourselves, also what their compiled parts do."""
    with (
        silent(),
        redirect_stdout(StringIO()),
        redirect_stderr(StringIO()),
        Path(os.devnull).open("wb") as nowhere,
    ):
        former = os.dup(_STDERR)
        os.dup2(nowhere.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(former, _STDERR)
            os.close(former)


def _add_lowerings(converter: Converter) -> None:
    """Tell the converter how to write three operators."""
    ir, stablehlo = converter.ir, converter.stablehlo

    @converter.lowerings.lower(torch.ops.aten.view_as_real.default)
    def view_as_real(context: Any, values: Any) -> Any:
        """Parts of a Fourier transform; the converter has the transform, but not this."""
        shape = [*values.type.shape, 1]
        kind = ir.RankedTensorType.get(shape, ir.ComplexType(values.type.element_type).element_type)
        parts = [stablehlo.reshape(kind, part(values)) for part in (stablehlo.real, stablehlo.imag)]
        return stablehlo.concatenate(parts, dimension=len(shape) - 1)

    others = converter.decompositions.add_pre_convert_decomp
    others(torch.ops.aten.sort.default, sort_by_rank)
    others(torch.ops.aten.expand.default, expand_by_copies)


def expand_by_copies(values: Tensor, size: Sequence[int], *, implicit: bool = False) -> Tensor:
    """Expand to a few heads by putting copies side by side.

    litert-torch 0.10 computes attention wrongly where the only key of a layer is expanded to its query heads:
    it takes the transposition that follows for a change of shape.

    Parameters
    ----------
    values : Tensor
    size : sequence of int
        As for ``torch.Tensor.expand``.
    implicit : bool
        Part of the operator's signature.

    Returns
    -------
    Tensor
        ``NotImplemented`` where nothing is to be written in other words.
    """
    if values.ndim < _WITH_HEADS or len(size) != values.ndim:
        return NotImplemented
    for dim, wanted in enumerate(size):
        if values.shape[dim] == 1 and 1 < wanted <= _MOST_COPIES:
            values = torch.cat([values] * wanted, dim)
    return values.clone() if list(values.shape) == list(size) else NotImplemented


def sort_by_rank(values: Tensor, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """Sort by counting how many values come before each, since LiteRT's interpreter has no kernel for a sort.

    The count takes memory that grows with the square of the values sorted; the front end sorts twelve.

    Parameters
    ----------
    values : Tensor
        Without NaN.
    dim : int
    descending : bool

    Returns
    -------
    sorted, positions : Tensor
        As ``torch.sort`` gives them; equal values keep their order.
    """
    moved = values.movedim(dim, -1)
    count = moved.shape[-1]
    # comparisons broadcast over at most four dimensions
    rows = moved.reshape(-1, count)
    given, other = rows[:, :, None], rows[:, None, :]
    place = torch.arange(count, dtype=values.dtype, device=values.device)
    sooner = (other > given) if descending else (other < given)
    tied = (other == given) & (place[None, :] < place[:, None])
    rank = (sooner | tied).to(values.dtype).sum(-1)
    chosen = rank[:, None, :] == place[:, None]
    ordered = torch.where(chosen, other, 0.0).sum(-1)
    positions = torch.where(chosen, place, 0.0).sum(-1).to(torch.int64)
    first, second = (found.reshape(moved.shape).movedim(-1, dim) for found in (ordered, positions))
    return first, second


def _reason(error: Exception) -> str:
    """Return the compiler's first complaint, or the first line of any other error, as a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "error:" in line] or lines or [type(error).__name__]
    return f"{told[0].rstrip('.')}."
