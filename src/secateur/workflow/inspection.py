"""What a model is made of: its units layer by layer, their couplings, what lies outside, what can be cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from secateur.core.errors import ConfigError
from secateur.core.records import to_jsonable
from secateur.models.attributes import config_of
from secateur.models.binding import BoundModel, bind
from secateur.models.stock import is_stock
from secateur.models.vocabulary import output_matrix
from secateur.structure.closure import LayerWidths
from secateur.structure.counting import (
    channel_parameters,
    head_parameters,
    layer_flops,
    layer_parameters,
    unit_parameters,
)
from secateur.structure.couplings import Coupling, couplings, notes
from secateur.structure.limits import Limit, largest_ratio, limits, plain_cuts
from secateur.structure.shape import ModelShape
from secateur.workflow.outline import Outline, StoredWeights


@dataclass(frozen=True, kw_only=True)
class UnitFacts:
    """Units of one kind in one layer.

    Attributes
    ----------
    count : int
        How many the layer has.
    parameters : int
        That leave with one.
    flops_per_token : int
        That one costs.
    """

    count: int
    parameters: int
    flops_per_token: int


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """One layer.

    Attributes
    ----------
    index : int
        Position in the model.
    stack : str
        Path of the list that it stands in.
    attention : str
        Its type, as ``"full_attention"`` or ``"sliding_attention"``.
    context_tokens : int
        Tokens that a query attends to, at most the window of a sliding attention.
    query_heads, kv_groups, heads_per_group, cross_heads, cross_groups, channels : int
    parameters, flops_per_token : int
        Of the whole layer.
    units : dict of str to UnitFacts
        By kind: ``group``, ``head``, ``cross_group``, ``channel``; those that the layer has.
    """

    index: int
    stack: str
    attention: str
    context_tokens: int
    query_heads: int
    kv_groups: int
    heads_per_group: int
    cross_heads: int
    cross_groups: int
    channels: int
    parameters: int
    flops_per_token: int
    units: dict[str, UnitFacts]


@dataclass(frozen=True, kw_only=True)
class CoupledLayers:
    """Layers whose units are coupled alike.

    Attributes
    ----------
    layers : tuple of int
    couplings : tuple of Coupling
    notes : tuple of str
    """

    layers: tuple[int, ...]
    couplings: tuple[Coupling, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """All that is known about a model without its weights.

    Attributes
    ----------
    origin : str
        Where it came from, in words.
    model_class, family, model_type : str
    shape : ModelShape
    parameters, block_parameters : int
        Of the whole model, each tied matrix once, and of its blocks.
    flops_per_token : int
        Of the blocks.
    head_flops_per_token : int
        Of the projection to the vocabulary; 0 without one.
    context_tokens : int
        For which operations were counted.
    layers : tuple of LayerFacts
    coupled : tuple of CoupledLayers
    outside : dict of str to int
        Parameters of each module outside the blocks.
    tied : tuple of tuple of str
        Parameters that are one and the same.
    vocabulary_parameters : int
        In the embedding and the output head that go with the tokens.
    limits : tuple of Limit
    largest_ratio, largest_ratio_with_heads : float
        Dense over remaining parameters at most, by layers, groups and channels, and with query heads too.
    plain_cuts : tuple of str
        Cuts, equal in all layers, after which ``transformers`` loads the folder by itself.
    stored : StoredWeights, optional
    """

    origin: str
    model_class: str
    family: str
    model_type: str
    shape: ModelShape
    parameters: int
    block_parameters: int
    flops_per_token: int
    head_flops_per_token: int
    context_tokens: int
    layers: tuple[LayerFacts, ...]
    coupled: tuple[CoupledLayers, ...]
    outside: dict[str, int]
    tied: tuple[tuple[str, ...], ...]
    vocabulary_parameters: int
    limits: tuple[Limit, ...]
    largest_ratio: float
    largest_ratio_with_heads: float
    plain_cuts: tuple[str, ...]
    stored: StoredWeights | None

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values, couplings also in words."""
        told = to_jsonable(self)
        for alike, entry in zip(self.coupled, told["coupled"], strict=True):
            for coupling, record in zip(alike.couplings, entry["couplings"], strict=True):
                record["statement"] = coupling.statement
        return told


def inspect_model(outline: Outline, *, context_tokens: int, layer: int | None = None) -> Inspection:
    """Gather the facts of a model.

    Parameters
    ----------
    outline : Outline
        The model; its weights are not looked at.
    context_tokens : int
        Tokens that a query attends to, for counting operations.
    layer : int, optional
        Tell this layer only; totals are those of the whole model.

    Raises
    ------
    UnsupportedArchitecture
        If no specification describes the model.
    ConfigError
        If there is no such layer.
    """
    bound = bind(outline.model)
    shape, spec = bound.shape, bound.spec
    if layer is not None and not 0 <= layer < shape.n_layers:
        raise ConfigError(f"there is no layer {layer}; the model has the layers 0 to {shape.n_layers - 1}.")
    facts = _layer_facts(bound, shape, context_tokens)
    told = facts if layer is None else (facts[layer],)
    parameters = shape.other_parameters + sum(entry.parameters for entry in facts)
    return Inspection(
        origin=outline.origin,
        model_class=type(outline.model).__name__,
        family=spec.family,
        model_type=config_of(bound.base).model_type,
        shape=shape,
        parameters=parameters,
        block_parameters=parameters - shape.other_parameters,
        flops_per_token=sum(entry.flops_per_token for entry in facts),
        head_flops_per_token=_head_flops(outline.model),
        context_tokens=context_tokens,
        layers=told,
        coupled=_coupled(bound, shape, [entry.index for entry in told]),
        outside=_outside(bound),
        tied=_tied(outline.model),
        vocabulary_parameters=shape.vocabulary * shape.parameters_per_token,
        limits=limits(spec, shape),
        largest_ratio=largest_ratio(spec, shape, cut_heads=False),
        largest_ratio_with_heads=largest_ratio(spec, shape, cut_heads=True),
        plain_cuts=plain_cuts(spec) if is_stock(bound.model) else (),
        stored=outline.stored,
    )


