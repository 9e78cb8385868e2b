"""``secateur bench``: latency, memory and size of models on this machine."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli import options
from secateur.cli.numbers import whole_numbers
from secateur.core.errors import ConfigError

RESULT_FILE = "bench.json"


def bench(
    models: Annotated[
        list[Path],
        typer.Argument(help="Bundles, or ONNX graphs of backbones with an input 'tokens'."),
    ],
    against: Annotated[
        Path | None,
        typer.Option(help="The base to compare with: a bundle, a graph or a Diagnoser's checkpoint."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of one operator.")] = 1,
    tokens: Annotated[
        str,
        typer.Option(help="Tokens for backbones alone, such as 16,64; for graphs and checkpoints."),
    ] = "",
    seconds: Annotated[float, typer.Option(help="Seconds of inferences, shared by all models.")] = 60.0,
    starts: Annotated[int, typer.Option(min=1, help="Fresh processes for each model.")] = 3,
    seed: options.Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for bench.json and figures.")] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure models side by side, each in a process of its own, taking turns.

    A bundle is measured from a raw window to probabilities, as the device runs it; a checkpoint in torch.
    """
    from secateur.bench.measure import BenchSettings, measure
    from secateur.core.outputs import result_at
    from secateur.core.progress import quiet
    from secateur.core.records import to_jsonable

    settings = BenchSettings(
        seconds=seconds, threads=threads, tokens=whole_numbers("--tokens", tokens), starts=starts, seed=seed
    )
    named = _names([*([] if against is None else [against]), *models])
    bases = list(named)[:1] if len(named) > 1 else []
    with quiet() if as_json else nullcontext(), result_at(out, marker=RESULT_FILE, overwrite=overwrite):
        result = to_jsonable(measure(named, settings, bases=bases))
        if out is not None:
            _write(result, out)
    if as_json:
        typer.echo(json.dumps(result))
        return
    from secateur.cli.bench_tables import print_bench

    print_bench(result, out)


def _names(paths: list[Path]) -> dict[str, Path]:
    """Name each model after its file or folder, and after the whole path where two are called alike."""
    if len({path.resolve() for path in paths}) != len(paths):
        raise ConfigError("a model is named twice; name each once.")
    short = [path.stem if path.is_file() else path.resolve().name for path in paths]
    return {
        str(path) if short.count(name) > 1 else name: path for name, path in zip(short, paths, strict=True)
    }


def _write(result: dict[str, object], out: Path) -> None:
    from secateur.core.files import folder_aside
    from secateur.core.records import write_json
    from secateur.report.figures.bench import write_bench_figures

    with folder_aside(out) as folder:
        write_json(folder / RESULT_FILE, result)
        write_bench_figures(result, folder)
