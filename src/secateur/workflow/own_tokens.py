"""Judge a language model that lost tokens as it is saved: in bits a byte, with its own tokenizer."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from secateur.models.attributes import tokens_that_fit
from secateur.models.text import opening_tokens
from secateur.tasks.perplexity import perplexity
from secateur.tasks.token_rows import TokenRows

CONTEXT = 512


def bits_per_byte(model: nn.Module, tokenizer: Any, text: str) -> float:
    """Return what a causal language model needs for a byte of a text, as ``secateur evaluate`` counts.

    Unlike perplexity it compares models whose tokenizers split the text differently.

    Raises
    ------
    SecateurError
        See :func:`secateur.tasks.perplexity.perplexity`.
    """
    tokens = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    context = tokens_that_fit(model, CONTEXT)
    found = perplexity(model, tokens, context=context, opening=opening_tokens(tokenizer))
    return found.nats_per_token / math.log(2) * len(tokens) / len(text.encode())


def text_of(rows: TokenRows, tokenizer: Any) -> str:
    """Return samples as a text again, one below the other."""
    return "\n".join(tokenizer.decode(row.tolist(), skip_special_tokens=True) for row in rows.rows)
