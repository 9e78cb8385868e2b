"""Tokens: a token leaves with its row in the embedding, in the output head and in the head's bias."""

from __future__ import annotations

from torch import nn

from secateur.models.vocabulary import keep_vocabulary


def keep_tokens(model: nn.Module, tokens: tuple[int, ...]) -> None:
    """Keep ``tokens`` (rows of the model as it stands, ascending) in place; they are numbered from zero.

    The logits of a kept token are those of the dense model on the same text. The tokenizer must be cut to the
    same tokens: :func:`secateur.models.tokenizer_trim.trim_tokenizer`.

    Raises
    ------
    PlanError
        See :func:`secateur.models.vocabulary.keep_vocabulary`.
    """
    keep_vocabulary(model, tokens)
