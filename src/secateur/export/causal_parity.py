"""Parity of a causal graph: the checkpoint's logits at every step, and its greedy tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import GenerationConfig

from secateur.bundle.causal_manifest import CausalParityRecord
from secateur.bundle.causal_session import CausalSession
from secateur.bundle.manifest import Precision
from secateur.core.errors import ConfigError, ExportError
from secateur.core.progress import track
from secateur.edge.generate import greedy
from secateur.export.causal_cache import CausalModel

NEW_TOKENS = 32

Prompts = Sequence[Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class CausalTolerance:
    """How far a causal graph may be from its checkpoint, and another machine from this one.

    Parameters
    ----------
    logits : float
        Largest difference of a logit, as a share of the checkpoint's largest logit: how much rounding does
        depends on the size of what is rounded.
    golden : float
        Largest difference of a logit of the golden tokens between the exporting machine and the device, as
        the same share.
    agreement : float
        Least share of predicted tokens for which both prefer the same token.
    greedy : bool
        Whether greedy generation must give the checkpoint's own tokens.
    """

    logits: float
    golden: float
    agreement: float
    greedy: bool


CAUSAL_TOLERANCES: Mapping[Precision, CausalTolerance] = {
    "float32": CausalTolerance(logits=1e-3, golden=1e-3, agreement=0.99, greedy=True),
    "bfloat16": CausalTolerance(logits=0.1, golden=1e-3, agreement=0.9, greedy=False),
    "int8": CausalTolerance(logits=0.5, golden=0.1, agreement=0.75, greedy=False),
    "int4": CausalTolerance(logits=1.0, golden=0.1, agreement=0.5, greedy=False),
}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What the checkpoint itself says.

    Attributes
    ----------
    prompt, tokens : tuple of int
        A prompt and its greedy continuation.
    logits : ndarray of float32, shape (prompt + tokens, vocabulary)
        Of all of them in one pass, without a cache.
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    logits: np.ndarray


def reference_generation(causal: CausalModel, prompts: Prompts, *, new_tokens: int) -> list[Reference]:
    """Continue each prompt with ``generate`` of transformers, and read the whole again without a cache.

    Raises
    ------
    ConfigError
        If a prompt is empty, or prompt and new tokens are more than the model's positions.
    """
    context = causal.context_length
    for prompt in prompts:
        if not prompt or (context is not None and len(prompt) + new_tokens > context):
            raise ConfigError(
                f"a prompt of {len(prompt)} tokens with {new_tokens} new ones for {context} positions; "
                "prompts need at least one token, and all must fit."
            )
    model = causal.model
    former, model.generation_config = (
        model.generation_config,
        GenerationConfig(max_new_tokens=new_tokens, do_sample=False, pad_token_id=0),
    )
    try:
        with torch.no_grad():
            found = []
            for prompt in track(prompts, "generating with the checkpoint"):
                tokens = torch.tensor([prompt], dtype=torch.int64)
                # without a mask, generate takes every token that equals the padding for padding
                whole = model.generate(tokens, attention_mask=torch.ones_like(tokens))
                seen = torch.ones_like(whole)
                logits = model(input_ids=whole, attention_mask=seen, use_cache=False).logits[0].numpy()
                new = tuple(whole[0, len(prompt) :].tolist())
                found.append(Reference(prompt=tuple(prompt), tokens=new, logits=logits))
    finally:
        model.generation_config = former
    return found


def largest_logit(references: Sequence[Reference]) -> float:
    """Return the largest absolute value among the checkpoint's logits."""
    return max(float(np.abs(reference.logits).max()) for reference in references)