def _layer_facts(bound: BoundModel, shape: ModelShape, context_tokens: int) -> tuple[LayerFacts, ...]:
    family, config = bound.spec.family, bound.base.config
    types = _attention_types(bound, shape)
    facts = []
    for layer in range(shape.n_layers):
        window = _window(config, types[layer])
        context = min(context_tokens, window or context_tokens)
        widths = LayerWidths.of(shape, layer)
        facts.append(
            LayerFacts(
                index=layer,
                stack=bound.spec.stacks[shape.stack_of(layer)].layers,
                attention=types[layer],
                context_tokens=context,
                query_heads=widths.heads,
                kv_groups=widths.groups,
                heads_per_group=widths.heads_per_group,
                cross_heads=widths.cross_heads,
                cross_groups=widths.cross_groups,
                channels=widths.channels,
                parameters=layer_parameters(family, shape, layer),
                flops_per_token=layer_flops(family, shape, layer, context_tokens=context),
                units=_unit_facts(family, shape, layer, context),
            )
        )
    return tuple(facts)


def _unit_facts(family: str, shape: ModelShape, layer: int, context: int) -> dict[str, UnitFacts]:
    """One unit more, less what there is: its operations, also where the layer has one unit only."""

    def cost(**more: int) -> int:
        raised: dict[str, Any] = {name: _raised(getattr(shape, name), layer, by) for name, by in more.items()}
        channels = raised.get("channels_per_layer", shape.channels_per_layer)
        widened = replace(shape, **raised, channels_per_expert=shape.experts_with(channels))
        after, before = (
            layer_flops(family, entry, layer, context_tokens=context) for entry in (widened, shape)
        )
        return after - before

    widths = LayerWidths.of(shape, layer)
    sharing, groups = widths.heads_per_group, widths.groups
    found = {
        "group": UnitFacts(
            count=groups,
            parameters=unit_parameters(family, shape, layer, "group"),
            flops_per_token=cost(kv_groups_per_layer=1, heads_per_layer=sharing),
        )
    }
    if sharing > 1:
        found["head"] = UnitFacts(
            count=widths.heads,
            parameters=head_parameters(family, shape, layer),
            flops_per_token=cost(heads_per_layer=groups) // groups,
        )
    if widths.cross_groups:
        crossing = widths.cross_heads // widths.cross_groups
        found["cross_group"] = UnitFacts(
            count=widths.cross_groups,
            parameters=unit_parameters(family, shape, layer, "cross_group"),
            flops_per_token=cost(cross_groups_per_layer=1, cross_heads_per_layer=crossing),
        )
    found["channel"] = UnitFacts(
        count=widths.channels,
        parameters=channel_parameters(family, shape, layer),
        flops_per_token=cost(channels_per_layer=1),
    )
    return found


def _raised(counts: tuple[int, ...], layer: int, by: int) -> tuple[int, ...]:
    return (*counts[:layer], counts[layer] + by, *counts[layer + 1 :])


def _attention_types(bound: BoundModel, shape: ModelShape) -> list[str]:
    config = bound.base.config
    per_layer = [name for stack in bound.spec.stacks for name in stack.per_layer]
    for name in ("layer_types", *per_layer):
        entries = getattr(config, name, None)
        if entries and len(entries) == shape.n_layers and all(isinstance(entry, str) for entry in entries):
            return list(entries)
    sliding = getattr(config, "sliding_window", None)
    return ["sliding_attention" if sliding else "full_attention"] * shape.n_layers


def _window(config: Any, attention: str) -> int | None:
    """Tokens that an attention of this type looks back at most; None for all."""
    names = {
        "sliding_attention": "sliding_window",
        "local": "window_size",
        "chunked_attention": "attention_chunk_size",
    }
    return getattr(config, names[attention], None) if attention in names else None


def _coupled(bound: BoundModel, shape: ModelShape, layers: list[int]) -> tuple[CoupledLayers, ...]:
    alike: dict[tuple[int, LayerWidths], list[int]] = {}
    for layer in layers:
        alike.setdefault((shape.stack_of(layer), LayerWidths.of(shape, layer)), []).append(layer)
    return tuple(
        CoupledLayers(
            layers=tuple(members),
            couplings=couplings(bound.spec, shape, members[0]),
            notes=notes(bound.spec, shape, members[0]),
        )
        for members in alike.values()
    )


def _outside(bound: BoundModel) -> dict[str, int]:
    """Parameters of each module that is no block, by its path; a tied matrix counts where it stands first."""
    blocks = {id(parameter) for layer in bound.layers for parameter in layer.module.parameters()}
    found: dict[str, int] = {}
    for name, parameter in bound.model.named_parameters():
        if id(parameter) not in blocks:
            owner = name.rpartition(".")[0] or name
            found[owner] = found.get(owner, 0) + parameter.numel()
    return found


def _tied(model: nn.Module) -> tuple[tuple[str, ...], ...]:
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return tuple(tuple(entry) for entry in names.values() if len(entry) > 1)


def _head_flops(model: nn.Module) -> int:
    """Two operations for each weight of the projection to the vocabulary."""
    head = output_matrix(model)
    return 0 if head is None else 2 * head.weight.numel()
