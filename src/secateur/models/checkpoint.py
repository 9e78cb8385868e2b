"""Checkpoints: configuration + plan + safetensors, verified when written and when read.

A folder holds ``config.json`` (the dense model's configuration and free metadata), ``plan.json`` (what was
kept of it), ``model.safetensors`` and ``checksums.json`` (SHA-256 of the three). Nothing in it is executable.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from secateur.core.errors import CheckpointError, SecateurError
from secateur.core.files import folder_aside, require_replaceable, sha256_of
from secateur.core.records import read_json, write_json
from secateur.models.binding import bind
from secateur.models.diagnoser import Diagnoser, DiagnoserConfig
from secateur.models.skeleton import skeleton
from secateur.structure.plan import PruningPlan
from secateur.structure.plan_file import plan_from_json, plan_to_json

SCHEMA_VERSION = 1
LOGIT_TOLERANCE = 1e-6
CONFIG, PLAN, TENSORS, CHECKSUMS = "config.json", "plan.json", "model.safetensors", "checksums.json"


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a checkpoint says about itself, without its tensors.

    Attributes
    ----------
    config : DiagnoserConfig
        Configuration of the dense model.
    plan : PruningPlan
        What was kept of it; the identity for a dense model.
    metadata : dict
        What was given to :func:`save`.
    """

    config: DiagnoserConfig
    plan: PruningPlan
    metadata: dict[str, Any]


