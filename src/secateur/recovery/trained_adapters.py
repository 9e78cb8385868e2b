"""Adapters that a user trained on a cut model (peft): find their base again, and merge them into it."""

from __future__ import annotations

import warnings
from pathlib import Path

from peft import PeftConfig, PeftModel
from torch import nn

from secateur.core.errors import CheckpointError, ConfigError
from secateur.models import checkpoint
from secateur.models.empty_model import described


def load_merged(folder: Path) -> nn.Module:
    """Return the cut model that an adapter was trained on, with the adapter merged into it.

    Parameters
    ----------
    folder : Path
        What ``PeftModel.save_pretrained`` wrote; it names the folder of its base.

    Raises
    ------
    ConfigError
        If the base is no checkpoint of secateur here, or the adapter cannot be merged.
    CheckpointError
        If base or adapter are damaged, or the adapter belongs to another model.
    """
    try:
        config = PeftConfig.from_pretrained(str(folder))
    except Exception as error:  # whatever peft raises on a file that is no configuration of an adapter
        raise CheckpointError(f"the adapter in {folder} could not be read: {described(error)}") from error
    base = Path(str(config.base_model_name_or_path or ""))
    if checkpoint.kind_of(base) is None:
        raise ConfigError(
            f"the adapter in {folder} was trained on '{config.base_model_name_or_path}', where there is no "
            "checkpoint of secateur; put it back there, or write its folder into "
            "'base_model_name_or_path' of adapter_config.json."
        )
    model = checkpoint.load(base)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
            return PeftModel.from_pretrained(model, str(folder)).merge_and_unload().eval()
    except Exception as error:  # an adapter of another model, or of a kind that cannot be merged
        raise CheckpointError(
            f"the adapter in {folder} does not go with {base}: {described(error)}"
        ) from error
