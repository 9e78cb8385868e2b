"""``secateur evaluate``: judge a Diagnoser on recordings, a language model on a text, an encoder on pairs."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli import options


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="Checkpoint, transformers folder, GGUF file, or name on the hub.", show_default=False
        ),
    ],
    data: options.OtherData = None,
    split: options.OtherSplit = None,
    against: Annotated[
        str | None, typer.Option(help="The dense model, to measure the distance to it.", show_default=False)
    ] = None,
    snr: options.Snr = "",
    text: Annotated[
        Path | None, typer.Option(help="Text on which a causal language model's perplexity is measured.")
    ] = None,
    context: Annotated[
        int | None, typer.Option(min=2, help="Tokens of a window of the text, default 512; with --text.")
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1, help="Tokens from one window to the next, default the context (side by side); with --text."
        ),
    ] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Compare an encoder's embeddings of paraphrases.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Judge a model, and compare it with another if asked.

    A Diagnoser is judged on test windows, clean or noisy; a causal language model by its perplexity on a
    text; an encoder of text by how it places paraphrases and unrelated sentences.
    """
    from secateur.cli.model_kind import is_diagnoser
    from secateur.core.progress import quiet

    for_recordings = {"--data": data, "--split": split, "--snr": snr or None}
    for_text = {"--text": text, "--context": context, "--stride": stride, "--pairs": pairs or None}
    with quiet() if as_json else nullcontext():
        if is_diagnoser(model, if_gone=text is None and not pairs):
            _refuse(for_text, "a Diagnoser, which is judged on recordings")
            result, show = _on_recordings(model, data, split, against, snr)
        else:
            _refuse(for_recordings, "a transformers model, which is judged by --text FILE or --pairs")
            result, show = _on_text(model, text, context, stride, pairs, against)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        show(result)


Judged = tuple[dict[str, Any], Callable[[dict[str, Any]], None]]


def _refuse(given: dict[str, Any], kind: str) -> None:
    from secateur.core.errors import ConfigError

    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise ConfigError(f"{', '.join(wrong)}: not for {kind}; leave out.")


def _on_recordings(model: str, data: str | None, split: str | None, against: str | None, snr: str) -> Judged:
    from secateur.cli.tables import print_evaluation
    from secateur.workflow.judge import judge_checkpoint

    dense = None if against is None else Path(against)
    levels = options.parse_snr(snr)
    result = judge_checkpoint(Path(model), against=dense, data=data, split=split, snr_curve_db=levels)
    return result, print_evaluation


def _on_text(
    model: str, text: Path | None, context: int | None, stride: int | None, pairs: bool, against: str | None
) -> Judged:
    from secateur.cli.text_tables import print_encoder, print_language_model
    from secateur.core.errors import ConfigError
    from secateur.workflow.judge_text import judge_encoder, judge_language_model

    if pairs and text is None:
        _refuse({"--context": context, "--stride": stride}, "--pairs")
        return judge_encoder(model, against=against), print_encoder
    if pairs or text is None:
        raise ConfigError(
            f"{model} is a transformers model: give --text FILE for a causal language model, or --pairs for "
            "an encoder."
        )
    result = judge_language_model(model, text, context=context, stride=stride, against=against)
    return result, print_language_model
