"""Binding: a specification laid over a live module tree; no other room names a family's modules."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from secateur.core.errors import UnsupportedArchitecture
from secateur.models.attributes import read_attribute, set_attribute
from secateur.models.head_inputs import keep_heads_of_inputs
from secateur.models.unit_numbers import keep_layer_numbers
from secateur.models.vocabulary import vocabulary_of
from secateur.structure.closure import LayerWidths, closure, role_features
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.structure.shape import ModelShape
from secateur.structure.spec import (
    OUTPUT_ROLE,
    ROLES,
    ArchitectureSpec,
    NormSpec,
    ProjectionSpec,
    Role,
    StackSpec,
    UnitKind,
    WidthKind,
    spec_for,
)
from secateur.structure.units import Unit


@dataclass(frozen=True, kw_only=True)
class BoundProjection:
    """One weight matrix of a block.

    Attributes
    ----------
    spec : ProjectionSpec
        Its path, roles, orientation and layout.
    module : torch.nn.Module
        The live ``Linear`` or ``Conv1D``.
    """

    spec: ProjectionSpec
    module: nn.Module

    @property
    def path(self) -> str:
        """Path inside the block."""
        return self.spec.module

    @property
    def is_fused(self) -> bool:
        """Whether several roles share this matrix."""
        return len(self.spec.roles) > 1

    @property
    def unit_features(self) -> int:
        """Size of the weight along the axis on which units lie."""
        return self.module.weight.shape[self.spec.unit_axis]

    def replace(self, weight: Tensor, bias: Tensor | None) -> None:
        """Put new parameters in and bring the module's declared sizes into step.

        Parameters
        ----------
        weight : Tensor
            In the module's own orientation.
        bias : Tensor or None
            Of shape (out,); None for a module without bias.
        """
        former = self.module.weight
        self.module.weight = nn.Parameter(weight, requires_grad=former.requires_grad)
        if bias is not None:
            self.module.bias = nn.Parameter(bias, requires_grad=former.requires_grad)
        if self.spec.orientation == "linear":
            self.module.out_features, self.module.in_features = weight.shape
        else:
            self.module.nx, self.module.nf = weight.shape


@dataclass(frozen=True, kw_only=True)
class BoundLayer:
    """One residual block with its units; every number is read from the live weights.

    Attributes
    ----------
    index : int
        Position among all blocks of the live model.
    module : torch.nn.Module
        The block.
    stack : StackSpec
        How blocks of its stack are built.
    """

    index: int
    module: nn.Module
    stack: StackSpec

    @cached_property
    def all_projections(self) -> tuple[BoundProjection, ...]:
        """Each weight matrix once, in the order of the specification."""
        return self.projections_of("layer")

    def projections_of(self, kind: UnitKind) -> tuple[BoundProjection, ...]:
        """Return each weight matrix that units of ``kind`` have a part of, once."""
        return tuple(
            BoundProjection(spec=projection, module=self.module.get_submodule(projection.module))
            for projection in self.stack.projections_of(kind)
        )

    @property
    def projections(self) -> dict[Role, nn.Module]:
        """Module of each role; fused roles name the same module."""
        found = {role: bound.module for bound in self.all_projections for role in bound.spec.roles}
        return {role: found[role] for role in ROLES if role in found}

    def projection(self, role: Role) -> BoundProjection:
        """Return the projection that computes ``role``."""
        return next(projection for projection in self.all_projections if role in projection.spec.roles)

    def output(self, kind: WidthKind) -> nn.Module:
        """Return the output projection whose input features belong to units of ``kind``."""
        return self.projection(OUTPUT_ROLE[kind]).module

    @property
    def kinds(self) -> tuple[WidthKind, ...]:
        """Kinds of unit inside this block."""
        return self.stack.kinds

    def units(self, kind: UnitKind) -> int:
        """Return how many units of ``kind`` the block has."""
        widths = self.widths
        return {
            "layer": 1,
            "group": widths.groups,
            "head": widths.heads,
            "cross_group": widths.cross_groups,
            "channel": widths.channels,
        }[kind]

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        return int(read_attribute(self.module, self.stack.attention.head_dim))

    @property
    def n_heads(self) -> int:
        """Query heads."""
        return self.widths.heads

    @property
    def n_groups(self) -> int:
        """Key/value groups; equal to the heads in multi-head attention."""
        return self.widths.groups

    @property
    def heads_per_group(self) -> int:
        """Query heads that read one group."""
        return self.widths.heads_per_group

    @property
    def n_channels(self) -> int:
        """FFN intermediate neurons."""
        return self.widths.channels

    @property
    def widths(self) -> LayerWidths:
        """All widths at once."""
        down = self.projection("down")
        heads, groups = self._attention_units("o", "k")
        cross_heads, cross_groups = (0, 0)
        if self.stack.cross_attention is not None:
            cross_heads, cross_groups = self._attention_units("cross_o", "cross_k")
        return LayerWidths(
            hidden=down.module.weight.shape[1 - down.spec.unit_axis],
            head_dim=self.head_dim,
            heads=heads,
            groups=groups,
            channels=down.unit_features,
            cross_heads=cross_heads,
            cross_groups=cross_groups,
        )

    def _attention_units(self, output: Role, key: Role) -> tuple[int, int]:
        """Query heads and groups of one attention."""
        heads = self.projection(output).unit_features // self.head_dim
        keys = self.projection(key)
        of_queries = sum(role in ("q", "cross_q") for role in keys.spec.roles) * heads * self.head_dim
        shared_by = sum(role not in ("q", "cross_q") for role in keys.spec.roles)
        return heads, (keys.unit_features - of_queries) // (shared_by * self.head_dim)

    def group_slice(self, group: int) -> slice:
        """Columns of the input of the attention's output projection that a group fills."""
        width = self.heads_per_group * self.head_dim
        return slice(group * width, (group + 1) * width)

    def role_weight(self, role: Role) -> Tensor:
        """Return the weight of one role with shape (out, in), whatever its storage.

        A view into the parameter where the matrix serves this role alone or roles stand one behind the
        other, so that writing to it in place writes to the parameter; a copy where they are interleaved.
        """
        projection = self.projection(role)
        weight = projection.module.weight
        if projection.spec.orientation == "conv1d":
            weight = weight.T
        if not projection.is_fused:
            return weight
        places = role_features(projection.spec, self.widths)[role].reshape(-1)
        if projection.spec.layout == "concatenated":
            return weight[int(places[0]) : int(places[-1]) + 1]
        return weight[places.tolist()]

    @property
    def norms(self) -> dict[str, tuple[NormSpec, nn.Module]]:
        """The normalisations that the block has, by their path."""
        present = dict(self.module.named_modules())
        return {
            norm.module: (norm, present[norm.module])
            for norm in self.stack.norms
            if getattr(present.get(norm.module), "weight", None) is not None
        }

    def update_attributes(self, widths: LayerWidths | None = None) -> None:
        """Set the attributes that forward reads to the widths, by default those of the live weights."""
        widths = widths or self.widths
        parts = {
            "group": self.stack.attention,
            "cross_group": self.stack.cross_attention,
            "channel": self.stack.ffn,
        }
        for kind, part in parts.items():
            for path, quantity in (part.attributes if part is not None else {}).items():
                set_attribute(self.module, path, getattr(widths.seen_as(kind), quantity))

    def keep_head_inputs(self, widths: LayerWidths, kept: LayerPlan) -> None:
        """Let arguments that hold one entry a dense head (ALiBi) pass on those of the kept heads only."""
        for entry in self.stack.attention.head_inputs:
            keep_heads_of_inputs(self.module.get_submodule(entry.module), entry, widths, kept)


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
        blocks = [
            (module, stack) for stack in self.spec.stacks for module in self.base.get_submodule(stack.layers)
        ]
        return [
            BoundLayer(index=index, module=module, stack=stack)
            for index, (module, stack) in enumerate(blocks)
        ]

    def block_path(self, layer: int) -> str:
        """Return the path of a block inside the whole model."""
        prefix = next(path for path, module in self.model.named_modules() if module is self.base)
        first = 0
        for stack in self.spec.stacks:
            size = len(self.base.get_submodule(stack.layers))
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
            stack_sizes=tuple(len(self.base.get_submodule(stack.layers)) for stack in self.spec.stacks),
            cross_heads_per_layer=tuple(width.cross_heads for width in widths),
            cross_groups_per_layer=tuple(width.cross_groups for width in widths),
            absent_norms=self._absent_norms(layers),
            vocabulary=vocabulary,
            parameters_per_token=parameters_per_token,
        )

    @staticmethod
    def _biased_roles(layers: list[BoundLayer]) -> tuple[Role, ...]:
        biased = {
            role for layer in layers for role, module in layer.projections.items() if module.bias is not None
        }
        return tuple(role for role in ROLES if role in biased)

    @staticmethod
    def _absent_norms(layers: list[BoundLayer]) -> tuple[str, ...]:
        absent = {
            norm.module
            for layer in layers
            for norm in layer.stack.norms
            if norm.optional and norm.module not in layer.norms
        }
        return tuple(sorted(absent))

    def keep_layers(self, kept: tuple[int, ...]) -> None:
        """Drop all other blocks in place, renumber the rest and bring the configuration into step."""
        first = 0
        for stack in self.spec.stacks:
            blocks = self.base.get_submodule(stack.layers)
            own = [index - first for index in kept if first <= index < first + len(blocks)]
            first += len(blocks)
            self._keep_in_stack(stack, own)

    def _keep_in_stack(self, stack: StackSpec, kept: list[int]) -> None:
        blocks = self.base.get_submodule(stack.layers)
        parent, _, name = stack.layers.rpartition(".")
        setattr(self.base.get_submodule(parent), name, nn.ModuleList(blocks[index] for index in kept))
        for position, index in enumerate(kept):
            for path in stack.positions:
                set_attribute(blocks[index], path, position)
        keep_layer_numbers(self.base.config, stack, kept)


def bind(model: nn.Module) -> BoundModel:
    """Lay the specification of its family over a model.

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


def _check_blocks(bound: BoundModel) -> None:
    try:
        shape = bound.shape
    except AttributeError as error:
        raise UnsupportedArchitecture(
            f"this model is of the family '{bound.spec.family}', but a module that the specification of that "
            f"family names is not there ({error})."
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


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
