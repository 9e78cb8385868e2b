"""Remember what a cut model came from, so that what is saved of it is a whole checkpoint.

A model that was loaded, or cut in memory, keeps its plan while it is trained on. ``save_pretrained``, which
trainers call, writes what :func:`secateur.save` writes; adapters that are trained on a loaded model name the
folder of their base.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from secateur.core.errors import CheckpointError, ConfigError
from secateur.models.compact.change import WeightChange
from secateur.structure.plan import PruningPlan

ATTRIBUTE = "secateur_origin"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a model was loaded from, or cut from in memory.

    Attributes
    ----------
    folder : Path or None
        Of the checkpoint; None where there is none.
    plan : PruningPlan
        What was kept of the dense model.
    metadata : dict
        What was given on saving.
    weights : WeightChange or None
        Its weights in a compact form.
    has_tokenizer : bool
    is_plain : bool
        Whether its configuration tells its widths, so that a further cut counts from them.
    """

    folder: Path | None
    plan: PruningPlan
    metadata: dict[str, Any]
    weights: WeightChange | None
    has_tokenizer: bool = False
    is_plain: bool = False


def origin_after(dense: nn.Module, plan: PruningPlan, weights: WeightChange | None) -> Origin:
    """Return the origin of what a cut leaves, chained with that of the model which was cut.

    Parameters
    ----------
    dense : nn.Module
        The model that was cut; itself perhaps the outcome of a cut.
    plan : PruningPlan
        What was kept of it.
    weights : WeightChange or None
        Its weights that were brought into a compact form.
    """
    former = origin_of(dense) or Origin(folder=None, plan=plan, metadata={}, weights=None, is_plain=True)
    change = former.weights
    if weights is not None:
        change = weights if change is None else change.then(weights)
    return replace(
        former,
        plan=plan if former.is_plain else former.plan.then(plan),
        weights=change,
        metadata={"former": former.metadata} if former.metadata else {},
        is_plain=False,
    )


def remember_cut(small: nn.Module, dense: nn.Module, plan: PruningPlan, weights: WeightChange | None) -> None:
    """Attach to a model that was cut in memory what leads to it from its dense model."""
    remember_origin(small, origin_after(dense, plan, weights))


def remember_origin(model: nn.Module, origin: Origin) -> None:
    """Attach its origin to a model."""
    setattr(model, ATTRIBUTE, origin)
    if isinstance(model, PreTrainedModel):
        if origin.folder is not None:
            model.config._name_or_path = model.name_or_path = str(origin.folder)
        model.save_pretrained = partial(save_into, model)  # type: ignore[method-assign]


def origin_of(model: nn.Module) -> Origin | None:
    """Return what a model came from; None for one that was neither loaded from a checkpoint nor cut."""
    return getattr(model, ATTRIBUTE, None)


def require_whole_weights(model: nn.Module) -> None:
    """Check that no weight of a model stands in a compact form, which a cut or training would not keep.

    Raises
    ------
    ConfigError
        Saying what to do first.
    """
    origin = origin_of(model)
    if origin is not None and origin.weights is not None:
        raise ConfigError(
            f"the weights of {origin.folder or 'this model'} stand in a compact form "
            f"({', '.join(origin.weights.kinds)}), which removing units would not keep; cut the dense model "
            "first, and bring what is left into that form."
        )


def save_into(
    model: PreTrainedModel,
    save_directory: str | os.PathLike[str],
    *,
    is_main_process: bool = True,
    state_dict: Mapping[str, torch.Tensor] | None = None,
    push_to_hub: bool = False,
    **_about_files: Any,
) -> None:
    """Write a checkpoint into a folder in which a trainer keeps files of its own.

    Stands for ``save_pretrained`` of a model that was loaded from a checkpoint of ours, or cut in memory.
    Sizes and formats of files are those of :func:`secateur.save`; a tokenizer is left to who calls.

    Raises
    ------
    ConfigError
        If the hub is asked for.
    CheckpointError
        If ``state_dict`` holds other values than the model (weights gathered from several processes), or as
        :func:`secateur.models.checkpoint.save`.
    """
    from secateur.models import checkpoint

    if push_to_hub:
        raise ConfigError("save the model to a folder, then upload that folder (hf upload).")
    if not is_main_process:
        return
    _require_own_values(model, state_dict)
    folder = Path(save_directory)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving.") as aside:
        made = Path(aside) / "model"
        checkpoint.save(model, made, carry_tokenizer=False)
        written = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
        for stale in folder.glob("*.safetensors"):
            if stale.relative_to(folder) not in written:
                stale.unlink()
        for place in sorted(written, key=lambda place: place.name == checkpoint.CHECKSUMS):
            (folder / place).parent.mkdir(exist_ok=True)
            (made / place).replace(folder / place)


def _require_own_values(model: PreTrainedModel, state: Mapping[str, torch.Tensor] | None) -> None:
    own = model.state_dict()
    for name, tensor in (state or {}).items():
        if name not in own or not torch.equal(tensor.to(own[name]), own[name]):
            raise CheckpointError(
                f"the trainer hands over weights that are not those of the model ('{name}'); gather them "
                "into the model and call secateur.save(model, folder)."
            )
