"""Binding: a specification laid over a live module tree; no other room names a family's modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from secateur.core.errors import UnsupportedArchitecture
from secateur.models.attributes import set_attribute
from secateur.models.bound_layer import BoundLayer as BoundLayer
from secateur.models.bound_layer import BoundProjection as BoundProjection
from secateur.models.experts import lay_side_by_side
from secateur.models.unit_numbers import keep_layer_numbers
from secateur.models.vocabulary import vocabulary_of
from secateur.structure.closure import closure
from secateur.structure.plan import PruningPlan
from secateur.structure.shape import ModelShape
from secateur.structure.spec import ROLES, ArchitectureSpec, Role, StackSpec, spec_for
from secateur.structure.units import Unit


@dataclass(frozen=True, kw_only=True)
class BoundModel:
    """A model with its specification.

    Attributes
    ----------
    model : torch.nn.Module
        What was bound.
    base : torch.nn.Module
        The ``transformers`` base model inside it, which holds the blocks.
    spec : ArchitectureSpec
        The family.
    """

    model: nn.Module
    base: nn.Module
    spec: ArchitectureSpec

    @property
    def layers(self) -> list[BoundLayer]:
        """The blocks in order, stack after stack."""
        blocks = [(module, stack) for stack in self.spec.stacks for module in self._blocks(stack)]
        return [
            BoundLayer(index=index, module=module, stack=stack)
            for index, (module, stack) in enumerate(blocks)
        ]

    def _blocks(self, stack: StackSpec) -> nn.ModuleList:
        return cast("nn.ModuleList", self.base.get_submodule(stack.layers))

    def block_path(self, layer: int) -> str:
        """Return the path of a block inside the whole model."""
        prefix = next(path for path, module in self.model.named_modules() if module is self.base)
        first = 0
        for stack in self.spec.stacks:
            size = len(self._blocks(stack))
            if layer < first + size:
                return f"{prefix}.{stack.layers}.{layer - first}".lstrip(".")
            first += size
        raise IndexError(f"layer {layer} of a model of {first} layers")

    @property
    def whole_plan(self) -> PruningPlan:
        """The plan that keeps everything."""
        return PruningPlan.identity(self.spec.family, self.shape)

    @property
    def shape(self) -> ModelShape:
        """Shape read from the live weights; ``other_parameters`` counts all outside the blocks."""
        layers = self.layers
        widths = [layer.widths for layer in layers]
        vocabulary, parameters_per_token = vocabulary_of(self.model)
        return ModelShape(
            n_layers=len(layers),
            hidden=widths[0].hidden,
            head_dim=widths[0].head_dim,
            heads_per_layer=tuple(width.heads for width in widths),
            kv_groups_per_layer=tuple(width.groups for width in widths),
            channels_per_layer=tuple(width.channels for width in widths),
            other_parameters=_count(self.model) - sum(_count(layer.module) for layer in layers),
            biased_roles=self._biased_roles(layers),
            stack_sizes=tuple(len(self._blocks(stack)) for stack in self.spec.stacks),
            cross_heads_per_layer=tuple(width.cross_heads for width in widths),
            cross_groups_per_layer=tuple(width.cross_groups for width in widths),
            absent_norms_per_layer=tuple(map(_absent_norms, layers)),
            vocabulary=vocabulary,
            parameters_per_token=parameters_per_token,
            channels_per_expert=tuple(w.channels_per_expert for w in widths if w.channels_per_expert),
        )

    @staticmethod
    def _biased_roles(layers: list[BoundLayer]) -> tuple[Role, ...]:
        biased = {
            role for layer in layers for role, module in layer.projections.items() if module.bias is not None
        }
        return tuple(role for role in ROLES if role in biased)

    def keep_layers(self, kept: tuple[int, ...]) -> None:
        """Drop all other blocks in place, renumber the rest and bring the configuration into step."""
        first = 0
        for stack in self.spec.stacks:
            blocks = self._blocks(stack)
            own = [index - first for index in kept if first <= index < first + len(blocks)]
            first += len(blocks)
            self._keep_in_stack(stack, own)

    def _keep_in_stack(self, stack: StackSpec, kept: list[int]) -> None:
        blocks = self._blocks(stack)
        parent, _, name = stack.layers.rpartition(".")
        setattr(self.base.get_submodule(parent), name, nn.ModuleList(blocks[index] for index in kept))
        for position, index in enumerate(kept):
            for path in stack.positions:
                set_attribute(blocks[index], path, position)
        keep_layer_numbers(self.base.config, stack, kept)


def bind(model: nn.Module) -> BoundModel:
    """Lay the specification of its family over a model.

    Experts of a mixture are laid side by side in the live model, which computes what it did; see
    :mod:`secateur.models.experts`.

    Parameters
    ----------
    model : torch.nn.Module
        A ``Diagnoser`` (its ``backbone`` is bound) or any ``transformers`` model of a known family.

    Returns
    -------
    BoundModel
        A live view: it holds no numbers of its own.

    Raises
    ------
    UnsupportedArchitecture
        If no specification describes the model, or its blocks hold weights that the specification
        does not name (adapters, further norms).
    """
    backbone: Any = getattr(model, "backbone", model)
    if not hasattr(backbone, "config") or not hasattr(backbone, "base_model"):
        kind = type(model).__name__
        raise UnsupportedArchitecture(f"{kind} is neither a Diagnoser nor a transformers model; give one.")
    config = backbone.config
    spec = spec_for(config.model_type, lambda name: getattr(config, name, None))
    bound = BoundModel(model=model, base=backbone.base_model, spec=spec)
    _check_blocks(bound)
    return bound


def _require_apart(layers: Sequence[BoundLayer]) -> None:
    owner: dict[int, int] = {}
    for layer in layers:
        for name, weight in layer.module.named_parameters():
            if owner.setdefault(id(weight), layer.index) != layer.index:
                raise UnsupportedArchitecture(
                    f"layers {owner[id(weight)]} and {layer.index} of the model share a weight ('{name}'); "
                    "every layer is cut by itself, so give each its own (copy.deepcopy)."
                )


def _check_blocks(bound: BoundModel) -> None:
    try:
        if not (layers := bound.layers):
            raise UnsupportedArchitecture(
                f"this {bound.spec.family} model has no layers; nothing of it can be cut."
            )
        for layer in layers:
            if layer.stack.ffn.mixture is not None:
                lay_side_by_side(layer.module, layer.stack.ffn.mixture.experts)
        _require_apart(layers)
        shape = bound.shape
    except AttributeError as error:
        raise UnsupportedArchitecture(
            f"this model is of the family '{bound.spec.family}', but a module that the specification of that "
            f"family names is not there ({error}). Merge adapters first."
        ) from error
    for layer in bound.layers:
        unit = Unit(kind="layer", layer=layer.index)
        expected = {entry.parameter for entry in closure(bound.spec, shape, unit)}
        found = {name for name, _ in layer.module.named_parameters()}
        if found != expected:
            raise UnsupportedArchitecture(
                f"layer {layer.index} of this {bound.spec.family} model does not hold the weights that its "
                f"specification names: missing {sorted(expected - found) or 'none'}, "
                f"not named {sorted(found - expected) or 'none'}. Merge adapters first."
            )


def _absent_norms(layer: BoundLayer) -> tuple[str, ...]:
    optional = (norm.module for norm in layer.stack.norms if norm.optional)
    return tuple(sorted(set(optional) - set(layer.norms)))


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