def measure_causal_parity(
    session: CausalSession, references: Sequence[Reference], *, tolerance: CausalTolerance
) -> CausalParityRecord:
    """Compare the graph with the checkpoint: prompts alone and padded in a batch, then step by step.

    Each prompt is read in one pass and its continuation token by token with the cache; all prompts are read
    once more side by side, with padding on the left. Greedy generation is compared with and without it.

    Parameters
    ----------
    session : CausalSession
        The graph.
    references : sequence of Reference
        From :func:`reference_generation`.
    tolerance : CausalTolerance

    Raises
    ------
    ExportError
        If a logit is not a number, or anything is beyond its tolerance.
    """
    alike: list[np.ndarray] = []
    prefill = decode = 0.0
    equal = 0
    for reference in track(references, "comparing the graph"):
        found = _logits_with_cache(session, reference)
        size = len(reference.prompt)
        difference = np.abs(found - reference.logits[: len(found)]).max(axis=1)
        prefill = max(prefill, float(difference[:size].max()))
        decode = max([decode, *difference[size:].tolist()])
        alike.append(found.argmax(axis=1) == reference.logits[: len(found)].argmax(axis=1))
        generated = greedy(session, [reference.prompt], len(reference.tokens))[0].tokens
        equal += _shared(generated, reference.tokens)
        if not np.isfinite(difference).all():
            raise ExportError("the exported graph gives logits that are no numbers. Nothing was written.")
    prefill = max(prefill, _padded_difference(session, references))
    together = greedy(session, [entry.prompt for entry in references], len(references[0].tokens))
    padded = sum(
        _shared(one.tokens, reference.tokens) for one, reference in zip(together, references, strict=True)
    )
    tokens = np.concatenate(alike)
    record = CausalParityRecord(
        prefill_max_abs_diff=prefill,
        decode_max_abs_diff=decode,
        tolerance=tolerance.logits * largest_logit(references),
        agreement=float(tokens.mean()),
        least_agreement=tolerance.agreement,
        greedy_tokens=min(equal, padded),
        greedy_of=sum(len(reference.tokens) for reference in references),
        greedy_required=tolerance.greedy,
        prompts=len(references),
        tokens=len(tokens),
    )
    _require(record)
    return record


def _require(record: CausalParityRecord) -> None:
    if record.holds:
        return
    raise ExportError(
        f"the exported graph is not the checkpoint: logits differ by up to {record.prefill_max_abs_diff:.2e} "
        f"on prompts and {record.decode_max_abs_diff:.2e} token by token (allowed {record.tolerance:.0e}), "
        f"{record.agreement:.1%} of {record.tokens} predictions agree (at least "
        f"{record.least_agreement:.0%}), {record.greedy_tokens} of {record.greedy_of} greedy tokens are its "
        f"own{' (all are required)' if record.greedy_required else ''}. Nothing was written. "
        + (
            "This family computes something that the graph does not."
            if record.greedy_required
            else "Export in fp32."
        )
    )


def _logits_with_cache(session: CausalSession, reference: Reference) -> np.ndarray:
    """Logits of prompt and continuation without its last token: (prompt + tokens - 1, vocabulary)."""
    logits, cache = session.read(np.array([reference.prompt]), session.start())
    found = [logits[0]]
    for token in reference.tokens[:-1]:
        logits, cache = session.read(np.array([[token]]), cache)
        found.append(logits[0])
    return np.concatenate(found)


def _padded_difference(session: CausalSession, references: Sequence[Reference]) -> float:
    """Largest difference on the prompts when all are read side by side."""
    longest = max(len(reference.prompt) for reference in references)
    tokens = np.zeros((len(references), longest), dtype=np.int64)
    mask = np.zeros_like(tokens)
    for row, reference in enumerate(references):
        tokens[row, longest - len(reference.prompt) :] = reference.prompt
        mask[row, longest - len(reference.prompt) :] = 1
    logits, _ = session.read(tokens, session.start(len(references)), attention_mask=mask)
    differences = [
        np.abs(logits[row, longest - len(entry.prompt) :] - entry.logits[: len(entry.prompt)]).max()
        for row, entry in enumerate(references)
    ]
    return float(max(differences)) if np.isfinite(differences).all() else float("inf")


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens are alike before the first that is not."""
    same = [a == b for a, b in zip(one, other, strict=True)]
    return same.index(False) if False in same else len(same)
