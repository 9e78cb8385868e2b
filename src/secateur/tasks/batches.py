"""Batches that come from memory: checked against the model before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from secateur.core.errors import DataError
from secateur.models.attributes import embedding_rows, most_tokens
from secateur.models.calls import Batch
from secateur.tasks.heads import classes_of
from secateur.tasks.kinds import objective_of
from secateur.tasks.token_losses import next_tokens

TOKENS = ("input_ids",)


def checked_batches(model: nn.Module, batches: Iterable[Batch]) -> tuple[Batch, ...]:
    """Return batches that a model can take; classes may go by the name ``labels``, as in transformers.

    Parameters
    ----------
    model : nn.Module
    batches : iterable of dict of Tensor
        See :data:`secateur.models.calls.Batch`.

    Raises
    ------
    DataError
        Naming the batch and what is wrong with it.
    """
    classes, found = len(classes_of(model)), []
    for number, given in enumerate(batches, start=1):
        batch = dict(given)
        if classes and "labels" in batch:
            batch["label"] = batch.pop("labels")
        if fault := _fault(model, batch, classes):
            raise DataError(f"batch {number} of the calibration {fault}.")
        found.append(batch)
    predicts = objective_of(model).name != "language" or any((next_tokens(one) >= 0).any() for one in found)
    if not predicts:
        raise DataError(
            "no batch of the calibration has a token to predict: all labels are -100, or all texts are of "
            "one token; leave labels out, or give longer texts."
        )
    return tuple(found)


def _fault(model: nn.Module, batch: Batch, classes: int) -> str | None:
    names = getattr(model, "input_names", TOKENS)
    if any(not isinstance(batch.get(name), Tensor) or not batch[name].ndim for name in names):
        return f"holds {', '.join(batch)}; needed are the tensors {', '.join(names)}"
    rows = len(batch[names[0]])
    if not rows or any(len(batch[name]) != rows for name in names):
        return f"has {' and '.join(str(len(batch[name])) for name in names)} samples; give as many of each"
    label = batch.get("label")
    if classes and label is not None and (label.shape != (rows,) or not _within(label, -1, classes)):
        return f"has labels of shape {tuple(label.shape)}; needed are {rows} numbers from 0 to {classes - 1}"
    return (
        _fault_of_tokens(model, batch["input_ids"], batch.get("attention_mask")) if names is TOKENS else None
    )


def _fault_of_tokens(model: nn.Module, ids: Tensor, mask: Tensor | None) -> str | None:
    if ids.ndim != 2 or not ids.numel():
        return f"has input_ids of shape {tuple(ids.shape)}; needed is (texts, tokens)"
    if ids.dtype not in (torch.int64, torch.int32):
        return f"has input_ids of {ids.dtype}; needed are whole numbers (torch.int64)"
    embedding = embedding_rows(model)
    if not _within(ids, 0, embedding):
        return (
            f"has tokens from {int(ids.min())} to {int(ids.max())}, but the embedding of "
            f"{type(model).__name__} has {embedding} rows; use the model's own tokenizer"
        )
    most = most_tokens(model)
    if most is not None and ids.shape[1] > most:
        return f"has texts of {ids.shape[1]} tokens; the model takes {most}: cut them off"
    if mask is not None and mask.shape != ids.shape:
        return f"has an attention_mask of shape {tuple(mask.shape)}; input_ids has {tuple(ids.shape)}"
    if mask is not None and not mask.bool().any(dim=1).all():
        return "has a text whose tokens are all masked; leave it out"
    return None


def _within(values: Tensor, least: int, end: int) -> bool:
    return bool((values >= least).all() and (values < end).all())
