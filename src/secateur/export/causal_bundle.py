"""The bundle of a causal language model: graph, manifest, golden tokens and tokenizer in one folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    Precision,
    QuantisationRecord,
)
from secateur.core.errors import ExportError
from secateur.core.files import folder_aside, require_replaceable
from secateur.core.progress import console
from secateur.edge.generate import greedy
from secateur.export.causal_cache import CausalScopes, causal_model
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
from secateur.export.sealing import Sealed, described_as, file_records, layer_records, lineage_record, seal
from secateur.structure.plan import PruningPlan


class CausalBundleInfo(Sealed[CausalManifest]):
    """A bundle of a causal language model that was written."""

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
    layers = layer_records(causal.bound.layers, plan)
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
        manifest = described_as(
            CausalManifest,
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
            files=file_records(sorted(folder.iterdir())),
            parity=parity,
            metrics=measured,
            lineage=lineage_record(lineage, plan),
            golden=GoldenTokensRecord(
                file=GOLDEN_FILE,
                prompt_tokens=len(golden[0]),
                new_tokens=len(golden[1]),
                tolerance=tolerance.golden * largest_logit(references),
            ),
        )
        n_bytes = seal(folder, manifest)
    return CausalBundleInfo(
        folder=Path(out), manifest=manifest, n_bytes=n_bytes, float32_graph_bytes=float32_graph_bytes
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
