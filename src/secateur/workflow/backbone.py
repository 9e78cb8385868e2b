"""The dense model of a run: a preset, or a local folder of a supported family."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel

from secateur.core.errors import CheckpointError, ConfigError, UnsupportedArchitecture
from secateur.core.seeds import derive
from secateur.models.diagnoser import BACKBONE_FAMILIES, Diagnoser, DiagnoserConfig
from secateur.models.foundation import start_folder, start_from, window_length_of
from secateur.models.front_end.tokens import token_count
from secateur.models.presets import PRESETS, preset_config
from secateur.training.settings import FitSettings
from secateur.workflow.settings import TaskSettings
from secateur.workflow.task import Preparation

GOING_ON_RATE = 3e-4


def build_dense(backbone: str, preparation: Preparation, *, seed: int) -> Diagnoser:
    """Build the untrained dense model.

    Parameters
    ----------
    backbone : str
        Name of a preset (random weights); ``foundation-micro`` or the checkpoint of a Diagnoser (all weights
        but those of classes that it does not know); or a folder with ``config.json`` and safetensors of a
        GPT-2 or Llama model, whose weights the backbone starts from. No code of the folder is executed.
    preparation : Preparation
        Classes and front end.
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
            return _fitting(start_from(folder, preparation.classes), backbone, preparation)
        if backbone in PRESETS:
            config = preset_config(backbone, classes=preparation.classes, front_end=preparation.front_end)
            return Diagnoser(config)
        return _from_folder(backbone, preparation)


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
    taken = window_length_of(folder)
    if window_length not in (None, taken):
        raise ConfigError(
            f"windows of {window_length} samples were asked for, but {backbone} takes {taken}; leave "
            "--window-length out, or take a backbone that is not trained yet, such as small-mha."
        )
    return taken


def learning_rate_for(backbone: str) -> float:
    """Peak learning rate: a model that is gone on with takes smaller steps than one from random weights."""
    return GOING_ON_RATE if start_folder(backbone) is not None else FitSettings.learning_rate


def _fitting(model: Diagnoser, backbone: str, preparation: Preparation) -> Diagnoser:
    asked, taken = preparation.front_end, model.config.front_end
    if (asked.sampling_rate_hz, asked.window_length) != (taken.sampling_rate_hz, taken.window_length):
        raise ConfigError(
            f"{backbone} takes {taken.window_length} samples at {taken.sampling_rate_hz:g} Hz, the "
            f"recordings give {asked.window_length} at {asked.sampling_rate_hz:g} Hz; give recordings of at "
            f"least {taken.sampling_rate_hz:g} Hz and --window-length {taken.window_length}."
        )
    return model


def _from_folder(backbone: str, preparation: Preparation) -> Diagnoser:
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
    tokens = token_count(preparation.front_end)
    if found.max_position_embeddings < tokens:
        raise ConfigError(
            f"{folder} takes {found.max_position_embeddings} positions; the front end makes {tokens} tokens."
        )
    values = {**found.to_diff_dict(), "use_cache": False}
    values.pop("architectures", None)
    model = Diagnoser(
        DiagnoserConfig(classes=preparation.classes, front_end=preparation.front_end, backbone=values)
    )
    pretrained.set_input_embeddings(torch.nn.Identity())
    model.backbone.load_state_dict(pretrained.state_dict(), strict=True)
    return model
