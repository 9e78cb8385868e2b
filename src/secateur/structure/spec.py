"""Architecture specifications: where a model family keeps its units, told as data.

One JSON file a family lies in ``specs/``. It names module paths, the role of each projection, its weight
orientation and layout, and the attributes that forward reads and that must follow a cut.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from secateur.core.errors import UnsupportedArchitecture

Role = Literal["q", "k", "v", "o", "gate", "up", "down"]
UnitKind = Literal["layer", "group", "channel"]
Quantity = Literal["heads", "groups", "heads_per_group", "attention_width", "channels"]

ROLES: tuple[Role, ...] = ("q", "k", "v", "o", "gate", "up", "down")
OUTPUT_ROLES: frozenset[Role] = frozenset({"o", "down"})
"""Roles whose *input* features belong to units; for all others it is the output features."""

ATTENTION_ROLES: frozenset[Role] = frozenset({"q", "k", "v", "o"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NormSpec(_Strict):
    """A normalisation of a block over the residual width: one weight, and a bias or none."""

    module: str
    bias: bool


class ProjectionSpec(_Strict):
    """One weight matrix of a block.

    Parameters
    ----------
    module : str
        Path inside the attention or FFN module.
    roles : tuple of Role
        What the matrix computes; several roles in one matrix stand in this order.
    orientation : {"linear", "conv1d"}
        Weight stored as (out, in) or as (in, out).
    layout : {"separate", "concatenated"}
        One role alone, or whole roles one behind the other along the output features.
    """

    module: str
    roles: tuple[Role, ...] = Field(min_length=1)
    orientation: Literal["linear", "conv1d"]
    layout: Literal["separate", "concatenated"]

    @model_validator(mode="after")
    def _layout_fits_roles(self) -> ProjectionSpec:
        if (self.layout == "separate") != (len(self.roles) == 1):
            raise ValueError(f"layout '{self.layout}' does not fit the roles {self.roles} of {self.module}")
        if len(self.roles) > 1 and OUTPUT_ROLES & set(self.roles):
            raise ValueError(f"an output projection stands alone; {self.module} has the roles {self.roles}")
        return self

    @property
    def unit_axis(self) -> int:
        """Axis of the weight along which units lie."""
        along_output = self.roles[0] not in OUTPUT_ROLES
        return int(along_output == (self.orientation == "conv1d"))

    @property
    def bias_follows_units(self) -> bool:
        """Whether a bias entry belongs to a unit; biases of output projections belong to the layer."""
        return self.roles[0] not in OUTPUT_ROLES


class AttentionSpec(_Strict):
    """The attention of a block.

    Parameters
    ----------
    module : str
        Path inside the block.
    layer_position : str
        Attribute that holds the block's position, which indexes key/value caches.
    head_dim : str
        Attribute that holds the width of a head.
    attributes : dict of str to Quantity
        Attributes that must be set after a cut, and to what.
    projections : tuple of ProjectionSpec
        All its weight matrices.
    """

    module: str
    layer_position: str
    head_dim: str
    attributes: dict[str, Quantity]
    projections: tuple[ProjectionSpec, ...]


class FfnSpec(_Strict):
    """The feed-forward part of a block; gated when it has a ``gate`` role."""

    module: str
    attributes: dict[str, Quantity]
    projections: tuple[ProjectionSpec, ...]


class ArchitectureSpec(_Strict):
    """One model family.

    Parameters
    ----------
    family : str
        Name used in plans.
    model_types : tuple of str
        ``config.model_type`` values that it describes.
    layers : str
        Path of the list of blocks inside the base model.
    layer_count : str
        Configuration attribute that holds the number of blocks.
    norms : tuple of NormSpec
        Normalisations of a block.
    attention : AttentionSpec
        Its attention.
    ffn : FfnSpec
        Its feed-forward part.
    """

    family: str
    model_types: tuple[str, ...]
    layers: str
    layer_count: str
    norms: tuple[NormSpec, ...]
    attention: AttentionSpec
    ffn: FfnSpec

    @model_validator(mode="after")
    def _roles_are_complete(self) -> ArchitectureSpec:
        roles = [role for _, projection in self.projections() for role in projection.roles]
        gated = {"gate"} if "gate" in roles else set()
        if sorted(roles) != sorted({"q", "k", "v", "o", "up", "down"} | gated):
            raise ValueError(f"each of q k v o up down (and gate) is needed once; got {roles}")
        attention_roles = {role for projection in self.attention.projections for role in projection.roles}
        if attention_roles != ATTENTION_ROLES:
            raise ValueError(f"the attention needs the roles q k v o; got {sorted(attention_roles)}")
        return self

    @property
    def is_gated(self) -> bool:
        """Whether the FFN multiplies a gate with ``up``."""
        return any("gate" in projection.roles for projection in self.ffn.projections)

    def projections(self, kind: UnitKind = "layer") -> tuple[tuple[str, ProjectionSpec], ...]:
        """Return (path inside the block, projection) of those that units of ``kind`` touch."""
        parts = {
            "layer": (self.attention, self.ffn),
            "group": (self.attention,),
            "channel": (self.ffn,),
        }[kind]
        return tuple(
            (f"{part.module}.{projection.module}", projection)
            for part in parts
            for projection in part.projections
        )


@cache
def known_specs() -> dict[str, ArchitectureSpec]:
    """Return every shipped specification by family name."""
    folder = resources.files("secateur.structure") / "specs"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name
    )
    specs = [ArchitectureSpec.model_validate_json(file.read_text("utf-8")) for file in files]
    return {spec.family: spec for spec in specs}


def load_spec(model_type: str) -> ArchitectureSpec:
    """Return the specification of a family or of a ``config.model_type``.

    Raises
    ------
    UnsupportedArchitecture
        If no specification describes it; the message lists those that exist.
    """
    specs = known_specs()
    for spec in specs.values():
        if model_type == spec.family or model_type in spec.model_types:
            return spec
    allowed = sorted({name for spec in specs.values() for name in spec.model_types})
    raise UnsupportedArchitecture(
        f"no specification describes models of type '{model_type}'; supported: {', '.join(allowed)}."
    )
