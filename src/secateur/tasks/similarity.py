"""How well an encoder places sentences: paraphrases near each other, unrelated sentences apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn
from torch.nn import functional

from secateur.core.errors import DataError
from secateur.models.text import encode_passages
from secateur.tasks.embedding import pooled

PAIRS = "paraphrases.json"
SENTENCES_AT_ONCE = 32
Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class PairSimilarity:
    """Cosines of embeddings.

    Parameters
    ----------
    pairs : int
        Pairs of paraphrases.
    paraphrase_mean : float
        Mean cosine within the pairs.
    unrelated_mean : float
        Mean cosine of each first sentence with the second sentences of all other pairs.
    separation : float
        Probability that a pair of paraphrases is nearer than an unrelated pair (area under the ROC curve);
        0.5 is chance.
    """

    pairs: int
    paraphrase_mean: float
    unrelated_mean: float
    separation: float


@cache
def paraphrases() -> tuple[Pair, ...]:
    """Return English paraphrases of our own wording: maintenance, computing, daily life."""
    text = resources.files("secateur.tasks").joinpath(PAIRS).read_text("utf-8")
    return tuple((one, other) for one, other in json.loads(text))


@torch.no_grad()
def embed(model: nn.Module, tokenizer: Any, sentences: Sequence[str]) -> np.ndarray:
    """Return the embedding of each sentence, at length 1, pooled as :func:`pooled` does.

    Parameters
    ----------
    model : nn.Module
        An encoder of ``transformers`` without a head, or with one, which is passed over.
    tokenizer : object
        Of transformers.
    sentences : sequence of str

    Returns
    -------
    ndarray of float32, shape (sentences, hidden)

    Raises
    ------
    ConfigError
        If the model gives no hidden states of tokens, or the tokenizer does not pad.

    References
    ----------
    Reimers and Gurevych, "Sentence-BERT", EMNLP 2019, section 3, for the mean over tokens.
    """
    was_training = model.training
    model.eval()
    parts = []
    for start in range(0, len(sentences), SENTENCES_AT_ONCE):
        batch = encode_passages(tokenizer, list(sentences[start : start + SENTENCES_AT_ONCE]))
        parts.append(functional.normalize(pooled(model, batch), dim=-1).cpu().numpy())
    model.train(was_training)
    return np.concatenate(parts)


def pair_similarity(first: np.ndarray, second: np.ndarray) -> PairSimilarity:
    """Compare embeddings of paraphrases, row by row, with those of unrelated sentences.

    Parameters
    ----------
    first, second : ndarray, shape (pairs, hidden)
        At length 1, as :func:`embed` returns them.

    Raises
    ------
    DataError
        If they differ in shape, or there are fewer than two pairs.
    """
    if first.shape != second.shape or len(first) < 2:
        raise DataError(
            f"embeddings of the shapes {first.shape} and {second.shape} were compared; give two or more "
            "pairs, a row each."
        )
    cosines = first.astype(np.float64) @ second.astype(np.float64).T
    within = np.diag(cosines)
    unrelated = cosines[~np.eye(len(cosines), dtype=bool)]
    ranks = rankdata(np.concatenate([within, unrelated]))[: len(within)]
    won = ranks.sum() - len(within) * (len(within) + 1) / 2
    return PairSimilarity(
        pairs=len(within),
        paraphrase_mean=float(within.mean()),
        unrelated_mean=float(unrelated.mean()),
        separation=float(won / (len(within) * len(unrelated))),
    )


def embedding_fidelity(cut: np.ndarray, dense: np.ndarray) -> float:
    """Return the mean cosine between the embeddings that two models give the same sentences.

    Parameters
    ----------
    cut, dense : ndarray, shape (sentences, hidden)
        At length 1.

    Raises
    ------
    DataError
        If they differ in shape.
    """
    if cut.shape != dense.shape:
        raise DataError(
            f"embeddings of the shapes {cut.shape} and {dense.shape} cannot be compared; give a model cut "
            "from the other."
        )
    return float((cut.astype(np.float64) * dense.astype(np.float64)).sum(axis=1).mean())
