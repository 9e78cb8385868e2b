"""The token embedding of a model and the output head that goes with it (first form; see surgery.vocabulary)."""

from __future__ import annotations

from torch import nn


def vocabulary_of(model: nn.Module) -> tuple[int, int]:
    """Return the rows of the token embedding and the parameters that leave with one; (0, 0) without one."""
    if not hasattr(model, "get_input_embeddings"):
        return 0, 0
    try:
        embedding = model.get_input_embeddings()
    except NotImplementedError:
        return 0, 0
    if not isinstance(embedding, nn.Embedding):
        return 0, 0
    per_token = embedding.weight.shape[1]
    head = model.get_output_embeddings()
    if head is not None:
        if head.weight is not embedding.weight:
            per_token += head.weight.shape[1]
        if getattr(head, "bias", None) is not None:
            per_token += 1
    return embedding.weight.shape[0], per_token


def resize_vocabulary(model: nn.Module, size: int) -> None:
    raise NotImplementedError(size)
