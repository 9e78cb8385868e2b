"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secateur.core.errors import ConfigError

Data = Annotated[
    str,
    typer.Option(
        help="Folder or file of recordings, or 'simulated' for the built-in rig, 'machines' for random ones.",
        show_default=False,
    ),
]
Split = Annotated[
    str,
    typer.Option(help="Split protocol: load, load@-6, fault_size:14, fault_size:all, speed, specimen, ..."),
]
OtherData = Annotated[
    str | None, typer.Option(help="Recordings other than those that the model was trained on.")
]
OtherSplit = Annotated[str | None, typer.Option(help="Split other than that of the training.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Channel = Annotated[str | None, typer.Option(help="Channel by name; default: each recording's first.")]
WindowLength = Annotated[
    int | None,
    typer.Option(
        min=512,
        help="Samples of a window, at the lowest rate of the recordings and at most 12 kHz; fewer for short "
        "recordings. Default 8192, or what the model to go on from takes.",
    ),
]
Backbone = Annotated[
    str,
    typer.Option(
        help="nano|micro|mini|small|base with -mha or -gqa; foundation-micro or a Diagnoser's checkpoint, "
        "to go on from; or a local GPT-2 or Llama folder."
    ),
]
TrainSteps = Annotated[int, typer.Option(min=1, help="Most optimiser steps of the dense model.")]
RecoverySteps = Annotated[int, typer.Option(min=1, help="Most recovery steps, over all stages.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Windows in a training step.")]
Criterion = Annotated[
    str,
    typer.Option(help="Importance of heads and channels: taylor, surgeon, magnitude, activation, random."),
]
Snr = Annotated[
    str, typer.Option(help="Signal-to-noise ratios of the curve in dB, separated by commas; '' for none.")
]


def _train_there(context: typer.Context, name: str | None) -> str | None:
    if name is not None:
        from secateur.training.processes import training_on

        context.with_resource(training_on(name))
    return name


def _track(context: typer.Context, names: str | None) -> str | None:
    if names is not None:
        from secateur.training.tracking import tracking

        context.with_resource(tracking([name.strip() for name in names.split(",")]))
    return names


Device = Annotated[
    str | None,
    typer.Option(
        callback=_train_there,
        expose_value=False,
        help="Where training computes: auto (default: a GPU where there is one), cpu, cuda:1, mps, ...",
    ),
]
Track = Annotated[
    str | None,
    typer.Option(
        callback=_track,
        expose_value=False,
        help="Show the curves of training in tensorboard (folder runs), mlflow or wandb; separate several by "
        "commas.",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder to write.", show_default=False)]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace what another command left at --out."),
]
Description = Annotated[
    Path | None,
    typer.Option(help="YAML that describes the recordings: rate, channels, speed, bearing of each."),
]
SamplingRate = Annotated[
    float | None, typer.Option(help="Sampling rate in Hz, where a recording does not state it.", min=1.0)
]
PublicKey = Annotated[
    list[Path] | None,
    typer.Option(help="PEM file of a key that must have signed the bundle. Repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]


def parse_snr(text: str) -> tuple[float, ...]:
    """Read ``-10,-6,2``.

    Raises
    ------
    ConfigError
        If a part is not a number.
    """
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(
            f"--snr '{text}' is not a list of numbers in dB; write --snr=-10,-6,-2,2,6,10."
        ) from None


def absolute(data: str) -> str:
    """Return a data path that holds from any working directory; ``simulated`` and ``machines`` stay."""
    return data if data in ("simulated", "machines") else str(Path(data).absolute())
