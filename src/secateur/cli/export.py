"""``secateur export``: a checkpoint to what a device runs."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from secateur.cli import options
from secateur.core.errors import ConfigError

if TYPE_CHECKING:
    from secateur.workflow.export_request import AskedPrecision, Scheme

_PRECISIONS = {
    "onnx": ("fp32", "bf16", "int8", "int4"),
    "openvino": ("fp32", "bf16", "int8", "int4"),
    "gguf": ("fp32", "fp16", "int8", "int4"),
    "executorch": ("fp32", "int8"),
    "litert": ("fp32", "int8"),
}
_LACKING = {
    ("executorch", "bf16"): "ExecuTorch leaves bfloat16 in XNNPACK switched off",
    ("executorch", "int4"): "this release writes none of XNNPACK's 4-bit weights",
    ("litert", "bf16"): "its quantiser writes no bfloat16",
    ("litert", "int4"): "this release writes none of its 4-bit weights",
}
_SCHEMES = {
    "onnx": ("dynamic", "static"),
    "openvino": ("weights", "dynamic", "static"),
    "executorch": ("dynamic", "static"),
    "litert": ("dynamic", "weights", "static"),
}


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="Checkpoint folder; for a language model also a transformers folder, GGUF file, or name on "
            "the hub.",
            show_default=False,
        ),
    ],
    out: options.Out,
    format: Annotated[
        str,
        typer.Option(
            help="onnx; for a Diagnoser also openvino, executorch or litert, for a causal language model "
            "also gguf (for llama.cpp)."
        ),
    ] = "onnx",
    data: options.OtherData = None,
    split: options.OtherSplit = None,
    text: Annotated[
        Path | None,
        typer.Option(
            help="Text in UTF-8 on which a causal language model is judged; int8 and int4 need it.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="Precision of the weights: fp32, bf16, int8 or int4; as GGUF fp32, fp16, int8 (Q8_0) or "
            "int4 (Q4_0)."
        ),
    ] = "fp32",
    quantise: Annotated[
        str | None,
        typer.Option(
            help="With int8: ranges of activations from each batch (dynamic), or fixed on training windows "
            "(static), or with openvino and litert weights alone (weights); default: dynamic, with openvino "
            "weights, and for language models weights in blocks.",
            show_default=False,
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Export a model for a device, its parity proved.

    A Diagnoser becomes a bundle for ONNX Runtime, OpenVINO, ExecuTorch or LiteRT that is judged on test
    windows. A causal language model becomes an ONNX bundle with a key/value cache, or a GGUF file; an
    encoder or a classifier of texts an ONNX bundle that gives embeddings or classes.
    """
    _require_possible(format, precision, quantise)
    from secateur.bundle.manifest import MANIFEST_FILE
    from secateur.cli.export_tables import show, summary
    from secateur.core.outputs import result_at
    from secateur.core.progress import quiet
    from secateur.export.gguf_export import GGUF_RECORD
    from secateur.workflow.export import export_model
    from secateur.workflow.export_request import ExportRequest

    request = ExportRequest(
        source=model,
        folder=out,
        precision=cast("AskedPrecision", precision),
        quantise=cast("Scheme | None", quantise),
        data=data,
        split=split,
        text=text,
    )
    marker = GGUF_RECORD if format == "gguf" else MANIFEST_FILE
    with quiet() if as_json else nullcontext(), result_at(out, marker=marker, overwrite=overwrite):
        info = export_model(request, format=format)
    if as_json:
        typer.echo(json.dumps(summary(info)))
    else:
        show(info)


def _require_possible(format: str, precision: str, quantise: str | None) -> None:
    if format not in _PRECISIONS:
        raise ConfigError(f"--format '{format}'; choose {' or '.join(_PRECISIONS)}.")
    if precision not in _PRECISIONS[format]:
        reason = _LACKING.get((format, precision))
        raise ConfigError(
            f"--precision '{precision}'; choose {' or '.join(_PRECISIONS[format])} for {format}"
            f"{f': {reason}' if reason else ''}."
        )
    if quantise is None:
        return
    if precision != "int8" or format not in _SCHEMES:
        raise ConfigError(
            f"--quantise {quantise} needs --precision int8 and --format {' or '.join(_SCHEMES)}; add them, "
            "or leave it out."
        )
    if quantise not in _SCHEMES[format]:
        raise ConfigError(f"--quantise '{quantise}'; choose {' or '.join(_SCHEMES[format])} for {format}.")
