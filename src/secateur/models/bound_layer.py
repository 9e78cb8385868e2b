"""One block of a live model: its projections by role and its widths, read from the live weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from secateur.models.attributes import read_attribute, set_attribute
from secateur.models.experts import Experts
from secateur.models.head_inputs import keep_heads_of_inputs
from secateur.structure.closure import LayerWidths, role_features
from secateur.structure.plan import LayerPlan
from secateur.structure.spec import (
    OUTPUT_ROLE,
    ROLES,
    NormSpec,
    ProjectionSpec,
    Role,
    StackSpec,
    UnitKind,
    WidthKind,
)


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
    def weight(self) -> Tensor:
        """The matrix, in the module's own orientation."""
        return self.module.get_parameter("weight")

    @property
    def bias(self) -> Tensor | None:
        """One entry an output feature; None where there is none."""
        return dict(self.module.named_parameters(recurse=False)).get("bias")

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
        return self.weight.shape[self.spec.unit_axis]

    def replace(self, weight: Tensor, bias: Tensor | None) -> None:
        """Put new parameters in and bring the module's declared sizes into step.

        Parameters
        ----------
        weight : Tensor
            In the module's own orientation.
        bias : Tensor or None
            Of shape (out,); None for a module without bias.
        """
        module: Any = self.module
        learns = module.weight.requires_grad
        module.weight = nn.Parameter(weight, requires_grad=learns)
        if bias is not None:
            module.bias = nn.Parameter(bias, requires_grad=learns)
        if self.spec.orientation == "linear":
            module.out_features, module.in_features = weight.shape
        else:
            module.nx, module.nf = weight.shape


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
            hidden=down.weight.shape[1 - down.spec.unit_axis],
            head_dim=self.head_dim,
            heads=heads,
            groups=groups,
            channels=down.unit_features,
            cross_heads=cross_heads,
            cross_groups=cross_groups,
            channels_per_expert=() if self.experts is None else self.experts.channels,
        )

    @property
    def experts(self) -> Experts | None:
        """Its experts, where it has any."""
        mixture = self.stack.ffn.mixture
        found = None if mixture is None else self.module.get_submodule(mixture.experts)
        return found if isinstance(found, Experts) else None

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
        weight = projection.weight
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

    def keep_dense_numbers(self, widths: LayerWidths, kept: LayerPlan) -> None:
        """Remember which of the dense units stay, where forward asks.

        Arguments that hold one entry a dense head (ALiBi) pass on those of the kept heads only; kept channels
        stay with their expert.
        """
        if self.experts is not None:
            self.experts.keep_channels(kept.channels)
        for entry in self.stack.attention.head_inputs:
            keep_heads_of_inputs(self.module.get_submodule(entry.module), entry, widths, kept)
