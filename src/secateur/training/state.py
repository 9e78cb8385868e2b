"""Resumable training states: one safetensors file of all tensors and a JSON file that names it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from secateur.core.errors import CheckpointError
from secateur.core.files import sha256_of, write_aside
from secateur.core.records import read_json, to_jsonable, write_json

INDEX = "state.json"


@dataclass(kw_only=True)
class TrainingState:
    """Everything that a run needs to go on as if it had not stopped.

    Parameters
    ----------
    step : int
        Steps done.
    weights : dict of Tensor
        Trained parameters and buffers now.
    best : dict of Tensor
        The same at the best look at validation; empty before the first.
    moments : dict of Tensor
        Optimiser state, ``<parameter>/<name>``; empty once the run has finished.
    progress : dict
        Plain values: history, best figure, looks without improvement, whether finished.
    """

    step: int
    weights: dict[str, Tensor]
    best: dict[str, Tensor] = field(default_factory=dict)
    moments: dict[str, Tensor] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of what training changes: parameters that take gradients, and buffers."""
    tensors: dict[str, Tensor] = {n: p for n, p in model.named_parameters() if p.requires_grad}
    tensors.update(model.named_buffers())
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


@torch.no_grad()
def put_back(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy tensors of :func:`trained_tensors` into the model."""
    live = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, tensor in tensors.items():
        live[name].copy_(tensor)


def optimizer_moments(optimizer: torch.optim.Optimizer, names: Mapping[Any, str]) -> dict[str, Tensor]:
    """Flatten an optimiser's state to named tensors."""
    return {
        f"{names[parameter]}/{key}": torch.as_tensor(value).detach().clone()
        for parameter, entries in optimizer.state.items()
        for key, value in entries.items()
    }


def restore_moments(
    optimizer: torch.optim.Optimizer, names: Mapping[Any, str], moments: dict[str, Tensor]
) -> None:
    """Put tensors of :func:`optimizer_moments` back into an optimiser that has not stepped yet."""
    parameters = {name: parameter for parameter, name in names.items()}
    for full_name, tensor in moments.items():
        name, key = full_name.rsplit("/", 1)
        parameter = parameters[name]
        device = tensor.device if key == "step" else parameter.device
        optimizer.state[parameter][key] = tensor.clone().to(device)


def digest(model: nn.Module) -> str:
    """Return a SHA-256 over the names and values of all parameters."""
    total = hashlib.sha256()
    for name, parameter in model.named_parameters():
        total.update(name.encode())
        values = parameter.detach().to("cpu").reshape(-1).contiguous().view(torch.uint8)
        total.update(values.numpy().data)
    return total.hexdigest()


def write_state(folder: Path, state: TrainingState, fingerprint: dict[str, Any]) -> None:
    """Write a state; a kill at any moment leaves either the former state or this one whole."""
    tensors = {
        f"{part}:{name}": tensor.to("cpu")
        for part in ("weights", "best", "moments")
        for name, tensor in getattr(state, part).items()
    }
    stage = "end" if state.progress.get("finished") else f"{state.step:07d}"
    path = Path(folder) / f"state-{stage}.safetensors"
    with write_aside(path) as aside:
        save_file(tensors, aside)
    write_json(
        Path(folder) / INDEX,
        {
            "step": state.step,
            "tensors": path.name,
            "sha256": sha256_of(path),
            "fingerprint": fingerprint,
            "progress": state.progress,
        },
    )
    for former in Path(folder).glob("state-*.safetensors"):
        if former != path:
            former.unlink()


def read_state(folder: Path, fingerprint: dict[str, Any]) -> TrainingState | None:
    """Read the state of a folder; None if there is none.

    Raises
    ------
    CheckpointError
        If it is damaged, or belongs to a run with other settings, data or initial weights.
    """
    index_path = Path(folder) / INDEX
    if not index_path.exists():
        return None
    index = read_json(index_path, ("step", "tensors", "sha256", "fingerprint", "progress"))
    expected = to_jsonable(fingerprint)
    differing = sorted(
        key
        for key in expected.keys() | index["fingerprint"].keys()
        if expected.get(key) != index["fingerprint"].get(key)
    )
    if differing:
        raise CheckpointError(
            f"the training state in {folder} belongs to another run (differs in: {', '.join(differing)}); "
            "give the settings it was started with, or remove the folder to start anew."
        )
    path = Path(folder) / index["tensors"]
    if not path.exists() or sha256_of(path) != index["sha256"]:
        raise CheckpointError(
            f"the training state {path} is missing or damaged; remove {folder} to start anew."
        )
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"the training state {path} cannot be read ({error}).") from None
    state = TrainingState(step=index["step"], weights={}, progress=index["progress"])
    for name, tensor in tensors.items():
        part, own_name = name.split(":", 1)
        getattr(state, part)[own_name] = tensor
    return state
