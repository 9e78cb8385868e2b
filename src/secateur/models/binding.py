"""Binding: a specification laid over a live module tree; no other room names a family's modules."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from secateur.core.errors import UnsupportedArchitecture
from secateur.structure.closure import LayerWidths, closure
from secateur.structure.shape import ModelShape
from secateur.structure.spec import ROLES, ArchitectureSpec, ProjectionSpec, Role, UnitKind, load_spec
from secateur.structure.units import Unit


@dataclass(frozen=True, kw_only=True)
class BoundProjection:
    """One weight matrix of a block.

    Attributes
    ----------
    path : str
        Path inside the block.
    spec : ProjectionSpec
        Its roles, orientation and layout.
    module : torch.nn.Module
        The live ``Linear`` or ``Conv1D``.
    """

    path: str
    spec: ProjectionSpec
    module: nn.Module

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
        Position in the live model.
    module : torch.nn.Module
        The block.
    spec : ArchitectureSpec
        The family.
    """

    index: int
    module: nn.Module
    spec: ArchitectureSpec

    @cached_property
    def all_projections(self) -> tuple[BoundProjection, ...]:
        """Each weight matrix once, in the order of the specification."""
        return tuple(
            BoundProjection(path=path, spec=projection, module=self.module.get_submodule(path))
            for path, projection in self.spec.projections()
        )

    def projections_of(self, kind: UnitKind) -> tuple[BoundProjection, ...]:
        """Return each weight matrix that units of ``kind`` touch, once."""
        paths = {path for path, _ in self.spec.projections(kind)}
        return tuple(projection for projection in self.all_projections if projection.path in paths)

    @property
    def projections(self) -> dict[Role, nn.Module]:
        """Module of each role; fused roles name the same module."""
        return {role: self.projection(role).module for role in ROLES if role != "gate" or self.spec.is_gated}

    def projection(self, role: Role) -> BoundProjection:
        """Return the projection that computes ``role``."""
        return next(projection for projection in self.all_projections if role in projection.spec.roles)

    @property
    def attention_output(self) -> nn.Module:
        """The output projection whose input has ``n_heads * head_dim`` features."""
        return self.projection("o").module

    @property
    def ffn_output(self) -> nn.Module:
        """The output projection whose input has ``n_channels`` features."""
        return self.projection("down").module

    @property
    def attention(self) -> nn.Module:
        """The attention module."""
        return self.module.get_submodule(self.spec.attention.module)

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        return int(getattr(self.attention, self.spec.attention.head_dim))

    @property
    def n_heads(self) -> int:
        """Query heads."""
        return self.projection("o").unit_features // self.head_dim

    @property
    def n_groups(self) -> int:
        """Key/value groups; equal to the heads in multi-head attention."""
        keys = self.projection("k")
        queries_beside = keys.spec.roles.count("q") * self.n_heads * self.head_dim
        shared_by = sum(role in ("k", "v") for role in keys.spec.roles)
        return (keys.unit_features - queries_beside) // (shared_by * self.head_dim)

    @property
    def heads_per_group(self) -> int:
        """Query heads that read one key/value group."""
        return self.n_heads // self.n_groups

    @property
    def n_channels(self) -> int:
        """FFN intermediate neurons."""
        return self.projection("down").unit_features

    @property
    def widths(self) -> LayerWidths:
        """All widths at once."""
        down = self.projection("down")
        return LayerWidths(
            hidden=down.module.weight.shape[1 - down.spec.unit_axis],
            head_dim=self.head_dim,
            heads=self.n_heads,
            groups=self.n_groups,
            channels=self.n_channels,
        )

    def group_slice(self, group: int) -> slice:
        """Columns of the input of :attr:`attention_output` that a group fills."""
        width = self.heads_per_group * self.head_dim
        return slice(group * width, (group + 1) * width)

    def role_weight(self, role: Role) -> Tensor:
        """Return the weight of one role as a view of shape (out, in), whatever its storage.

        Writing to it in place writes to the parameter.
        """
        projection, widths = self.projection(role), self.widths
        weight = projection.module.weight
        if projection.spec.orientation == "conv1d":
            weight = weight.T
        if not projection.is_fused:
            return weight
        sizes = [widths.unit_count(entry) * widths.unit_width(entry) for entry in projection.spec.roles]
        return weight.split(sizes)[projection.spec.roles.index(role)]

    def update_attributes(self, widths: LayerWidths | None = None) -> None:
        """Set the attributes that forward reads to the widths, by default those of the live weights."""
        widths = widths or self.widths
        for part in (self.spec.attention, self.spec.ffn):
            module = self.module.get_submodule(part.module)
            for name, quantity in part.attributes.items():
                setattr(module, name, getattr(widths, quantity))


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
        """The blocks in order."""
        return [
            BoundLayer(index=index, module=module, spec=self.spec)
            for index, module in enumerate(self.base.get_submodule(self.spec.layers))
        ]

    @property
    def layers_path(self) -> str:
        """Path of the list of blocks in the whole model; parameters of block i start with ``path.i.``."""
        for path, module in self.model.named_modules():
            if module is self.base:
                return f"{path}.{self.spec.layers}" if path else self.spec.layers
        raise AssertionError("the base model is part of the model")

    @property
    def shape(self) -> ModelShape:
        """Shape read from the live weights; ``other_parameters`` counts all outside the blocks."""
        layers = self.layers
        blocks = self.base.get_submodule(self.spec.layers)
        widths = [layer.widths for layer in layers]
        return ModelShape(
            n_layers=len(layers),
            hidden=widths[0].hidden,
            head_dim=widths[0].head_dim,
            heads_per_layer=tuple(width.heads for width in widths),
            kv_groups_per_layer=tuple(width.groups for width in widths),
            channels_per_layer=tuple(width.channels for width in widths),
            other_parameters=_count(self.model) - _count(blocks),
            biased_roles=tuple(
                role for role, module in layers[0].projections.items() if module.bias is not None
            ),
        )

    def keep_layers(self, kept: tuple[int, ...]) -> None:
        """Drop all other blocks in place, renumber the rest and set the configuration's count."""
        blocks = self.base.get_submodule(self.spec.layers)
        parent, _, name = self.spec.layers.rpartition(".")
        setattr(self.base.get_submodule(parent), name, nn.ModuleList(blocks[index] for index in kept))
        for layer in self.layers:
            setattr(layer.attention, self.spec.attention.layer_position, layer.index)
        setattr(self.base.config, self.spec.layer_count, len(kept))


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
        does not name (adapters, cross-attention).
    """
    backbone: Any = getattr(model, "backbone", model)
    if not hasattr(backbone, "config") or not hasattr(backbone, "base_model"):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} is neither a Diagnoser nor a transformers model; "
            "give one whose backbone is a transformers model."
        )
    spec = load_spec(backbone.config.model_type)
    bound = BoundModel(model=model, base=backbone.base_model, spec=spec)
    _check_blocks(bound)
    return bound


def _check_blocks(bound: BoundModel) -> None:
    shape = bound.shape
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
