"""``secateur sia``: can this model be cut by importance, in which units, and what will it cost?"""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli import options


def sia(
    model: Annotated[
        str,
        typer.Argument(
            help="Checkpoint, transformers folder (config.json is enough), GGUF file or name on the hub.",
            show_default=False,
        ),
    ],
    data: options.OtherData = None,
    split: options.OtherSplit = None,
    text: Annotated[
        Path | None,
        typer.Option(help="Text on which a transformers model is measured; without it, structure alone."),
    ] = None,
    measure: Annotated[
        bool, typer.Option(help="Measure a Diagnoser on the windows of its task; else structure alone.")
    ] = True,
    ratio: Annotated[
        float | None,
        typer.Option(min=1.0, help="Predict the cost at this ratio of dense over remaining parameters."),
    ] = 4.0,
    budget: Annotated[float, typer.Option(min=0.1, help="Most seconds of measuring.")] = 60.0,
    width: Annotated[
        float, typer.Option(min=0.001, help="Stop measuring once every interval is this narrow.")
    ] = 0.1,
    samples: Annotated[
        int | None,
        typer.Option(min=4, help="Calibration samples; default 128 windows, 24 blocks or 64 sentences."),
    ] = None,
    seed: options.Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for sia.json, sia.html and the pictures.", show_default=False)
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Check before cutting whether importance scores can be trusted.

    The structural part needs no data and no weights. The measured part removes units and looks whether
    losses add up, ranks hold, and scores foresee the loss.
    """
    from secateur.cli.sia_tables import Telling, print_check
    from secateur.core.outputs import result_at
    from secateur.core.progress import quiet
    from secateur.report.sia import RECORD, write_sia
    from secateur.workflow.sia import Effort

    effort = Effort(budget_s=budget, width=width, samples=samples)
    with quiet() if as_json else nullcontext(), result_at(out, marker=RECORD, overwrite=overwrite):
        common = {"ratio": ratio, "effort": effort, "seed": seed, "tell": Telling()}
        record = _record(model, data, split, text, measure, **common)
        if out is not None:
            write_sia(record, out)
    if as_json:
        typer.echo(json.dumps(record))
    else:
        print_check(record, out)


def _record(
    model: str, data: str | None, split: str | None, text: Path | None, measure: bool, **common: Any
) -> dict[str, Any]:
    from secateur.cli.model_kind import is_diagnoser
    from secateur.core.errors import ConfigError
    from secateur.workflow.sia import check_diagnoser, check_transformer, structural_record

    given = {"--data": data, "--split": split, "--text": text}
    of_recordings = is_diagnoser(model, if_gone=data is not None or split is not None)
    wrong = [
        name for name, value in given.items() if value is not None and (name == "--text") == of_recordings
    ]
    if wrong:
        kind = "a Diagnoser, which is measured on recordings" if of_recordings else "a transformers model"
        raise ConfigError(f"{', '.join(wrong)}: not for {kind}; leave out.")
    if of_recordings and measure:
        return check_diagnoser(Path(model), data=data, split=split, **common)
    if text is not None and measure:
        return check_transformer(model, text, **common)
    return structural_record(model, ratio=common["ratio"])