def save(
    model: Diagnoser,
    folder: Path,
    *,
    plan: PruningPlan | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write a model, read it back, compare, and only then give the folder its name.

    Parameters
    ----------
    model : Diagnoser
        Dense or cut; adapters must be merged.
    folder : Path
        Where to; a checkpoint already there is replaced once the new one is verified, anything else is
        refused.
    plan : PruningPlan, optional
        Plan that leads from the dense model of ``model.config`` to this one. None: the model is dense.
    metadata : dict, optional
        JSON values to keep beside the configuration.

    Raises
    ------
    ConfigError
        If ``folder`` holds something that is no checkpoint.
    CheckpointError
        If the plan does not lead to the model, the written folder does not give it back (every tensor
        bit by bit, logits to 1e-6), or the disk does not take it. ``folder`` is then as it was.
    """
    folder = Path(folder)
    require_replaceable(folder, CHECKSUMS)
    bound = bind(model)
    plan = plan or PruningPlan.identity(bound.spec.family, bound.shape)
    if plan.result != bound.shape:
        raise CheckpointError(
            f"the plan leads to {plan.result.summary()}, but the model has {bound.shape.summary()}; "
            "give the plan that was applied, told in indices of the dense model."
        )
    try:
        with folder_aside(folder) as aside:
            _write(model, plan, metadata or {}, aside)
            _require_same(model, load(aside), folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder} could not be written: {error}.") from error


def load(folder: Path) -> Diagnoser:
    """Read a model that :func:`save` wrote, refusing anything damaged or not as its plan says.

    Parameters
    ----------
    folder : Path
        A checkpoint folder.

    Returns
    -------
    Diagnoser
        On the CPU, in evaluation mode, equal to the saved model.

    Raises
    ------
    CheckpointError
        Naming the file and the reason: missing, checksum, version, configuration, plan, or a tensor.
    """
    folder = Path(folder)
    described = describe(folder)
    try:
        model = skeleton(lambda: Diagnoser(described.config), described.plan)
    except SecateurError as error:
        raise CheckpointError(f"{folder / PLAN} does not fit {folder / CONFIG}: {error}") from error
    tensors = _read_tensors(folder / TENSORS, model.state_dict())
    model.load_state_dict(tensors, strict=True, assign=True)
    for name, tensor in _all_tensors(model).items():
        if tensor.is_meta:
            raise CheckpointError(f"{folder}: '{name}' has no value after loading; the checkpoint lacks it.")
    return model.eval()


def describe(folder: Path) -> Description:
    """Read configuration, plan and metadata of a checkpoint after verifying every checksum.

    Raises
    ------
    CheckpointError
        As :func:`load`, for everything but the tensors' names and shapes.
    """
    folder = Path(folder)
    _require_checksums(folder)
    content = read_json(folder / CONFIG)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise CheckpointError(
            f"{folder / CONFIG} has schema version {version!r}; this release reads version {SCHEMA_VERSION}."
        )
    try:
        config = DiagnoserConfig.from_json(content["model"])
    except (SecateurError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG} is not a valid configuration: {error}") from error
    try:
        plan = plan_from_json(read_json(folder / PLAN))
    except SecateurError as error:
        raise CheckpointError(f"{folder / PLAN} is not a valid plan: {error}") from error
    return Description(config=config, plan=plan, metadata=content.get("metadata", {}))


def _write(model: Diagnoser, plan: PruningPlan, metadata: dict[str, Any], folder: Path) -> None:
    content = {"schema_version": SCHEMA_VERSION, "model": model.config.to_json(), "metadata": metadata}
    write_json(folder / CONFIG, content)
    write_json(folder / PLAN, plan_to_json(plan))
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / TENSORS)
    (folder / TENSORS).chmod(0o644)
    write_json(folder / CHECKSUMS, {name: sha256_of(folder / name) for name in (CONFIG, PLAN, TENSORS)})


def _require_checksums(folder: Path) -> None:
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; give the folder of a checkpoint.")
    for name in (CONFIG, PLAN, TENSORS, CHECKSUMS):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} is missing; the checkpoint is not whole.")
    expected = read_json(folder / CHECKSUMS)
    if not isinstance(expected, dict) or set(expected) != {CONFIG, PLAN, TENSORS}:
        raise CheckpointError(
            f"{folder / CHECKSUMS} must name {CONFIG}, {PLAN} and {TENSORS}, and nothing else; it is damaged."
        )
    for name, digest in expected.items():
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise CheckpointError(f"{folder / name} could not be read: {error}.") from error
        if found != digest:
            raise CheckpointError(
                f"{folder / name} does not match its checksum; it was changed, damaged or cut short. "
                "Restore it from a copy."
            )


def _read_tensors(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as stored:
            found = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
            _require_names_and_shapes(path, found, expected)
            return {name: stored.get_tensor(name) for name in found}
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not readable ({error}); it is damaged or cut short.") from error


def _require_names_and_shapes(
    path: Path, found: dict[str, tuple[int, ...]], expected: dict[str, Tensor]
) -> None:
    missing, unexpected = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or unexpected:
        raise CheckpointError(
            f"{path} does not hold the tensors that configuration and plan ask for: "
            f"missing {missing or 'none'}, unexpected {unexpected or 'none'}."
        )
    for name, shape in found.items():
        if shape != tuple(expected[name].shape):
            raise CheckpointError(
                f"{path}: '{name}' has shape {shape}, but the plan says {tuple(expected[name].shape)}."
            )


def _require_same(model: Diagnoser, fresh: Diagnoser, folder: Path) -> None:
    expected, found = _all_tensors(model), _all_tensors(fresh)
    if set(expected) != set(found):
        names = sorted(set(expected) ^ set(found))
        raise CheckpointError(f"{folder} was not written: {names} would be lost or made up on loading.")
    for name, tensor in expected.items():
        same_kind = tensor.dtype == found[name].dtype
        if not same_kind or not torch.equal(tensor.detach().cpu(), found[name].detach()):
            raise CheckpointError(f"{folder} was not written: '{name}' does not come back as it was saved.")
    device = next(model.parameters()).device
    inputs = [value.to(device) for value in _probe_inputs(model.config)]
    with torch.no_grad(), _evaluating(model):
        difference = (model(*inputs) - fresh.to(device)(*inputs)).abs().max().item()
    if not difference <= LOGIT_TOLERANCE:
        raise CheckpointError(
            f"{folder} was not written: logits of the reloaded model differ by {difference:.2e} "
            f"(allowed {LOGIT_TOLERANCE:.0e})."
        )


def _probe_inputs(config: DiagnoserConfig) -> tuple[Tensor, Tensor, Tensor]:
    """One fixed window with a known and one with an unknown shaft speed."""
    noise = torch.randn(2, config.window_length, generator=torch.Generator().manual_seed(0))
    return noise, torch.tensor([30.0, 0.0]), torch.tensor([[3.6, 5.4, 4.7, 0.4], [0.0] * 4])


def _all_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer, those included that a state dict leaves out."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
