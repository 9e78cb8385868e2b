"""Tensors of a live model: each that is to be stored once, and back into a model with its ties kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from secateur.core.errors import CheckpointError


def all_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return every parameter and buffer by name, those included that a state dict leaves out."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return what a file has to hold: parameters and persistent buffers, tied ones under their first name."""
    state = model.state_dict(keep_vars=True)
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in state.items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor
    return found


def computed_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Return the buffers that constructors compute and no file holds."""
    held = model.state_dict(keep_vars=True)
    return {name: buffer for name, buffer in model.named_buffers() if name not in held}


def put_tensors(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Give a model these tensors in place of its own, under every name that each has.

    Parameters
    ----------
    model : torch.nn.Module
        Its parameters may be on the meta device; they take the type and the memory of ``tensors``.
    tensors : mapping of str to Tensor
        As :func:`stored_tensors` names them.
    source : str
        Where they come from, for messages.

    Raises
    ------
    CheckpointError
        If a name is missing or not expected, or a shape is another one.
    """
    wanted = stored_tensors(model)
    missing, unexpected = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    if missing or unexpected:
        raise CheckpointError(
            f"{source} does not hold the tensors that configuration and plan ask for: "
            f"missing {missing or 'none'}, unexpected {unexpected or 'none'}."
        )
    renewed: dict[int, Tensor] = {}
    for name, former in wanted.items():
        value = tensors[name]
        if value.shape != former.shape:
            raise CheckpointError(
                f"{source}: '{name}' has shape {tuple(value.shape)}, but the plan says {tuple(former.shape)}."
            )
        if isinstance(former, nn.Parameter):
            value = nn.Parameter(value, requires_grad=former.requires_grad and value.is_floating_point())
        renewed[id(former)] = value
    for module in model.modules():
        owned: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for own in owned:
            for name, held in own.items():
                if held is not None and id(held) in renewed:
                    own[name] = renewed[id(held)]


def require_values(model: nn.Module, folder: Path) -> None:
    """Check that no tensor of a loaded model is a mere shape.

    Raises
    ------
    CheckpointError
        Naming the first that is.
    """
    for name, tensor in all_tensors(model).items():
        if tensor.is_meta:
            raise CheckpointError(f"{folder}: '{name}' has no value after loading; the checkpoint lacks it.")
