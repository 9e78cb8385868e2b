"""What models say to a few samples, to be read by people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from secateur.tasks.heads import classes_of
from secateur.tasks.token_rows import TokenRows

SHOWN = 3
PROMPT_TOKENS, NEW_TOKENS = 24, 24


def samples(
    name: str, models: Mapping[str, nn.Module], rows: TokenRows, tokenizers: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Let models answer a few held-out samples.

    Parameters
    ----------
    name : str
        Of the objective. Language models go on from the beginning of a sample; classifiers name its class;
        encoders say nothing that can be read.
    models : mapping
        By name; of the same task.
    rows : TokenRows
        Encoded by the first tokenizer.
    tokenizers : mapping
        Of each model.

    Returns
    -------
    list of dict
        ``given``, and by the name of each model what it ``says``.
    """
    say = {"language": _continuation, "classification": _class}.get(name)
    if say is None:
        return []
    own = next(iter(tokenizers.values()))
    chosen = torch.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).long().unique()
    found = []
    for index in chosen.tolist():
        ids = rows.rows[index]
        length = min(PROMPT_TOKENS, max(1, len(ids) // 2)) if name == "language" else len(ids)
        text = own.decode(ids[:length], skip_special_tokens=True)
        says = {key: say(model, text, tokenizers[key]) for key, model in models.items()}
        found.append({"given": text, "says": says})
    return found


@torch.no_grad()
def _continuation(model: Any, text: str, tokenizer: Any) -> str:
    encoded = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    inputs = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    new = model.generate(
        **inputs,
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
    )
    return tokenizer.decode(new[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


@torch.no_grad()
def _class(model: Any, text: str, tokenizer: Any) -> str:
    encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=256)
    inputs = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    probabilities = model(**inputs).logits[0].softmax(-1)
    best = int(probabilities.argmax())
    return f"{classes_of(model)[best]} ({float(probabilities[best]):.0%})"
