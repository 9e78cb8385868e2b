"""Diagnosers to start from: the one that comes with the package, or any saved one, with a new head."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from secateur.core.errors import ConfigError
from secateur.models import checkpoint
from secateur.models.checkpoint_files import CHECKSUMS
from secateur.models.diagnoser import Diagnoser, DiagnoserConfig
from secateur.models.front_end.settings import FrontEndSettings

FOUNDATIONS: dict[str, Path] = {"foundation-micro": Path(__file__).with_name("micro")}
"""Checkpoints that come with the package by name, trained on simulated machines alone."""


def start_folder(backbone: str) -> Path | None:
    """Return the folder of a Diagnoser to start from; None if ``backbone`` names something else."""
    if backbone in FOUNDATIONS:
        return FOUNDATIONS[backbone]
    folder = Path(backbone)
    if (folder / CHECKSUMS).is_file() and checkpoint.kind_of(folder) == "diagnoser":
        return folder
    return None


def front_end_of(folder: Path) -> FrontEndSettings:
    """Front end of a saved Diagnoser."""
    config = checkpoint.describe(folder).config
    if not isinstance(config, DiagnoserConfig):
        raise ConfigError(f"{folder} holds no Diagnoser; only a Diagnoser takes windows.")
    return config.front_end


def start_from(folder: Path, classes: tuple[str, ...]) -> Diagnoser:
    """Return a saved Diagnoser with a head for these classes.

    The rows of classes that it knows by name are kept, those of others start as small random numbers.

    Parameters
    ----------
    folder : Path
    classes : tuple of str

    Raises
    ------
    ConfigError
        If the model was cut.
    """
    described = checkpoint.describe(folder)
    if not described.plan.is_identity:
        raise ConfigError(f"{folder} is a cut model; go on from the dense one that it was cut from.")
    known = checkpoint.load(folder)
    if tuple(known.config.classes) == classes:
        return known
    config = dataclasses.replace(known.config, classes=classes)
    model = Diagnoser(config)
    model.front_end.load_state_dict(known.front_end.state_dict())
    model.backbone.load_state_dict(known.backbone.state_dict())
    with torch.no_grad():
        for row, name in enumerate(classes):
            if name in known.config.classes:
                place = list(known.config.classes).index(name)
                model.head.weight[row] = known.head.weight[place]
                model.head.bias[row] = known.head.bias[place]
    return model
