"""Checkpoints: what is saved can be loaded again, and anything else is refused.

Models of two kinds are kept. A :class:`~secateur.models.diagnoser.Diagnoser` lies in the files that
:mod:`secateur.models.checkpoint_diagnoser` describes, a ``transformers`` model in those of
:mod:`secateur.models.checkpoint_transformer`. Both hold a configuration, a pruning plan, safetensors and
checksums. Nothing in them is executable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from secateur.core.errors import CheckpointError, ConfigError, UnsupportedArchitecture
from secateur.core.files import folder_aside, require_replaceable
from secateur.core.progress import console
from secateur.models import checkpoint_diagnoser, checkpoint_transformer
from secateur.models.binding import bind
from secateur.models.checkpoint_card import CARD, TOKENIZER_CONFIG, TransformerDescription
from secateur.models.checkpoint_diagnoser import Description
from secateur.models.checkpoint_files import CHECKSUMS, CONFIG, PLAN, TENSORS
from secateur.models.checkpoint_transformer import load_tokenizer
from secateur.models.compact.change import WeightChange
from secateur.models.diagnoser import Diagnoser
from secateur.models.model_card import write_model_card
from secateur.models.origin import Origin, origin_of, remember_origin
from secateur.models.pooling import read_modules, remember_modules
from secateur.models.soundness import require_told_ties
from secateur.structure.plan import PruningPlan

__all__ = [
    "CHECKSUMS",
    "CONFIG",
    "PLAN",
    "TENSORS",
    "Description",
    "TransformerDescription",
    "describe",
    "kind_of",
    "load",
    "load_tokenizer",
    "outline",
    "save",
]

Kind = Literal["diagnoser", "transformer"]


def save(
    model: nn.Module,
    folder: Path,
    *,
    plan: PruningPlan | None = None,
    weights: WeightChange | None = None,
    metadata: dict[str, Any] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    carry_tokenizer: bool = True,
    source: Path | None = None,
) -> None:
    """Write a model, read it back, compare, and only then give the folder its name.

    A model that :func:`load` returned keeps plan, metadata and tokenizer of its checkpoint unless others are
    given.

    Parameters
    ----------
    model : Diagnoser or transformers.PreTrainedModel
        Dense or cut; adapters must be merged.
    folder : Path
        Where to; a checkpoint already there is replaced once the new one is verified, anything else is
        refused.
    plan : PruningPlan, optional
        Plan that leads from the dense model to this one. Default: that of the checkpoint which the model was
        loaded from, or of its cut in memory; without one the model is dense.
    weights : WeightChange, optional
        Weights that are stored in a compact form. Default: those of that checkpoint, where they still are
        what the model holds.
    metadata : dict, optional
        JSON values to keep beside the configuration.
    tokenizer : PreTrainedTokenizerBase, optional
        What goes with a language model.
    carry_tokenizer : bool
        Whether the tokenizer of the checkpoint that the model was loaded from goes along.
    source : Path, optional
        Folder of the model that a transformers model was made from, whose licence is carried over. Default:
        the checkpoint that it was loaded from.

    Raises
    ------
    ConfigError
        If ``folder`` holds something that is no checkpoint, or a tokenizer is given for a Diagnoser.
    UnsupportedArchitecture
        If the model's family is not known, or its class is not one of ``transformers`` itself.
    CheckpointError
        If the plan or the compact weights do not lead to the model, the written folder does not give it
        back (every tensor bit by bit, logits to 1e-6), or the disk does not take it. ``folder`` is then as
        it was.
    """
    folder = Path(folder)
    require_replaceable(folder, CHECKSUMS)
    require_told_ties(model)
    bound = bind(model)
    origin = origin_of(model)
    if plan is None and origin is not None:
        plan, metadata = origin.plan, origin.metadata if metadata is None else metadata
        weights = weights or _still_compact(model, origin)
        if tokenizer is None and carry_tokenizer and origin.has_tokenizer and origin.folder is not None:
            tokenizer = load_tokenizer(origin.folder)
    plan = plan or PruningPlan.identity(bound.spec.family, bound.shape)
    if plan.result != bound.shape:
        raise CheckpointError(
            f"the plan leads to {plan.result.summary()}, but the model has {bound.shape.summary()}; "
            "give the plan that was applied, told in indices of the dense model."
        )
    if weights is not None:
        weights.require_of(model)
    given: dict[str, Any] = {"plan": plan, "weights": weights, "metadata": metadata or {}, "final": folder}
    try:
        with folder_aside(folder) as aside:
            if isinstance(model, PreTrainedModel):
                checkpoint_transformer.write(model, aside, tokenizer=tokenizer, **given)
                write_model_card(aside, source or (None if origin is None else origin.folder))
            elif tokenizer is not None:
                raise ConfigError("a Diagnoser takes windows of vibration; it has no tokenizer to save.")
            elif isinstance(model, Diagnoser):
                checkpoint_diagnoser.write(model, aside, **given)
            else:
                raise UnsupportedArchitecture(
                    f"{type(model).__name__} is neither a Diagnoser nor a transformers model; only these are "
                    "saved."
                )
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder} could not be written: {error}.") from error


def load(folder: Path) -> Diagnoser | PreTrainedModel:
    """Read a model that :func:`save` wrote, refusing anything damaged or not as its plan says.

    Parameters
    ----------
    folder : Path
        A checkpoint folder.

    Returns
    -------
    Diagnoser or transformers.PreTrainedModel
        On the CPU, in evaluation mode, of the class and the types of numbers of the saved model, and equal
        to it.

    Raises
    ------
    CheckpointError
        Naming the file and the reason: missing, checksum, version, configuration, plan, or a tensor.
    """
    folder = Path(folder)
    room = _room(folder)
    (model, change), described = room.load(folder), room.describe(folder, weights=False)
    origin = Origin(
        folder=folder.resolve(),
        plan=described.plan,
        weights=change,
        metadata=described.metadata,
        has_tokenizer=(folder / TOKENIZER_CONFIG).is_file(),
        is_plain=getattr(described, "form", None) == "plain",
    )
    remember_origin(model, origin)
    remember_modules(model, read_modules(folder))
    return model


def describe(folder: Path) -> Description | TransformerDescription:
    """Read configuration, plan and metadata of a checkpoint after verifying every checksum.

    Raises
    ------
    CheckpointError
        As :func:`load`, for everything but the tensors' names and shapes.
    """
    folder = Path(folder)
    return _room(folder).describe(folder)


def outline(folder: Path) -> Diagnoser | PreTrainedModel:
    """Return the model of a checkpoint without its weights, every parameter on the meta device.

    Files that hold tensors must be there and are not read.

    Raises
    ------
    CheckpointError
        As :func:`describe`, for all other files, or if the plan does not fit the configuration.
    """
    folder = Path(folder)
    room = _room(folder)
    return room.outline(folder, room.describe(folder, weights=False))


def _still_compact(model: nn.Module, origin: Origin) -> WeightChange | None:
    """Return the compact weights of a model's checkpoint; None if it was trained away from them."""
    if origin.weights is None:
        return None
    try:
        origin.weights.require_of(model)
    except CheckpointError as error:
        console.print(f"saved with whole weights: {error}")
        return None
    return origin.weights


def kind_of(folder: Path) -> Kind | None:
    """Return which kind of model a folder holds; None if it is no checkpoint of secateur."""
    folder = Path(folder)
    if (folder / CARD).is_file():
        return "transformer"
    return "diagnoser" if (folder / PLAN).is_file() or (folder / CHECKSUMS).is_file() else None


def _room(folder: Path) -> Any:
    """The module that knows the files of a folder; damaged folders without a card go to the first."""
    return checkpoint_transformer if kind_of(folder) == "transformer" else checkpoint_diagnoser
