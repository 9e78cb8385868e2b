"""The step from a model of texts to a bundle or a GGUF file; language models are judged on a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from secateur.bundle.causal_manifest import TextMetricsRecord
from secateur.bundle.causal_session import CausalSession
from secateur.bundle.manifest import Precision
from secateur.core.errors import ConfigError, DataError
from secateur.core.files import sha256_of
from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.seeds import generator
from secateur.export.causal_bundle import CausalBundleInfo, write_causal_bundle
from secateur.export.causal_parity import NEW_TOKENS
from secateur.export.encoder_bundle import EncoderBundleInfo, write_encoder_bundle
from secateur.export.gguf_export import GgufInfo, export_gguf
from secateur.export.gguf_file import GgufPrecision, require_gguf
from secateur.models import checkpoint
from secateur.models.attributes import most_tokens, tokens_that_fit
from secateur.models.pretrained import open_pretrained
from secateur.models.text import TokenSource, opening_tokens
from secateur.structure.plan import PruningPlan
from secateur.tasks.heads import require_causal_lm
from secateur.tasks.kinds import objective_of
from secateur.tasks.names import ObjectiveName
from secateur.tasks.perplexity import Perplexity, perplexity
from secateur.workflow.export_request import ExportRequest

PROMPTS = 4
PROMPT_TOKENS = 16
CONTEXT = 512
JUDGED_TOKENS = 4096
"""Tokens of the text on which checkpoint and bundle are compared, at most."""

CAUSAL_PRECISIONS: Mapping[str, Precision] = {
    "fp32": "float32",
    "bf16": "bfloat16",
    "int8": "int8",
    "int4": "int4",
}
GGUF_PRECISIONS: Mapping[str, GgufPrecision] = {
    "fp32": "f32",
    "fp16": "f16",
    "int8": "q8_0",
    "int4": "q4_0",
}
_JUDGED = ("int8", "int4")
"""Precisions that are written only if a text tells what they cost."""


@dataclass(frozen=True, kw_only=True)
class TextModel:
    """A language model to be exported.

    Attributes
    ----------
    name : str
        Last part of where it was opened.
    model : PreTrainedModel
    tokenizer : PreTrainedTokenizerBase or None
    plan : PruningPlan or None
        What was kept of the dense model, for a checkpoint of ours.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase | None
    plan: PruningPlan | None


def open_text_model(source: str) -> TextModel:
    """Open a checkpoint of ours, a ``transformers`` folder, a GGUF file, or a name on the hub.

    Raises
    ------
    SecateurError
        See :func:`secateur.models.pretrained.open_pretrained`.
    """
    opened, folder = open_pretrained(source), Path(source)
    ours = checkpoint.kind_of(folder) is not None
    return TextModel(
        name=folder.resolve().name if folder.exists() else folder.name,
        model=opened.model,
        tokenizer=opened.tokenizer,
        plan=checkpoint.describe(folder).plan if ours else None,
    )


def export_text_bundle(request: ExportRequest) -> CausalBundleInfo | EncoderBundleInfo:
    """Write the ONNX bundle of a model of texts: a language model, or an encoder of texts.

    Raises
    ------
    ConfigError
        If an option is not for such a model, or its head is neither.
    SecateurError
        As :func:`export_causal_bundle` and :func:`export_encoder_bundle`.
    """
    opened = open_text_model(request.source)
    return BUNDLES[objective_of(opened.model).name](request, opened)


def export_encoder_bundle(request: ExportRequest, opened: TextModel) -> EncoderBundleInfo:
    """Write the bundle of an encoder (mean-pooled embeddings) or a classifier of texts.

    Raises
    ------
    ConfigError
        If an option is not for it, or the model has another head.
    ExportError
        As :func:`secateur.export.encoder_bundle.write_encoder_bundle`.
    """
    request.require_only(set(), "an encoder of texts")
    if request.precision != "fp32":
        raise ConfigError(f"--precision {request.precision}: not for an encoder of texts; choose fp32.")
    return write_encoder_bundle(
        opened.model,
        request.folder,
        name=opened.name,
        tokenizer=opened.tokenizer,
        plan=opened.plan,
        lineage=_lineage(),
    )


def export_causal_bundle(request: ExportRequest, opened: TextModel) -> CausalBundleInfo:
    """Write the ONNX bundle of a causal language model, its parity proved on prompts.

    With a text, prompts are taken from it, and the perplexity of checkpoint and bundle is measured on its
    first 4,096 tokens, in windows of 512. Without, prompts are random tokens.

    Raises
    ------
    ConfigError
        If the model is no decoder, an option is not for it, or int8 or int4 is asked for without a text.
    DataError
        If the text is missing, empty, not UTF-8 or too short.
    ExportError
        As :func:`secateur.export.causal_bundle.write_causal_bundle`.
    """
    request.require_only({"text", "quantise"}, "a causal language model")
    if request.quantise == "static":
        raise ConfigError(
            "--quantise static: not for a causal language model; leave it out for 8-bit weights in blocks, "
            "or choose dynamic."
        )
    if request.precision in _JUDGED and request.text is None:
        raise ConfigError(f"a language model in {request.precision} is judged on a text; add --text FILE.")
    tokens = None if request.text is None else _tokens(opened, request.text)
    new_tokens, prompts = _prompts(opened.model, tokens)
    return write_causal_bundle(
        opened.model,
        prompts,
        request.folder,
        name=opened.name,
        plan=opened.plan,
        tokenizer=opened.tokenizer,
        metrics=None if tokens is None or request.text is None else _Judge(opened, request.text, tokens),
        lineage=_lineage(),
        precision=CAUSAL_PRECISIONS[request.precision],
        scheme=request.quantise or "weights",
        new_tokens=new_tokens,
    )


