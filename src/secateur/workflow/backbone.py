"""The dense model of a run: a preset, or a local folder of a supported family."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel

from secateur.core.errors import CheckpointError, ConfigError, UnsupportedArchitecture
from secateur.core.seeds import derive
from secateur.models.diagnoser import BACKBONE_FAMILIES, Diagnoser, DiagnoserConfig
from secateur.models.foundation import front_end_of, start_folder, start_from
from secateur.models.front_end.settings import FrontEndSettings
from secateur.models.front_end.tokens import token_count
from secateur.models.presets import PRESETS, preset_config
from secateur.training.settings import FitSettings
from secateur.workflow.settings import TaskSettings
from secateur.workflow.task import Preparation

GOING_ON_RATE = 3e-4


def build_dense(
    backbone: str, *, classes: tuple[str, ...], front_end: FrontEndSettings, seed: int
) -> Diagnoser:
    """Build the untrained dense model.

    Parameters
    ----------
    backbone : str
        Name of a preset (random weights); ``foundation-micro`` or the checkpoint of a Diagnoser (all weights
        but those of classes that it does not know); or a folder with ``config.json`` and safetensors of a
        GPT-2 or Llama model, whose weights the backbone starts from. No code of the folder is executed.
    classes : tuple of str
    front_end : FrontEndSettings
        A Diagnoser's checkpoint has its own, for windows of this length and rate.
    seed : int
        Of the random weights.

    Raises
    ------
    ConfigError
        If it is neither a preset nor a folder.
    UnsupportedArchitecture
        If the folder's family is not supported.
    CheckpointError
        If the folder cannot be read.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "dense-weights"))
        if (folder := start_folder(backbone)) is not None:
            return _fitting(start_from(folder, classes), backbone, front_end)
        if backbone in PRESETS:
            return Diagnoser(preset_config(backbone, classes=classes, front_end=front_end))
        return _from_folder(backbone, classes, front_end)


def dense_for(preparation: Preparation, backbone: str, *, seed: int) -> Diagnoser:
    """Build the untrained dense model of a task; see :func:`build_dense`."""
    return build_dense(backbone, classes=preparation.classes, front_end=preparation.front_end, seed=seed)


def windows_for(backbone: str, window_length: int | None) -> int:
    """Return the samples a window: those asked for, or those that the model to start from takes.

    Raises
    ------
    ConfigError
        If another length was asked for than the model takes.
    """
    folder = start_folder(backbone)
    if folder is None:
        return TaskSettings.window_length if window_length is None else window_length
    taken = front_end_of(folder).window_length
    if window_length not in (None, taken):
        raise ConfigError(
            f"windows of {window_length} samples were asked for, but {backbone} takes {taken}; leave "
            "--window-length out, or take a backbone that is not trained yet, such as small-mha."
        )
    return taken


def learning_rate_for(backbone: str) -> float:
    """Peak learning rate: a model that is gone on with takes smaller steps than one from random weights."""
    return GOING_ON_RATE if start_folder(backbone) is not None else FitSettings.learning_rate


def _fitting(model: Diagnoser, backbone: str, asked: FrontEndSettings) -> Diagnoser:
    taken = model.config.front_end
    if (asked.sampling_rate_hz, asked.window_length) != (taken.sampling_rate_hz, taken.window_length):
        raise ConfigError(
            f"{backbone} takes {taken.window_length} samples at {taken.sampling_rate_hz:g} Hz, the "
            f"recordings give {asked.window_length} at {asked.sampling_rate_hz:g} Hz; give recordings of at "
            f"least {taken.sampling_rate_hz:g} Hz and --window-length {taken.window_length}."
        )
    return model


def _from_folder(backbone: str, classes: tuple[str, ...], front_end: FrontEndSettings) -> Diagnoser:
    folder = Path(backbone)
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"backbone '{backbone}' is neither a preset ({', '.join(PRESETS)}) nor a folder with a "
            "config.json."
        )
    try:
        found = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if found.model_type not in BACKBONE_FAMILIES:
            raise UnsupportedArchitecture(
                f"{folder} holds a '{found.model_type}' model; a Diagnoser takes "
                f"{', '.join(BACKBONE_FAMILIES)}."
            )
        pretrained = AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} could not be read as a model: {error}") from error
    tokens = token_count(front_end)
    if found.max_position_embeddings < tokens:
        raise ConfigError(
            f"{folder} takes {found.max_position_embeddings} positions; the front end makes {tokens} tokens."
        )
    values = {**found.to_diff_dict(), "use_cache": False}
    values.pop("architectures", None)
    model = Diagnoser(DiagnoserConfig(classes=classes, front_end=front_end, backbone=values))
    pretrained.set_input_embeddings(torch.nn.Identity())
    model.backbone.load_state_dict(pretrained.state_dict(), strict=True)
    return model
