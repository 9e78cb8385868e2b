"""Judging ``transformers`` models without labels: perplexity on a text, similarity of paraphrases."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from secateur.core.errors import ConfigError
from secateur.core.files import sha256_of
from secateur.core.provenance import provenance
from secateur.core.records import to_jsonable
from secateur.models import checkpoint
from secateur.models.attributes import most_tokens
from secateur.models.empty_model import empty_model
from secateur.models.pretrained import Pretrained, folder_of, open_pretrained, read_config
from secateur.models.text import TokenSource, opening_tokens
from secateur.tasks.heads import require_causal_lm, require_encoder
from secateur.tasks.perplexity import Perplexity, paired_ratio, perplexity
from secateur.tasks.similarity import embed, embedding_fidelity, pair_similarity, paraphrases

CONTEXT = 512


def judge_language_model(
    name: str,
    text: Path,
    *,
    context: int | None = None,
    stride: int | None = None,
    against: str | None = None,
) -> dict[str, Any]:
    """Measure a causal language model on a text, alone or beside another.

    Windows of ``context`` tokens move on by ``stride``; each begins with what the tokenizer puts in front of
    every text (a begin token), where it does; see :func:`secateur.tasks.perplexity.perplexity`. The family
    need not be one that can be cut.

    Parameters
    ----------
    name : str
        Checkpoint of ours, ``transformers`` folder, GGUF file, or name on the hub.
    text : Path
        UTF-8, of any length.
    context : int, optional
        Default: 512, or as many positions as the model has.
    stride : int, optional
        Default: the context, windows side by side; less is slower and predicts from more tokens.
    against : str, optional
        Another model, as ``name``: the dense one.

    Returns
    -------
    dict
        ``perplexity``, its ``interval``, ``bits_per_byte``, the ``seconds`` of reading the text and what else
        was found, as JSON values; with
        ``against`` the same of the other model, and ``ratio`` of the perplexities with ``ratio_interval``,
        from a bootstrap over pairs of windows. The ratio is None where the two split the text into other
        tokens, so that only bits per byte compare; ``no_ratio_because`` then says so.

    Raises
    ------
    ConfigError
        If a model predicts no next token, has no tokenizer, or fewer positions than the context; if the
        stride is longer than the context.
    DataError
        If the text is not there, not UTF-8 or too short.
    SecateurError
        From opening the models.
    """
    if against is not None:
        _require_causal_lm(_without_weights(against))
    judged = _judge(name, Path(text), context, stride)
    result = {
        **judged.figures,
        "text": {"path": text, "sha256": sha256_of(text), "bytes": judged.reading.bytes},
        "against": None,
        "provenance": provenance(),
    }
    if against is not None:
        other = _judge(against, Path(text), judged.figures["context"], judged.figures["stride"])
        result |= {"against": other.figures, "ratio": None, "ratio_interval": None, "no_ratio_because": None}
        if judged.reading.same_tokens(other.reading):
            ratio, low, high = paired_ratio(judged.perplexity, other.perplexity)
            result |= {"ratio": ratio, "ratio_interval": (low, high)}
        else:
            result["no_ratio_because"] = (
                "the two tokenizers split the text differently; compare bits per byte"
            )
    return to_jsonable(result)


def judge_encoder(name: str, *, against: str | None = None) -> dict[str, Any]:
    """Measure how an encoder places our paraphrases, and how near its embeddings are to another's.

    Parameters
    ----------
    name : str
        As for :func:`judge_language_model`.
    against : str, optional
        The dense model.

    Returns
    -------
    dict
        ``paraphrase_mean``, ``unrelated_mean``, ``separation`` and, with ``against``, the same of the other
        model and ``fidelity``, the mean cosine between their embeddings of the same sentence; JSON values.

    Raises
    ------
    ConfigError
        If a model is no encoder or has no tokenizer.
    DataError
        If the embeddings of the two differ in width.
    SecateurError
        From opening the models.
    """
    if against is not None:
        require_encoder(_without_weights(against))
    figures, embeddings = _place(name)
    result = {**figures, "against": None, "provenance": provenance()}
    if against is not None:
        other_figures, other = _place(against)
        result |= {"against": other_figures, "fidelity": embedding_fidelity(embeddings, other)}
    return to_jsonable(result)


class _Reading:
    """The tokens of a text as they pass, with what tells two readings apart."""

    def __init__(self, source: TokenSource) -> None:
        self._source, self._digest = source, hashlib.sha256()
        self.bytes = self.tokens = 0

    def __iter__(self) -> Iterator[int]:
        for text in self._source.texts():
            tokens = self._source.encode(text)
            self.bytes += len(text.encode())
            self.tokens += len(tokens)
            words = self._source.tokenizer.convert_ids_to_tokens(tokens)
            self._digest.update("\0".join([*words, ""]).encode())
            yield from tokens

    def same_tokens(self, other: _Reading) -> bool:
        """Whether both split the text alike, whatever numbers they give the tokens."""
        return self._digest.digest() == other._digest.digest()


@dataclass(frozen=True, kw_only=True)
class _Judged:
    figures: dict[str, Any]
    perplexity: Perplexity
    reading: _Reading


def _judge(name: str, text: Path, context: int | None, stride: int | None) -> _Judged:
    opened = _open(name)
    _require_causal_lm(opened.model)
    positions = most_tokens(opened.model)
    if context is None:
        context = min(CONTEXT, positions or CONTEXT)
    if positions is not None and context > positions:
        raise ConfigError(f"--context {context}: {name} has {positions} positions; give at most that.")
    stride = context if stride is None else stride
    if not 1 <= stride <= context:
        raise ConfigError(f"--stride {stride}: give 1 to the context, {context}.")
    reading = _Reading(TokenSource(path=text, tokenizer=opened.tokenizer))
    started = time.perf_counter()
    opening = opening_tokens(opened.tokenizer)
    found = perplexity(opened.model, reading, context=context, stride=stride, opening=opening)
    figures = {
        **_described(name, opened),
        "perplexity": found.value,
        "interval": found.interval,
        "nats_per_token": found.nats_per_token,
        "bits_per_byte": found.nats_per_token / math.log(2) * reading.tokens / reading.bytes,
        "tokens": reading.tokens,
        "predicted_tokens": found.tokens,
        "context": context,
        "stride": stride,
        "opening_tokens": opened.tokenizer.convert_ids_to_tokens(list(opening)),
        "seconds": time.perf_counter() - started,
    }
    return _Judged(figures=figures, perplexity=found, reading=reading)


def _place(name: str) -> tuple[dict[str, Any], np.ndarray]:
    opened = _open(name)
    model = opened.model
    require_encoder(model)
    pairs = paraphrases()
    first, second = (embed(model, opened.tokenizer, side) for side in zip(*pairs, strict=True))
    figures = {**_described(name, opened), **to_jsonable(pair_similarity(first, second))}
    return figures, np.concatenate([first, second])


def _require_causal_lm(model: nn.Module) -> None:
    require_causal_lm(model, ", or judge an encoder by --pairs")


def _without_weights(name: str) -> nn.Module:
    """Return a model as its configuration describes it, to refuse a wrong one before another is judged."""
    folder = folder_of(name, weights=False)
    if checkpoint.kind_of(folder) is not None:
        return checkpoint.outline(folder)
    return empty_model(read_config(folder), folder)


def _open(name: str) -> Pretrained:
    opened = open_pretrained(name)
    if opened.tokenizer is None:
        raise ConfigError(
            f"{name} has no tokenizer to read the text with; put the tokenizer's files into its folder."
        )
    return opened


def _described(name: str, opened: Pretrained) -> dict[str, Any]:
    return {
        "model": name,
        "model_class": type(opened.model).__name__,
        "parameters": sum(parameter.numel() for parameter in opened.model.parameters()),
    }
