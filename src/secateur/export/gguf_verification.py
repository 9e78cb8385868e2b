"""A GGUF file in a real llama.cpp: the checkpoint's probabilities, tokens and splitting of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from secateur.core.errors import ExportError
from secateur.core.progress import console
from secateur.export.causal_parity import Reference
from secateur.export.gguf_file import GgufPrecision
from secateur.export.gguf_model import GgufModel
from secateur.export.llama_cpp import LlamaCppQuestion, ask_llama_cpp, llama_cpp_version

READING_TEXTS = ("The bearing of pump 7 runs at 1,797 rpm.", "  It's  not\n\nbalanced: 0.25 mm/s, 40 °C!")
"""Texts that llama.cpp must split into the tokenizer's own tokens."""

_SAME_TOKENS = 1e-2
"""Largest difference of a log-probability after the same tokens, read in other pieces."""


@dataclass(frozen=True, kw_only=True)
class GgufTolerance:
    """How far llama.cpp may be from the checkpoint.

    Parameters
    ----------
    logprob : float
        Largest difference of a log-probability among the tokens that the checkpoint gives at least a
        ten-thousandth of the probability of its favourite.
    divergence : float
        Largest Kullback-Leibler divergence of the next token's distribution, in nats.
    greedy : bool
        Whether greedy generation must give the checkpoint's own tokens.
    """

    logprob: float
    divergence: float
    greedy: bool


GGUF_TOLERANCES: Mapping[GgufPrecision, GgufTolerance] = {
    "f32": GgufTolerance(logprob=1e-3, divergence=1e-5, greedy=True),
    "f16": GgufTolerance(logprob=0.1, divergence=1e-3, greedy=False),
    "q8_0": GgufTolerance(logprob=1.0, divergence=0.05, greedy=False),
    "q4_0": GgufTolerance(logprob=4.0, divergence=0.5, greedy=False),
}


@dataclass(frozen=True, kw_only=True)
class GgufVerification:
    """What a real llama.cpp made of the file.

    Attributes
    ----------
    llama_cpp : str
        Package and version.
    max_abs_diff : float
        Largest difference of a log-probability, as :class:`GgufTolerance` tells it.
    max_divergence : float
        Largest Kullback-Leibler divergence from the checkpoint, in nats.
    greedy_tokens, greedy_of : int
        Tokens of greedy generation that came out as the checkpoint's before the first that did not.
    prompts : int
        Prompts of tokens that were compared.
    texts : int
        Texts that llama.cpp split into the tokenizer's own tokens.
    """

    llama_cpp: str
    max_abs_diff: float
    max_divergence: float
    greedy_tokens: int
    greedy_of: int
    prompts: int
    texts: int


def verify_gguf(
    file: Path,
    model: GgufModel,
    references: Sequence[Reference],
    reading: tuple[PreTrainedTokenizerBase, int],
    tolerance: GgufTolerance,
) -> GgufVerification:
    """Let llama.cpp run a GGUF file, and compare it with the checkpoint.

    Parameters
    ----------
    file : Path
    model : GgufModel
        The checkpoint, as the file describes it.
    references : sequence of Reference
        Its own answers to prompts.
    reading : (PreTrainedTokenizerBase, int)
        Its tokenizer, and a token that is whole characters.
    tolerance : GgufTolerance

    Raises
    ------
    ExportError
        If llama.cpp does not run the file, computes something beyond the tolerance, or splits one of
        ``READING_TEXTS`` (of those that fit into the context) into other tokens.
    """
    console.print("running the file in llama.cpp")
    (tokenizer, whole_token), room = reading, model.context_length
    read = {text: tuple(tokenizer(text)["input_ids"]) for text in READING_TEXTS}
    read = {text: tokens for text, tokens in read.items() if len(tokens) < room}
    sizes = [len(entry.prompt) + len(entry.tokens) for entry in references]
    answers = ask_llama_cpp(
        file,
        [
            *(LlamaCppQuestion(prompt=entry.prompt, new_tokens=len(entry.tokens)) for entry in references),
            *(LlamaCppQuestion(prompt=text) for text in read),
            *(LlamaCppQuestion(prompt=tokens) for tokens in read.values()),
        ],
        vocabulary=model.vocabulary,
        whole_token=whole_token,
        context=min(room, max([*sizes, *map(len, read.values())]) + 1),
    )
    difference = divergence = 0.0
    greedy_tokens = greedy_of = 0
    for reference, answer in zip(references, answers, strict=False):
        expected = _log_softmax(reference.logits[len(reference.prompt) - 1])
        likely = expected >= expected.max() - np.log(1e4)
        apart = np.abs(answer.logprobs - expected)
        difference = max(difference, float(np.nan_to_num(apart, nan=np.inf)[likely].max()))
        nats = float((np.exp(expected) * (expected - answer.logprobs)).sum())
        divergence = max(divergence, float(np.nan_to_num(nats, nan=np.inf)))
        same = np.array(answer.tokens) == np.array(reference.tokens)
        greedy_tokens += len(same) if same.all() else int(same.argmin())
        greedy_of += len(same)
    found = GgufVerification(
        llama_cpp=str(llama_cpp_version()),
        max_abs_diff=difference,
        max_divergence=divergence,
        greedy_tokens=greedy_tokens,
        greedy_of=greedy_of,
        prompts=len(references),
        texts=len(read),
    )
    _require(found, tolerance)
    readings = answers[len(references) :]
    for text, one, other in zip(read, readings[: len(read)], readings[len(read) :], strict=True):
        if not np.allclose(one.logprobs, other.logprobs, atol=_SAME_TOKENS):
            raise ExportError(
                f"llama.cpp splits {text!r} into other tokens than the tokenizer does. Nothing was written. "
                "Export the model as ONNX."
            )
    return found


def _require(found: GgufVerification, tolerance: GgufTolerance) -> None:
    if (
        found.max_abs_diff <= tolerance.logprob
        and found.max_divergence <= tolerance.divergence
        and (not tolerance.greedy or found.greedy_tokens == found.greedy_of)
    ):
        return
    raise ExportError(
        f"llama.cpp does not compute the checkpoint: log-probabilities differ by up to "
        f"{found.max_abs_diff:.2e} (allowed {tolerance.logprob:.0e}), by {found.max_divergence:.2e} nats as "
        f"a whole (allowed {tolerance.divergence:.0e}), and {found.greedy_tokens} of {found.greedy_of} "
        f"greedy tokens are its own{' (all are required)' if tolerance.greedy else ''}. Nothing was written. "
        "Choose a higher precision, or export the model as ONNX."
    )


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).double().log_softmax(dim=-1).numpy()
