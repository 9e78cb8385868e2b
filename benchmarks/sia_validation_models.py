"""The subjects of the validation: two pretrained models, and three tiny ones of other families."""

from __future__ import annotations

import pydoc_data.topics
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from packaged_models import minilm, smollm2
from torch import nn

from secateur.core.progress import progress, quiet
from secateur.core.seeds import derive, generator
from secateur.models.calls import Batch
from secateur.models.pretrained import open_pretrained
from secateur.models.text import encode_passages
from secateur.tasks.perplexity import perplexity
from secateur.tasks.similarity import embed, embedding_fidelity
from secateur.tasks.token_losses import logits_of, next_token_loss

SEED = 0
PARTS = {"training": (0.0, 0.6), "calibration": (0.6, 0.75), "held out": (0.75, 1.0)}
BYTES, CONTEXT = 256, 64
TINY: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "vocab_size": BYTES,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "Gemma2-like": (
        "Gemma2Config",
        "Gemma2ForCausalLM",
        {
            "num_key_value_heads": 4,
            "head_dim": 16,
            "query_pre_attn_scalar": 16,
            "intermediate_size": 352,
            "sliding_window": 32,
        },
    ),
    "GPT-NeoX-like": ("GPTNeoXConfig", "GPTNeoXForCausalLM", {"intermediate_size": 512}),
    "Falcon-like": (
        "FalconConfig",
        "FalconForCausalLM",
        {"new_decoder_architecture": True, "num_kv_heads": 4, "alibi": False, "ffn_hidden_size": 512},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A dense model with the texts on which it is asked.

    Parameters
    ----------
    name : str
    model : nn.Module
    calibration : sequence of dict
        What cuts are scored, D and the check are measured on.
    evaluations : int
        What the check may spend, in passes over the calibration set.
    held_out : callable
        Of a model: what it loses against the dense one on text that neither saw.
    measured : str
        What ``held_out`` returns.
    shares : tuple of float
        Of the block parameters, that cuts remove.
    lots : int
        Random cuts beside each chosen one.
    criteria : tuple of str
        By which cuts are chosen.
    dense : float
        Held-out loss of the dense model; 0 where a distance to it is measured.
    """

    name: str
    model: nn.Module
    calibration: tuple[Batch, ...]
    evaluations: int
    held_out: Callable[[nn.Module], float]
    measured: str
    shares: tuple[float, ...]
    lots: int
    criteria: tuple[str, ...]
    dense: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is done with each subject.

    Parameters
    ----------
    calibration, held_out : int
        Blocks, and tokens (bytes for the tiny models); sentences of the encoder.
    evaluations : int
        Of the check.
    shares : tuple of float
    lots : int
    criteria : tuple of str
    """

    calibration: int = 16
    held_out: int = 4096
    evaluations: int = 800
    shares: tuple[float, ...] = (0.1, 0.2, 0.3, 0.5)
    lots: int = 3
    criteria: tuple[str, ...] = ("magnitude", "taylor", "activation")


STEPS = 120
"""Of training a tiny model, on 16 blocks of bytes each."""

SMALL = Sizes()
MINILM = Sizes(calibration=32, held_out=64, evaluations=800, shares=(0.2, 0.5), lots=2)
SMOLLM2 = Sizes(
    calibration=4, held_out=512, evaluations=800, shares=(0.2, 0.5), lots=1, criteria=("magnitude", "taylor")
)
"""A pass of SmolLM2 costs a hundred times as much as one of the tiny models."""


def text_of(part: str) -> str:
    """Return a part of ``pydoc_data.topics``, topics in the order of their names."""
    topics = pydoc_data.topics.topics
    whole = "\n\n".join(topics[name] for name in sorted(topics))
    first, last = PARTS[part]
    return whole[int(first * len(whole)) : int(last * len(whole))]


def blocks_of(tokens: list[int], *, blocks: int, length: int, at_once: int) -> tuple[Batch, ...]:
    """Draw blocks without replacement, always the same."""
    available = len(tokens) // length
    chosen = sorted(generator(SEED, "blocks").permutation(available)[:blocks].tolist())
    rows = torch.tensor([tokens[number * length : (number + 1) * length] for number in chosen])
    return tuple({"input_ids": part} for part in rows.split(at_once))


def sentences_of(part: str, count: int) -> list[str]:
    """Draw sentences of six to thirty words, always the same."""
    found = [" ".join(text.split()) for text in re.split(r"(?<=[.!?])\s+", text_of(part))]
    found = [text for text in found if 6 <= len(text.split()) <= 30]
    chosen = sorted(generator(SEED, "sentences").permutation(len(found))[:count].tolist())
    return [found[number] for number in chosen]


def tiny(name: str) -> nn.Module:
    """Return an untrained tiny model; eager attention, which all three can do."""
    config, model, settings = FAMILIES[name]
    torch.manual_seed(derive(SEED, name))
    built = getattr(transformers, config)(**TINY, **settings, attn_implementation="eager")
    return getattr(transformers, model)(built).eval()


def train(
    model: nn.Module,
    tokens: list[int],
    *,
    steps: int,
    name: str,
    stride: int = 1,
    context: int = CONTEXT,
    after_step: Callable[[nn.Module], None] = lambda _model: None,
) -> None:
    """Train on next bytes with AdamW, a short warm-up and a linear decay.

    Blocks of ``context`` tokens start at multiples of ``stride``; ``after_step`` may put weights right behind
    each step.
    """
    data = torch.tensor(tokens)
    draw = generator(SEED, "training", name)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda n: min((n + 1) / 15, 1 - n / (steps + 1)))
    model.train()
    with progress(f"training {name}", steps) as bar:
        for _ in range(steps):
            starts = stride * draw.integers((len(data) - context) // stride, size=16)
            ids = torch.stack([data[start : start + context] for start in starts.tolist()])
            loss = next_token_loss(logits_of(model, ids), ids[:, 1:])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            rate.step()
            after_step(model)
            bar.advance(1)
    model.eval()


def trained(name: str, work: Path) -> nn.Module:
    """Return a trained tiny model, from ``work`` where it was kept."""
    folder = work / name
    if (folder / "config.json").exists():
        return open_pretrained(folder, dtype=torch.float32).model.eval()
    model = tiny(name)
    train(model, list(text_of("training").encode()), steps=STEPS, name=name)
    model.save_pretrained(folder)
    return model


def tiny_subject(name: str, sizes: Sizes, work: Path) -> Subject:
    """Return one of :data:`FAMILIES`, which reads bytes."""
    model = trained(name, work)
    calibration = blocks_of(
        list(text_of("calibration").encode()), blocks=sizes.calibration, length=CONTEXT, at_once=8
    )
    return Subject(
        name=name,
        model=model,
        calibration=calibration,
        evaluations=sizes.evaluations,
        **judged(model, list(text_of("held out").encode())[: sizes.held_out], context=CONTEXT),
        measured="nats a byte",
        shares=sizes.shares,
        lots=sizes.lots,
        criteria=sizes.criteria,
    )


def smollm2_subject(sizes: Sizes) -> Subject:
    """Return SmolLM2-135M."""
    opened = smollm2()

    def encoded(part: str) -> list[int]:
        return opened.tokenizer(text_of(part), add_special_tokens=False, verbose=False)["input_ids"]

    calibration = blocks_of(encoded("calibration"), blocks=sizes.calibration, length=CONTEXT, at_once=2)
    return Subject(
        name="SmolLM2",
        model=opened.model,
        calibration=calibration,
        evaluations=sizes.evaluations,
        **judged(opened.model, encoded("held out")[: sizes.held_out], context=512),
        measured="nats a token",
        shares=sizes.shares,
        lots=sizes.lots,
        criteria=sizes.criteria,
    )


def minilm_subject(sizes: Sizes) -> Subject:
    """Return all-MiniLM-L6, an encoder without a task."""
    opened = minilm()
    drawn = sentences_of("calibration", sizes.calibration)
    calibration = tuple(
        encode_passages(opened.tokenizer, drawn[start : start + 16], length=64)
        for start in range(0, len(drawn), 16)
    )
    held = sentences_of("held out", sizes.held_out)
    dense = embed(opened.model, opened.tokenizer, held)

    def distance(model: nn.Module) -> float:
        return 1 - embedding_fidelity(embed(model, opened.tokenizer, held), dense)

    return Subject(
        name="MiniLM",
        model=opened.model,
        calibration=calibration,
        evaluations=sizes.evaluations,
        held_out=distance,
        measured="1 - cosine",
        shares=sizes.shares,
        lots=sizes.lots,
        criteria=sizes.criteria,
    )


SUBJECTS: dict[str, Callable[[Path], Subject]] = {
    **{name: lambda work, name=name: tiny_subject(name, SMALL, work) for name in FAMILIES},
    "MiniLM": lambda _work: minilm_subject(MINILM),
    "SmolLM2": lambda _work: smollm2_subject(SMOLLM2),
}
"""In the order in which they are measured: cheap ones first."""


def judged(dense: nn.Module, tokens: list[int], *, context: int) -> dict[str, Any]:
    """Return what a subject loses on held-out tokens: the loss of the dense model, and the function."""

    def loss(model: nn.Module) -> float:
        with quiet():
            return perplexity(model, tokens, context=context).nats_per_token

    before = loss(dense)
    return {"dense": before, "held_out": lambda model: loss(model) - before}
