"""``secateur compress``: recordings, or a model and its data, in; a verified small model and a report out."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli import options
from secateur.cli.cut_group import METHODS, with_cut_options
from secateur.cli.settings_file import Settings

DEFAULTS: dict[str, Any] = {
    "split": "fault_size",
    "backbone": "small-mha",
    "snr": "-10,-6,-2,2,6,10",
    "train_steps": 600,
    "batch_size": 32,
    "rivals": True,
    "seed": 0,
}
"""Where recordings are given."""


@with_cut_options
def compress(
    out: options.Out,
    *,
    model: Annotated[
        str | None,
        typer.Argument(
            help="A trained model: transformers folder, GGUF file or hub name. Leave it out with --data.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Folder or file of recordings, or 'simulated' for the built-in rig.", show_default=False
        ),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="With MODEL: the text, or the table of its task.", show_default=False)
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split protocol: load, load@-6, fault_size:14, fault_size:all, speed, specimen, ...; "
            "default fault_size (recordings only)."
        ),
    ] = None,
    channel: options.Channel = None,
    window_length: options.WindowLength = None,
    snr: Annotated[
        str | None,
        typer.Option(
            help="Signal-to-noise ratios of the curve in dB, separated by commas, '' for none; default "
            "-10,-6,-2,2,6,10 (recordings only)."
        ),
    ] = None,
    method: Annotated[str | None, typer.Option(help=f"{METHODS}. Default: cascade.")] = None,
    criterion: Annotated[
        str | None,
        typer.Option(
            help="Importance of heads and channels: taylor, surgeon, magnitude, activation, random. "
            "Default for recordings: what the check of the dense model recommends, else taylor; for text "
            "surgeon."
        ),
    ] = None,
    measure_sia: Annotated[
        bool,
        typer.Option(
            help="Measure on the dense model whether importance scores can be trusted; the structure is "
            "checked in any case."
        ),
    ] = True,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="nano|micro|mini|small|base with -mha or -gqa; foundation-micro or a Diagnoser's "
            "checkpoint, to go on from; or a local GPT-2 or Llama folder; default small-mha (recordings "
            "only)."
        ),
    ] = None,
    train_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Most optimiser steps of the dense model; default 600 (recordings only)."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random; default 0.")] = None,
    rivals: Annotated[
        bool | None,
        typer.Option(
            "--rivals/--no-rivals",
            help="Also fit the baselines: forest, fault lines, the shape from scratch. Default (recordings "
            "only).",
        ),
    ] = None,
    cut: dict[str, Any],
    overwrite: options.Overwrite = False,
    device: options.Device = None,
    track: options.Track = None,
    settings_file: Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """The whole run: train a diagnoser on recordings, or take a given model; cut, verify, export, report.

    Give --data with recordings, or MODEL with --calibration. How small: a ratio, a latency, a memory, or
    several of them, all of which then hold. The same command goes on where a stopped one ended.
    """
    from secateur.core.errors import ConfigError
    from secateur.core.locks import sole_writer
    from secateur.core.progress import quiet

    given = {
        **cut,
        **{"data": data, "calibration": calibration, "split": split, "channel": channel, "snr": snr},
        **{"window_length": window_length, "method": method, "criterion": criterion, "backbone": backbone},
        **{"train_steps": train_steps, "seed": seed, "rivals": rivals},
    }
    if (model is None) == (data is None):
        raise ConfigError(
            "give either a trained MODEL with --calibration FILE, or --data with recordings to train one on."
        )
    settings, carry_out, show = (
        _for_recordings(given, measure_sia) if model is None else _for_model(model, given, measure_sia)
    )
    with quiet() if as_json else nullcontext(), sole_writer(out):
        result = carry_out(settings, out, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        show(result, out)


def _for_recordings(given: dict[str, Any], measure_sia: bool) -> tuple[Any, Any, Any]:
    from secateur.cli.tables import print_run
    from secateur.core.errors import ConfigError
    from secateur.training.settings import FitSettings
    from secateur.workflow.backbone import learning_rate_for, windows_for
    from secateur.workflow.compress import compress as carry_out
    from secateur.workflow.cut_options import cut_of_diagnoser
    from secateur.workflow.settings import RunSettings, SiaSettings, TaskSettings, windows_of

    if given["calibration"] is not None:
        raise ConfigError("--calibration: goes with a trained MODEL; recordings are given as --data.")
    chosen = DEFAULTS | {name: value for name, value in given.items() if value is not None}
    learning_rate = learning_rate_for(chosen["backbone"])
    settings = RunSettings(
        task=TaskSettings(
            data=options.absolute(chosen["data"]),
            split=chosen["split"],
            seed=chosen["seed"],
            channel=given["channel"],
            **windows_of(windows_for(chosen["backbone"], given["window_length"])),
        ),
        backbone=chosen["backbone"],
        fit=FitSettings(
            max_steps=chosen["train_steps"],
            batch_size=chosen["batch_size"],
            learning_rate=learning_rate,
        ),
        cut=cut_of_diagnoser(given, learning_rate=learning_rate),
        snr_curve_db=options.parse_snr(chosen["snr"]),
        rivals=chosen["rivals"],
        sia=SiaSettings(measure=measure_sia, follow=given["criterion"] is None),
    )
    return settings, carry_out, print_run


def _for_model(model: str, given: dict[str, Any], measure_sia: bool) -> tuple[Any, Any, Any]:
    from secateur.cli.cut_tables import print_model_run
    from secateur.core.errors import ConfigError
    from secateur.training.tracking import require_training
    from secateur.workflow.compress_model import EVALUATIONS, NEEDS_DATA, ModelRunSettings, compress_model
    from secateur.workflow.cut_options import cut_of_model, cuts_tokens_alone
    from secateur.workflow.cut_settings import CutSettings
    from secateur.workflow.settings import SiaSettings

    if given.get("calibration") is None:  # before a cut alone is asked what it needs
        raise ConfigError(NEEDS_DATA)
    if given["method"] is None and not cuts_tokens_alone(given):
        given["method"] = CutSettings.method
    sia = SiaSettings(measure=measure_sia, follow=False, evaluations=EVALUATIONS)
    settings = ModelRunSettings(source=model, cut=cut_of_model(**given), sia=sia)
    require_training(settings.cut.recovery is not None)
    return settings, compress_model, print_model_run