BUNDLES: Mapping[
    ObjectiveName, Callable[[ExportRequest, TextModel], CausalBundleInfo | EncoderBundleInfo]
] = {
    "language": export_causal_bundle,
    "classification": export_encoder_bundle,
    "embedding": export_encoder_bundle,
}
"""What writes the bundle of a model that is judged so."""


def export_gguf_folder(request: ExportRequest) -> GgufInfo:
    """Write a Llama-like model as GGUF for llama.cpp, which runs it where it is installed.

    With a text, the prompts on which llama.cpp is compared with the checkpoint are taken from it; without,
    they are random tokens.

    Raises
    ------
    ConfigError
        If the model is no decoder, an option is not for it, or the package ``gguf`` is missing.
    DataError
        If the text is missing, empty, not UTF-8 or too short.
    ExportError
        As :func:`secateur.export.gguf_export.export_gguf`.
    """
    request.require_only({"text"}, "a GGUF file")
    opened = open_text_model(request.source)
    require_causal_lm(opened.model)
    require_gguf()
    tokens = None if request.text is None else _tokens(opened, request.text)
    new_tokens, prompts = _prompts(opened.model, tokens)
    return export_gguf(
        opened.model,
        prompts,
        request.folder,
        name=opened.name,
        tokenizer=opened.tokenizer,
        lineage=_lineage(),
        precision=GGUF_PRECISIONS[request.precision],
        new_tokens=new_tokens,
    )


def _lineage() -> dict[str, Any]:
    origin = provenance()
    return {"seed": 0, **{key: origin[key] for key in ("command", "time_utc", "versions")}}


def _tokens(opened: TextModel, text: Path) -> list[int]:
    if opened.tokenizer is None:
        raise ConfigError(
            f"{opened.name} has no tokenizer to read the text with; put its files into the folder, or leave "
            "--text out."
        )
    source = TokenSource(path=text, tokenizer=opened.tokenizer)
    found = list(islice(chain.from_iterable(source.pieces()), JUDGED_TOKENS))
    if len(found) < PROMPTS * PROMPT_TOKENS:
        raise DataError(f"{text} has {len(found)} tokens; give at least {PROMPTS * PROMPT_TOKENS}.")
    return found


def _prompts(model: PreTrainedModel, tokens: list[int] | None) -> tuple[int, list[list[int]]]:
    """New tokens to compare, and prompts of unlike lengths."""
    positions = most_tokens(model) or PROMPT_TOKENS + NEW_TOKENS
    longest = min(PROMPT_TOKENS, positions // 2)
    new_tokens = min(NEW_TOKENS, positions - longest)
    if tokens is None:
        vocabulary = model.get_input_embeddings().weight.shape[0]
        drawn = generator(0, "causal prompts").integers(0, vocabulary, size=PROMPTS * longest)
        tokens = drawn.tolist()
    starts = np.linspace(0, len(tokens) - longest, PROMPTS).astype(int).tolist()
    return new_tokens, [tokens[start : start + max(1, longest - row)] for row, start in enumerate(starts)]


class _Judge:
    """Perplexity of checkpoint and bundle on the same windows."""

    def __init__(self, opened: TextModel, text: Path, tokens: list[int]) -> None:
        self._model, self._text, self._tokens = opened.model, text, tokens
        self._opening = opening_tokens(opened.tokenizer)

    def __call__(self, session: CausalSession) -> TextMetricsRecord:
        context = tokens_that_fit(self._model, CONTEXT)
        console.print("judging the checkpoint")
        dense = perplexity(self._model, self._tokens, context=context, opening=self._opening)
        console.print("judging the bundle")
        bundled = BundledForCausalLM(session, self._model.config)
        found: Perplexity = perplexity(bundled, self._tokens, context=context, opening=self._opening)
        return TextMetricsRecord(
            text_sha256=sha256_of(self._text),
            context=context,
            predicted_tokens=found.tokens,
            perplexity=found.value,
            checkpoint_perplexity=dense.value,
        )


class BundledForCausalLM(nn.Module):
    """A session judged like any other causal language model.

    Parameters
    ----------
    session : CausalSession
    config : PreTrainedConfig
        Of the checkpoint.
    """

    def __init__(self, session: CausalSession, config: Any) -> None:
        super().__init__()
        self.config, self._session = config, session
        self.place = nn.Parameter(torch.zeros(0), requires_grad=False)

    def forward(self, input_ids: Tensor, **_cache: Any) -> SimpleNamespace:
        """Return ``logits`` of whole windows, (batch, tokens, vocabulary)."""
        logits, _ = self._session.read(input_ids.numpy(), self._session.start(len(input_ids)))
        return SimpleNamespace(logits=torch.from_numpy(logits))
