"""What ``secateur export`` prints, for each kind of result."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import typer

from secateur.core.records import to_jsonable
from secateur.export.bundle import BundleInfo
from secateur.export.causal_bundle import CausalBundleInfo
from secateur.export.encoder_bundle import EncoderBundleInfo
from secateur.export.gguf_export import GgufInfo


@singledispatch
def summary(info: Any) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    raise TypeError(f"{type(info).__name__} is no result of an export")


@singledispatch
def lines(info: Any) -> list[str]:
    """Return the lines that are shown to people."""
    raise TypeError(f"{type(info).__name__} is no result of an export")


def _of_bundle(info: BundleInfo | CausalBundleInfo | EncoderBundleInfo) -> dict[str, Any]:
    manifest = info.manifest
    return {
        "bundle": str(info.folder),
        "bytes": info.n_bytes,
        "graph_bytes": {"float32": info.float32_graph_bytes, "bundle": info.graph_bytes},
        "precision": manifest.precision,
        "quantisation": manifest.quantisation.model_dump() if manifest.quantisation else None,
        "parity": manifest.parity.model_dump(),
    }


@summary.register
def _(info: BundleInfo) -> dict[str, Any]:
    metrics = info.manifest.metrics
    return {
        **_of_bundle(info),
        "checkpoint": None if metrics is None else metrics.checkpoint_values,
        "figures": None if metrics is None else metrics.values,
    }


@lines.register
def _(info: BundleInfo) -> list[str]:
    parity, metrics = info.parity, info.manifest.metrics
    told = [
        f"{info.folder}: {info.n_bytes:,} bytes; logits differ from the checkpoint's by at most "
        f"{parity.max_abs_diff:.1e} on {parity.windows} windows, probabilities by "
        f"{parity.max_probability_change:.1e}",
        *_sizes(info),
    ]
    if metrics is not None and metrics.checkpoint_values is not None:
        before, after = metrics.checkpoint_values, metrics.values
        told.append(
            f"test windows of '{metrics.protocol}': accuracy {before['accuracy']:.4f} of the checkpoint, "
            f"{after['accuracy']:.4f} of the bundle; macro-F1 {before['macro_f1']:.4f} and "
            f"{after['macro_f1']:.4f}"
        )
    return told


@summary.register
def _(info: CausalBundleInfo) -> dict[str, Any]:
    manifest = info.manifest
    return {
        **_of_bundle(info),
        "metrics": manifest.metrics.model_dump() if manifest.metrics else None,
    }


@lines.register
def _(info: CausalBundleInfo) -> list[str]:
    parity, metrics = info.manifest.parity, info.manifest.metrics
    told = [
        f"{info.folder}: {info.n_bytes:,} bytes; logits differ from the checkpoint's by at most "
        f"{parity.prefill_max_abs_diff:.1e} on {parity.prompts} prompts and {parity.decode_max_abs_diff:.1e} "
        f"token by token; {parity.agreement:.1%} of {parity.tokens} predictions agree",
        f"greedy generation: {parity.greedy_tokens} of {parity.greedy_of} tokens as the checkpoint's before "
        "the first that differs",
        *_sizes(info),
    ]
    if metrics is not None:
        told.append(
            f"perplexity on {metrics.predicted_tokens:,} tokens: {metrics.checkpoint_perplexity:.3f} of the "
            f"checkpoint, {metrics.perplexity:.3f} of the bundle"
        )
    return told


@summary.register
def _(info: EncoderBundleInfo) -> dict[str, Any]:
    return {**_of_bundle(info), "gives": info.manifest.gives, "labels": list(info.manifest.labels)}


@lines.register
def _(info: EncoderBundleInfo) -> list[str]:
    parity, manifest = info.manifest.parity, info.manifest
    return [
        f"{info.folder}: {info.n_bytes:,} bytes; outputs differ from the checkpoint's by at most "
        f"{parity.max_abs_diff:.1e} on {parity.texts} texts (allowed {parity.tolerance:.0e})",
        f"a text gets: {manifest.gives_in_words}",
    ]


@summary.register
def _(info: GgufInfo) -> dict[str, Any]:
    return to_jsonable(info)


@lines.register
def _(info: GgufInfo) -> list[str]:
    kinds = ", ".join(f"{count} {kind}" for kind, count in info.tensors.items())
    told = [f"{info.folder}: {info.n_bytes:,} bytes, architecture {info.architecture}; tensors: {kinds}"]
    found = info.verification
    if found is None:
        return [*told, f"not verified: {info.unverified_because}"]
    return [
        *told,
        f"run by llama.cpp ({found.llama_cpp}): log-probabilities differ from the checkpoint's by at most "
        f"{found.max_abs_diff:.1e} on {found.prompts} prompts, {found.max_divergence:.1e} nats as a whole; "
        f"{found.greedy_tokens} of {found.greedy_of} greedy tokens are its own; {found.texts} texts read "
        "alike",
    ]


def show(info: Any) -> None:
    """Print a result for people."""
    for line in lines(info):
        typer.echo(line)


def _sizes(info: BundleInfo | CausalBundleInfo) -> list[str]:
    if info.manifest.quantisation is None:
        return []
    precision = info.manifest.precision
    return [f"graph: {info.float32_graph_bytes:,} bytes in fp32, {info.graph_bytes:,} in {precision}"]
