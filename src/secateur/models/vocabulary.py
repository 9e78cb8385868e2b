"""The tokens of a model: every tensor that has an entry a token, whatever owns it or is tied to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from secateur.core.errors import PlanError
from secateur.models.token_ids import check_token_ids, renumber_token_ids


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A tensor with one entry a token, under one of the names that it has in the model."""

    owner: nn.Module
    name: str
    axis: int

    @property
    def tensor(self) -> Tensor:
        return getattr(self.owner, self.name)


def vocabulary_of(model: nn.Module) -> tuple[int, int]:
    """Return the rows of the token embedding and the parameters that leave with one of them.

    Parameters
    ----------
    model : torch.nn.Module
        Any model; its tensors may be on the meta device.

    Returns
    -------
    tuple of int
        Size of the vocabulary and parameters a token: a row of the embedding, a row of the output head where
        it is not tied, and an entry of the head's bias where there is one. (0, 0) for a model whose tokens
        cannot be cut: without a token embedding (a ``Diagnoser``, an image model), or with one whose size the
        configuration or the output head does not share.
    """
    places = _places(model)
    if not places:
        return 0, 0
    size = places[0].tensor.shape[0]
    distinct = {id(place.tensor): place.tensor for place in places if isinstance(place.tensor, nn.Parameter)}
    return size, sum(tensor.numel() // size for tensor in distinct.values())


def keep_vocabulary(model: nn.Module, tokens: Sequence[int]) -> None:
    """Keep these tokens of a model in place and number them from zero.

    Embedding, output head, its bias and buffers an entry a token are cut together, and what was tied stays
    tied; the configurations follow (see :mod:`secateur.models.token_ids`).

    Parameters
    ----------
    model : torch.nn.Module
        A ``transformers`` model, on any device, the meta device included.
    tokens : sequence of int
        Rows that stay, ascending.

    Raises
    ------
    PlanError
        If the model has no vocabulary to cut, a token is out of range or out of order, or a token that the
        configuration names (start, end, padding) is not among those kept. The model is then as it was.
    """
    size, _ = vocabulary_of(model)
    if not size:
        raise PlanError(f"{type(model).__name__} has no tokens to cut; make a plan without `tokens`.")
    if not tokens or tokens[0] < 0 or tokens[-1] >= size or any(b <= a for a, b in pairwise(tokens)):
        raise PlanError(
            f"tokens must be ascending, without repeats and within 0..{size - 1}; got {len(tokens)} tokens"
            + (f" from {min(tokens)} to {max(tokens)}." if tokens else ".")
        )
    places = _places(model)
    padding = _new_padding(model, places, tokens)
    check_token_ids(model, tokens, size)
    _cut(places, tokens)
    for holder, number in padding:
        holder.padding_idx = number
    renumber_token_ids(model, tokens, size)


def output_matrix(model: nn.Module) -> Any:
    """Return the projection to the vocabulary; None for a model without one."""
    return model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None


def _places(model: nn.Module) -> list[_Place]:
    """Every tensor with one entry a token; the input embedding comes first, none if they do not agree."""
    embedding = _token_embedding(model)
    if embedding is None:
        return []
    size, found = embedding.weight.shape[0], [embedding.weight]
    if (head := output_matrix(model)) is not None:
        if not isinstance(head, nn.Linear) or head.weight.shape[0] != size:
            return []
        found += [head.weight, *_biases(model, head)]
    sought = {id(tensor) for tensor in found}
    places = [
        _Place(owner=module, name=name, axis=0)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False)
        if id(parameter) in sought
    ]
    places.sort(key=lambda place: place.tensor is not embedding.weight)
    return places + [
        _Place(owner=module, name=name, axis=buffer.ndim - 1)
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name == "final_logits_bias" and buffer.shape[-1] == size
    ]


def _token_embedding(model: nn.Module) -> nn.Embedding | None:
    if not isinstance(model, PreTrainedModel):
        return None
    try:
        embedding = model.get_input_embeddings()
    except NotImplementedError:
        return None
    if not isinstance(embedding, nn.Embedding):
        return None
    declared = getattr(model.config.get_text_config(), "vocab_size", None)
    return embedding if declared == embedding.weight.shape[0] else None


def _biases(model: nn.Module, head: nn.Linear) -> Iterator[Tensor]:
    """Biases of the output head; masked-language heads hold one beside the ``Linear`` as well."""
    holders = [
        head,
        *(module for module in model.modules() if any(child is head for child in module.children())),
    ]
    for holder in holders:
        bias = getattr(holder, "bias", None)
        if isinstance(bias, nn.Parameter) and bias.shape == head.weight.shape[:1]:
            yield bias


def _cut(places: list[_Place], tokens: Sequence[int]) -> None:
    cut: dict[int, Tensor] = {}
    for place in places:
        former = place.tensor
        if id(former) not in cut:
            rows = torch.as_tensor(tokens, dtype=torch.long, device=former.device)
            kept = former.detach().index_select(place.axis, rows)
            if isinstance(former, nn.Parameter):
                kept = nn.Parameter(kept, requires_grad=former.requires_grad)
            cut[id(former)] = kept
    for place, kept in [(place, cut[id(place.tensor)]) for place in places]:
        setattr(place.owner, place.name, kept)
        if isinstance(place.owner, nn.Embedding):
            place.owner.num_embeddings = len(tokens)
        elif isinstance(place.owner, nn.Linear):
            place.owner.out_features = len(tokens)


def _new_padding(model: nn.Module, places: list[_Place], tokens: Sequence[int]) -> list[tuple[Any, int]]:
    """Return the modules that know the padding token, with its new number.

    Some families (RoBERTa) count positions from the padding token's number, in modules that declare it as
    well; there it must not change.
    """
    size = places[0].tensor.shape[0]
    embeddings = {id(place.owner) for place in places if isinstance(place.owner, nn.Embedding)}
    number = {token: position for position, token in enumerate(tokens)}
    changed = []
    for name, module in model.named_modules():
        former = vars(module).get("padding_idx")
        if former is None or not 0 <= former < size:
            continue
        if former not in number:
            raise PlanError(f"token {former} is the padding of '{name}'; keep it.")
        counts_positions = isinstance(module, nn.Embedding) and id(module) not in embeddings
        if (counts_positions or "Position" in type(module).__name__) and number[former] != former:
            raise PlanError(
                f"this model counts positions from the number of its padding token, {former} ('{name}'), "
                f"which would become {number[former]}; keep every token below {former} too."
            )
        changed.append((module, number[former]))
    return changed
