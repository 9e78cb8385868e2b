"""The bundle of a causal language model: graph, manifest, golden tokens and tokenizer in one folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from secateur.bundle.causal_golden import write_golden_tokens
from secateur.bundle.causal_manifest import (
    DATA_FILE,
    CausalManifest,
    GoldenTokensRecord,
    TextMetricsRecord,
)
from secateur.bundle.causal_session import CausalSession
from secateur.bundle.manifest import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    FileRecord,
    LayerRecord,
    LineageRecord,
    Precision,
    QuantisationRecord,
)
from secateur.bundle.verify import verify_bundle
from secateur.core.errors import ExportError
from secateur.core.files import folder_aside, require_replaceable, sha256_of
from secateur.core.progress import console
from secateur.core.records import write_json
from secateur.edge.generate import greedy
from secateur.export.bundle import plan_sha256
from secateur.export.causal_cache import CausalModel, CausalScopes, causal_model
from secateur.export.causal_onnx import export_causal_onnx
from secateur.export.causal_parity import (
    CAUSAL_TOLERANCES,
    NEW_TOKENS,
    CausalTolerance,
    Prompts,
    largest_logit,
    measure_causal_parity,
    reference_generation,
)
from secateur.export.causal_quantise import CausalScheme, quantise_causal
from secateur.export.onnx import frozen_copy
from secateur.structure.plan import PruningPlan


@dataclass(frozen=True, kw_only=True)
class CausalBundleInfo:
    """What was written.

    Attributes
    ----------
    folder : Path
        The bundle.
    manifest : CausalManifest
        Its manifest.
    n_bytes : int
        Size of the whole bundle.
    float32_graph_bytes : int
        Size of the graph, weights included, before it was quantised.
    """

    folder: Path
    manifest: CausalManifest
    n_bytes: int
    float32_graph_bytes: int

    @property
    def graph_bytes(self) -> int:
        """Size of the graph, weights included."""
        files = self.manifest.files
        return sum(files[name].bytes for name in (MODEL_FILE, DATA_FILE) if name in files)


def write_causal_bundle(
    model: nn.Module,
    prompts: Prompts,
    out: Path,
    *,
    name: str,
    plan: PruningPlan | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    metrics: Callable[[CausalSession], TextMetricsRecord] | None = None,
    lineage: Mapping[str, Any] | None = None,
    precision: Precision = "float32",
    scheme: CausalScheme = "weights",
    tolerance: CausalTolerance | None = None,
    new_tokens: int = NEW_TOKENS,
) -> CausalBundleInfo:
    """Export a causal language model, prove its parity on prompts, and write the bundle.

    The folder appears under its name only after the graph has agreed with the checkpoint at every step and
    the finished bundle has passed the same check that a device makes.

    Parameters
    ----------
    model : PreTrainedModel
        Left as it is; what is exported is a float32 copy, which is quantised afterwards.
    prompts : sequence of sequence of int
        Tokens to prove parity with; the first becomes the golden prompt.
    out : Path
        The folder; a former bundle there is replaced, anything else is refused.
    name : str
        What to call the model.
    plan : PruningPlan, optional
        What was kept of the dense model; names the original position of each layer.
    tokenizer : PreTrainedTokenizerBase, optional
        Its files are put beside the graph.
    metrics : callable, optional
        What measures figures of merit on the finished graph.
    lineage : mapping, optional
        Fields of :class:`~secateur.bundle.manifest.LineageRecord` except ``plan_sha256``.
    precision : {"float32", "bfloat16", "int8", "int4"}
        Of the matrices; norms and biases stay in float32, and with int4 embedding and head have 8 bits.
    scheme : {"weights", "dynamic"}
        How int8 is reached; see :func:`secateur.export.causal_quantise.quantise_causal`.
    tolerance : CausalTolerance, optional
        Default: that of the precision in ``secateur.export.causal_parity.CAUSAL_TOLERANCES``.
    new_tokens : int
        Tokens of greedy generation that are compared.

    Raises
    ------
    ConfigError
        If the model is no decoder, ``out`` holds something that is no bundle, or prompts do not fit.
    UnsupportedArchitecture
        If the family is not known.
    ExportError
        If the model cannot be exported or quantised, or parity fails.
    """
    tolerance = tolerance or CAUSAL_TOLERANCES[precision]
    require_replaceable(Path(out), MANIFEST_FILE)
    causal = causal_model(model)
    layers = _layers(causal, plan)
    causal = causal_model(frozen_copy(model))
    references = reference_generation(causal, prompts, new_tokens=new_tokens)
    with folder_aside(Path(out)) as folder:
        graph = folder / MODEL_FILE
        console.print("exporting to ONNX")
        export_causal_onnx(causal, graph)
        float32_graph_bytes = sum(file.stat().st_size for file in folder.iterdir())
        record = None
        if precision != "float32":
            record = _quantised(graph, precision, causal.scopes, scheme)
        session = CausalSession(graph)
        parity = measure_causal_parity(session, references, tolerance=tolerance)
        golden = references[0].prompt, greedy(session, [references[0].prompt], new_tokens)[0].tokens
        write_golden_tokens(folder / GOLDEN_FILE, session, *golden)
        measured = metrics(session) if metrics else None
        del session
        tokenizer_files = _write_tokenizer(folder, tokenizer)
        manifest = CausalManifest(
            name=name,
            family=causal.bound.spec.family,
            vocabulary=causal.vocabulary,
            context_length=causal.context_length,
            end_tokens=causal.end_tokens,
            layers=layers,
            cache_heads=causal.cache_heads,
            head_dim=causal.head_dim,
            parameters=sum(parameter.numel() for parameter in causal.model.parameters()),
            precision=precision,
            quantisation=record,
            tokenizer_files=tokenizer_files,
            files={
                file.name: FileRecord(sha256=sha256_of(file), bytes=file.stat().st_size)
                for file in sorted(folder.iterdir())
            },
            parity=parity,
            metrics=measured,
            lineage=LineageRecord(**{**(lineage or {}), "plan_sha256": plan_sha256(plan) if plan else None}),
            golden=GoldenTokensRecord(
                file=GOLDEN_FILE,
                prompt_tokens=len(golden[0]),
                new_tokens=len(golden[1]),
                tolerance=tolerance.golden * largest_logit(references),
            ),
        )
        write_json(folder / MANIFEST_FILE, manifest.model_dump(mode="json"))
        verify_bundle(folder)
        n_bytes = sum(file.stat().st_size for file in folder.iterdir())
    return CausalBundleInfo(
        folder=Path(out), manifest=manifest, n_bytes=n_bytes, float32_graph_bytes=float32_graph_bytes
    )


def _layers(causal: CausalModel, plan: PruningPlan | None) -> tuple[LayerRecord, ...]:
    bound = causal.bound.layers
    positions = [layer.index for layer in (plan.layers if plan else bound)]
    if len(positions) != len(bound):
        raise ExportError(
            f"the plan keeps {len(positions)} layers but the model has {len(bound)}; give the plan that the "
            "model was cut by."
        )
    return tuple(
        LayerRecord(index=index, heads=layer.n_heads, groups=layer.n_groups, channels=layer.n_channels)
        for index, layer in zip(positions, bound, strict=True)
    )


def _quantised(
    graph: Path, precision: Precision, scopes: CausalScopes, scheme: CausalScheme
) -> QuantisationRecord:
    if graph.with_name(DATA_FILE).exists():
        raise ExportError(
            "the weights do not fit into one ONNX file, and only a graph in one file is quantised here; "
            "export in fp32, or as GGUF."
        )
    console.print(f"bringing weights to {precision}")
    return quantise_causal(graph, precision, scopes, scheme=scheme)


def _write_tokenizer(folder: Path, tokenizer: PreTrainedTokenizerBase | None) -> tuple[str, ...]:
    """Write the tokenizer's files, and return their names."""
    if tokenizer is None:
        return ()
    before = set(folder.iterdir())
    tokenizer.save_pretrained(folder)
    return tuple(sorted(file.name for file in set(folder.iterdir()) - before))
