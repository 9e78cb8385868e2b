"""Build a transformers model from its configuration without weights, whatever the configuration holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import init_empty_weights
from transformers import PreTrainedModel

from secateur.core.errors import ConfigError, UnsupportedArchitecture

LARGEST_COUNT = 10_000
"""Layers, heads or experts of which no model has more; a configuration that tells more is damaged."""
COUNTED = ("layers", "layer", "heads", "head", "experts")


def class_of(config: Any) -> type[PreTrainedModel]:
    """Return the class of transformers' own that a configuration names.

    Without a name it is the model without a head.

    Raises
    ------
    UnsupportedArchitecture
        If it names none.
    """
    if (named := named_class(config)) is not None:
        return named
    try:
        return transformers.AutoModel._model_mapping[type(config)]
    except KeyError:
        raise UnsupportedArchitecture(
            f"the configuration names {config.architectures or 'no class'}, which transformers "
            f"{transformers.__version__} does not have; classes from a model's folder are never run."
        ) from None


def named_class(config: Any) -> type[PreTrainedModel] | None:
    """Return the class under ``architectures``; None where there is none that transformers has."""
    names = config.architectures
    for name in names if isinstance(names, list | tuple) else ():
        found = getattr(transformers, name, None) if isinstance(name, str) else None
        if isinstance(found, type) and issubclass(found, PreTrainedModel):
            return found
    return None


def empty_model(config: Any, place: str | Path, *, real_buffers: bool = False) -> PreTrainedModel:
    """Return the model that a configuration describes, every parameter on the meta device.

    Parameters
    ----------
    config : PreTrainedConfig
    place : str or Path
        Where it came from, for messages.
    real_buffers : bool
        Whether buffers (rotary frequencies, masks) are computed; they take memory.

    Raises
    ------
    UnsupportedArchitecture
        If transformers has no class for it.
    ConfigError
        If transformers cannot build a model of these values.
    """
    model_class = class_of(config)
    _require_plausible_counts(config, place)
    try:
        with torch.random.fork_rng(devices=[]), init_empty_weights(include_buffers=not real_buffers):
            model = model_class._from_config(config)
        model.tie_weights()
    except Exception as error:  # any value can stand in a configuration, and raise anything
        raise ConfigError(
            f"transformers cannot build a {model_class.__name__} from the configuration of {place}: "
            f"{described(error)}"
        ) from error
    return model.eval()


def described(error: BaseException) -> str:
    """Return an error of another package on one line, with its type where the text alone says little."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:3])[:400]
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return said if said.endswith(".") else f"{said}."


def _require_plausible_counts(config: Any, place: str | Path) -> None:
    for name, value in vars(config).items():
        if isinstance(value, bool) or not isinstance(value, int) or name.rpartition("_")[2] not in COUNTED:
            continue
        if not 0 <= value <= LARGEST_COUNT:
            raise ConfigError(
                f"the configuration of {place} tells {name} = {value}; 0 to {LARGEST_COUNT:,} is possible. "
                "Restore its config.json."
            )
