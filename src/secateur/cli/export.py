"""``secateur export``: a checkpoint to an ONNX bundle."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secateur.cli import options
from secateur.core.errors import ConfigError

if TYPE_CHECKING:
    from secateur.export.bundle import BundleInfo

_PRECISIONS = {"fp32": "float32", "int8": "int8"}
_SCHEMES = ("dynamic", "static")


def export(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder.", show_default=False)],
    out: options.Out,
    data: options.OtherData = None,
    split: options.OtherSplit = None,
    precision: Annotated[str, typer.Option(help="Of the backbone's weights: fp32 or int8.")] = "fp32",
    quantise: Annotated[
        str | None,
        typer.Option(
            help="With int8: ranges of activations from each batch (dynamic), or fixed on training windows "
            "(static); default: dynamic.",
            show_default=False,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Export a model as an ONNX bundle, its parity proved and its figures measured on real windows."""
    _check(precision, quantise)
    from secateur.core.progress import quiet
    from secateur.models.checkpoint import describe
    from secateur.workflow.export import export_bundle
    from secateur.workflow.steps import load_for_task

    with quiet() if as_json else nullcontext():
        loaded, task, preparation = load_for_task(model, data=data, split=split)
        info = export_bundle(
            loaded,
            preparation,
            folder=out,
            plan=describe(model).plan,
            name=model.resolve().name,
            seed=task.seed,
            precision=_PRECISIONS[precision],
            scheme=quantise,
        )
    if as_json:
        typer.echo(json.dumps(_summary(out, info)))
    else:
        _show(out, info)


def _check(precision: str, quantise: str | None) -> None:
    if precision not in _PRECISIONS:
        raise ConfigError(f"--precision '{precision}'; choose {' or '.join(_PRECISIONS)}.")
    if quantise is None:
        return
    if quantise not in _SCHEMES:
        raise ConfigError(f"--quantise '{quantise}'; choose {' or '.join(_SCHEMES)}.")
    if precision != "int8":
        raise ConfigError(f"--quantise {quantise} needs --precision int8; add it, or leave --quantise out.")


def _summary(out: Path, info: BundleInfo) -> dict[str, Any]:
    manifest = info.manifest
    return {
        "bundle": str(out),
        "bytes": info.n_bytes,
        "graph_bytes": {"float32": info.float32_graph_bytes, "bundle": info.graph_bytes},
        "precision": manifest.precision,
        "quantisation": manifest.quantisation.model_dump() if manifest.quantisation else None,
        "parity": info.parity.model_dump(),
        "checkpoint": manifest.metrics.checkpoint_values,
        "figures": manifest.metrics.values,
    }


def _show(out: Path, info: BundleInfo) -> None:
    parity, metrics = info.parity, info.manifest.metrics
    typer.echo(
        f"{out}: {info.n_bytes:,} bytes; logits differ from the checkpoint's by at most "
        f"{parity.max_abs_diff:.1e} on {parity.windows} windows, probabilities by "
        f"{parity.max_probability_change:.1e}"
    )
    if info.manifest.quantisation is not None:
        typer.echo(f"graph: {info.float32_graph_bytes:,} bytes in fp32, {info.graph_bytes:,} in int8")
    before, after = metrics.checkpoint_values, metrics.values
    typer.echo(
        f"test windows of '{metrics.protocol}': accuracy {before['accuracy']:.4f} of the checkpoint, "
        f"{after['accuracy']:.4f} of the bundle; macro-F1 {before['macro_f1']:.4f} and "
        f"{after['macro_f1']:.4f}"
    )
