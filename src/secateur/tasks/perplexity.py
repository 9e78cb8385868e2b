"""Perplexity of a causal language model over a text of any length, with a sliding context."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from secateur.core.errors import ConfigError, DataError, MeasurementError
from secateur.core.progress import progress
from secateur.core.seeds import generator
from secateur.models.precision import autocast, resolve_precision
from secateur.tasks.heads import require_causal_lm
from secateur.tasks.token_losses import logits_of, rows_at_once, token_nats

LOGIT_BYTES = 256 << 20
"""Most memory that the logits of one pass may take."""
LARGEST_NATS = 500.0
"""A token in a window; the exponential of more is no floating-point number any more."""


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """How surprising a text is to a model.

    Parameters
    ----------
    value : float
        ``exp`` of the mean negative log-likelihood a token.
    interval : (float, float)
        95 % bootstrap interval over the windows.
    tokens : int
        Tokens predicted.
    window_nats : ndarray of float64, shape (windows,)
        Sum of negative log-likelihoods of each window's predicted tokens.
    window_tokens : ndarray of int64, shape (windows,)
        How many these are.
    """

    value: float
    interval: tuple[float, float]
    tokens: int
    window_nats: np.ndarray
    window_tokens: np.ndarray

    @property
    def nats_per_token(self) -> float:
        """Mean negative log-likelihood."""
        return math.log(self.value)


def perplexity(
    model: nn.Module,
    tokens: Iterable[int],
    *,
    context: int = 512,
    stride: int | None = None,
    batch_size: int = 4,
    precision: str = "fp32",
    opening: Sequence[int] = (),
) -> Perplexity:
    """Measure a causal language model on a stream of tokens.

    Windows of ``context`` tokens move on by ``stride``; each token but the first is predicted once, in the
    first window that holds it, and so with at least ``context - stride`` tokens before it (with the default
    stride, windows lie side by side and the first token of each is not predicted).

    Parameters
    ----------
    model : nn.Module
        A causal language model of ``transformers``.
    tokens : iterable of int
        Read as it goes; nothing that grows with it is held.
    context, stride : int
        Tokens of a window, and from one window's start to the next; default: side by side.
    batch_size : int
        Windows a pass, at most; fewer where their logits would take more than 256 MiB.
    precision : {'fp32', 'bf16', 'auto'}
        Autocast; a comparison needs the same for both models.
    opening : sequence of int
        Tokens that open every window and are not predicted themselves, such as a begin token; the first token
        of the text behind them is then predicted as well.

    Returns
    -------
    Perplexity

    Raises
    ------
    ConfigError
        If the stride is not between 1 and the context, there is no room behind the opening, or the model
        predicts no next token.
    DataError
        If there are fewer than two tokens.
    MeasurementError
        If a window's probability is not a number, or its perplexity would not be one.

    References
    ----------
    Baevski and Auli, "Adaptive Input Representations for Neural Language Modeling", ICLR 2019, section 5, for
    the sliding context.
    """
    stride = context if stride is None else stride
    opening = list(opening)
    if context < 2 + len(opening) or not 1 <= stride <= context:
        raise ConfigError(
            f"a stride of {stride} tokens with a context of {context}; allowed: 1 to the context."
        )
    require_causal_lm(model)
    precision = resolve_precision(precision, next(model.parameters()).device)
    size = min(batch_size, rows_at_once(model, context, logit_bytes=LOGIT_BYTES))
    nats: list[float] = []
    counts: list[int] = []
    was_training = model.training
    model.eval()
    try:
        with progress("predicting tokens", None) as bar:
            for batch in _batches(_windows(tokens, context, stride, opening), size):
                for total, count in _judge(model, batch, precision):
                    nats.append(total)
                    counts.append(count)
                    bar.advance(count)
    finally:
        model.train(was_training)
    if not counts:
        raise DataError("fewer than two tokens were given; perplexity needs a text.")
    return _summary(np.array(nats), np.array(counts))


def _windows(
    tokens: Iterable[int], context: int, stride: int, opening: list[int]
) -> Iterator[tuple[list[int], int]]:
    """Yield windows, and how many of the last tokens of each are to be predicted."""
    if opening:
        room = context - len(opening)
        for behind, fresh in _opened_windows(tokens, room, min(stride, room)):
            yield opening + behind, fresh
        return
    held: list[int] = []
    fresh = 0
    first = True
    for token in tokens:
        held.append(token)
        fresh += 1
        if len(held) == context:
            yield held, fresh if not first and stride < context else context - 1
            first = False
            held, fresh = held[stride:], 0
    left = min(fresh, len(held) - 1)
    if left > 0:
        yield held, left


def _opened_windows(tokens: Iterable[int], room: int, stride: int) -> Iterator[tuple[list[int], int]]:
    """Windows of the text alone, of which every fresh token is predicted, the first one too."""
    held: list[int] = []
    fresh = 0
    for token in tokens:
        held.append(token)
        fresh += 1
        if len(held) == room:
            yield held, fresh
            held, fresh = held[stride:], 0
    if fresh:
        yield held, fresh


def _batches(windows: Iterable[tuple[list[int], int]], size: int) -> Iterator[list[tuple[list[int], int]]]:
    batch: list[tuple[list[int], int]] = []
    for window in windows:
        if batch and (len(batch) == size or len(window[0]) != len(batch[0][0])):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


@torch.no_grad()
def _judge(model: nn.Module, batch: list[tuple[list[int], int]], precision: str) -> list[tuple[float, int]]:
    device = next(model.parameters()).device
    ids = torch.tensor([window for window, _ in batch], device=device)
    with autocast(device, precision):
        logits = logits_of(model, ids)
    nats = token_nats(logits, ids).double().cpu()
    return [(float(row[-count:].sum()), count) for row, (_, count) in zip(nats, batch, strict=True)]


def _summary(nats: np.ndarray, counts: np.ndarray) -> Perplexity:
    if not (nats < LARGEST_NATS * counts).all():  # NaN is not less
        raise MeasurementError(
            "the model gives logits that are not numbers, or so wrong that no number holds the perplexity; "
            "its weights are damaged, or too large for their type. Load it in float32, or take another copy."
        )
    draw = generator(0, "perplexity bootstrap")
    picks = draw.integers(0, len(nats), size=(1000, len(nats)))
    means = nats[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Perplexity(
        value=math.exp(nats.sum() / counts.sum()),
        interval=(math.exp(low), math.exp(high)),
        tokens=int(counts.sum()),
        window_nats=nats,
        window_tokens=counts,
    )


def paired_ratio(one: Perplexity, other: Perplexity) -> tuple[float, float, float]:
    """Return the ratio of two perplexities on the same windows, with a 95 % paired bootstrap interval.

    Raises
    ------
    DataError
        If they were not measured on the same windows.
    """
    if not np.array_equal(one.window_tokens, other.window_tokens):
        raise DataError("two perplexities were compared that were not measured on the same windows.")
    counts, difference = one.window_tokens, one.window_nats - other.window_nats
    draw = generator(0, "perplexity bootstrap")
    picks = draw.integers(0, len(counts), size=(1000, len(counts)))
    means = difference[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return math.exp(difference.sum() / counts.sum()), math.exp(low), math.exp(high)
