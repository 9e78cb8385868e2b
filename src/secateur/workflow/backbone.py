"""The dense model of a run: a preset, or a local folder of a supported family."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel

from secateur.core.errors import CheckpointError, ConfigError, UnsupportedArchitecture
from secateur.core.seeds import derive
from secateur.models.diagnoser import BACKBONE_FAMILIES, Diagnoser, DiagnoserConfig
from secateur.models.front_end.tokens import token_count
from secateur.models.presets import PRESETS, preset_config
from secateur.workflow.task import Preparation


def build_dense(backbone: str, preparation: Preparation, *, seed: int) -> Diagnoser:
    """Build the untrained dense model.

    Parameters
    ----------
    backbone : str
        Name of a preset (random weights), or a folder with ``config.json`` and safetensors of a GPT-2 or
        Llama model, whose weights the backbone starts from. No code of the folder is executed.
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
        if backbone in PRESETS:
            config = preset_config(backbone, classes=preparation.classes, front_end=preparation.front_end)
            return Diagnoser(config)
        return _from_folder(backbone, preparation)


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
