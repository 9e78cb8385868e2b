"""Architecture specifications: where a model family keeps its units, told as data.

One JSON file a family lies in ``specs/``. It names module paths, the role of each projection, its weight
orientation and layout, and the attributes that forward reads and that must follow a cut. Every path is
relative to the residual block unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from secateur.core.errors import UnsupportedArchitecture

Role = Literal["q", "k", "v", "o", "cross_q", "cross_k", "cross_v", "cross_o", "gate", "up", "down"]
UnitKind = Literal["layer", "group", "cross_group", "head", "channel"]
WidthKind = Literal["group", "cross_group", "channel"]
Quantity = Literal["heads", "groups", "heads_per_group", "attention_width", "key_width", "channels"]

ROLES: tuple[Role, ...] = (
    "q", "k", "v", "o", "cross_q", "cross_k", "cross_v", "cross_o", "gate", "up", "down",
)  # fmt: skip
ROLES_OF: dict[WidthKind, tuple[Role, ...]] = {
    "group": ("q", "k", "v", "o"),
    "cross_group": ("cross_q", "cross_k", "cross_v", "cross_o"),
    "channel": ("gate", "up", "down"),
}
"""Roles of the matrices that a unit of each kind has a part of."""

KIND_OF: dict[Role, WidthKind] = {role: kind for kind, roles in ROLES_OF.items() for role in roles}
OUTPUT_ROLE: dict[WidthKind, Role] = {"group": "o", "cross_group": "cross_o", "channel": "down"}
OUTPUT_ROLES: frozenset[Role] = frozenset(OUTPUT_ROLE.values())
"""Roles whose *input* features belong to units; for all others it is the output features."""

QUERY_ROLES: frozenset[Role] = frozenset({"q", "o", "cross_q", "cross_o"})
"""Roles in which each query head, not each group, has its own features."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NormSpec(_Strict):
    """A normalisation inside a block: one weight, and a bias or none.

    Parameters
    ----------
    module : str
        Its path.
    bias : bool
        Whether it has a bias beside its weight.
    size : {"hidden", "head_dim", "q", "k"}
        What its weight is as long as: the residual stream, one head (shared by all heads), or all features
        of the queries or keys together. The last two take their statistics over all heads and are cut
        along with them.
    optional : bool
        Whether some configurations of the family, or some of its blocks, lack it.
    after : {"attention", "ffn"}, optional
        The branch whose output it normalises before the residual stream takes it up.
    """

    module: str
    bias: bool
    size: Literal["hidden", "head_dim", "q", "k"] = "hidden"
    optional: bool = False
    after: Literal["attention", "ffn"] | None = None


class ProjectionSpec(_Strict):
    """One weight matrix of a block.

    Parameters
    ----------
    module : str
        Its path.
    roles : tuple of Role
        What the matrix computes; several roles in one matrix stand in this order.
    orientation : {"linear", "conv1d"}
        Weight stored as (out, in) or as (in, out).
    layout : {"separate", "concatenated", "interleaved"}
        One role alone; whole roles one behind the other along the output features; or group by group, each
        with its part of every role (all its query heads, then its key, then its value, say).
    """

    module: str
    roles: tuple[Role, ...] = Field(min_length=1)
    orientation: Literal["linear", "conv1d"] = "linear"
    layout: Literal["separate", "concatenated", "interleaved"] = "separate"

    @model_validator(mode="after")
    def _layout_fits_roles(self) -> ProjectionSpec:
        if (self.layout == "separate") != (len(self.roles) == 1):
            raise ValueError(f"layout '{self.layout}' does not fit the roles {self.roles} of {self.module}")
        if len(self.roles) > 1 and OUTPUT_ROLES & set(self.roles):
            raise ValueError(f"an output projection stands alone; {self.module} has the roles {self.roles}")
        if len({KIND_OF[role] for role in self.roles}) > 1:
            raise ValueError(f"one matrix serves one kind of unit; {self.module} has the roles {self.roles}")
        return self

    @property
    def kind(self) -> WidthKind:
        """Kind of unit that has a part of this matrix."""
        return KIND_OF[self.roles[0]]

    @property
    def unit_axis(self) -> int:
        """Axis of the weight along which units lie."""
        along_output = self.roles[0] not in OUTPUT_ROLES
        return int(along_output == (self.orientation == "conv1d"))

    @property
    def bias_follows_units(self) -> bool:
        """Whether a bias entry belongs to a unit; biases of output projections belong to the layer."""
        return self.roles[0] not in OUTPUT_ROLES


class HeadInput(_Strict):
    """An argument of a module that holds one entry a query head of the *dense* model, such as ALiBi slopes.

    Parameters
    ----------
    module : str
        The module whose ``forward`` takes it by keyword or position.
    argument : str
        Its name in the signature. A tensor of three axes holds batch and heads together in its first; one
        of four axes holds heads in its second, or 1 where it is the same for all.
    """

    module: str
    argument: str


class AttentionSpec(_Strict):
    """One attention of a block: its own, or that over the encoder's states.

    Parameters
    ----------
    head_dim : str
        Path of the attribute that holds the width of a head.
    attributes : dict of str to Quantity
        Paths of attributes that must be set after a cut, and to what. ``module.config.name`` gives that
        module a configuration of its own.
    projections : tuple of ProjectionSpec
        All its weight matrices.
    head_inputs : tuple of HeadInput
        Arguments that are computed for the heads of the dense model.
    """

    head_dim: str
    attributes: dict[str, Quantity] = {}
    projections: tuple[ProjectionSpec, ...]
    head_inputs: tuple[HeadInput, ...] = ()


class MixtureSpec(_Strict):
    """Where a feed-forward part made of experts keeps them.

    Parameters
    ----------
    experts : str
        Path of the module that holds the experts. They are laid side by side in it, so that it has the
        projections ``wide_gate``, ``wide_up`` and ``wide_down`` of all of them.
    router : str
        Path of the module whose weight, (experts, hidden), chooses among them.
    """

    experts: str
    router: str


class FfnSpec(_Strict):
    """The feed-forward part of a block; gated when it has a ``gate`` role, a mixture when it has experts.

    Parameters
    ----------
    attributes : dict of str to Quantity
        As of an attention.
    projections : tuple of ProjectionSpec
        All its weight matrices.
    activation : tuple of str
        Paths of parameters of one number that its activation learns; they stay as they are.
    mixture : MixtureSpec, optional
        Where its experts lie.
    """

    attributes: dict[str, Quantity] = {}
    projections: tuple[ProjectionSpec, ...]
    activation: tuple[str, ...] = ()
    mixture: MixtureSpec | None = None


class StackSpec(_Strict):
    """A list of residual blocks that are built alike.

    Parameters
    ----------
    layers : str
        Path of the list inside the base model.
    layer_count : str
        Configuration attribute that holds the number of blocks.
    per_layer : tuple of str
        Configuration attributes that are lists with one entry a block.
    positions : tuple of str
        Paths of the attributes that hold the block's position, which indexes key/value caches.
    residual : {"pre", "post"}
        Whether the stream passes a block untouched ("pre": norms stand inside the branches) or is itself
        normalised ("post", as in BERT).
    returns : {"tensor", "tuple"}
        What the forward of a block returns: the stream alone, or a tuple that begins with it.
    norms : tuple of NormSpec
        Normalisations of a block.
    attention : AttentionSpec
        Its self-attention.
    cross_attention : AttentionSpec, optional
        Its attention over the states of an encoder.
    ffn : FfnSpec
        Its feed-forward part.
    """

    layers: str
    layer_count: str
    per_layer: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    residual: Literal["pre", "post"] = "pre"
    returns: Literal["tensor", "tuple"] = "tensor"
    norms: tuple[NormSpec, ...]
    attention: AttentionSpec
    cross_attention: AttentionSpec | None = None
    ffn: FfnSpec

    @model_validator(mode="after")
    def _roles_are_complete(self) -> StackSpec:
        parts: dict[WidthKind, AttentionSpec | FfnSpec | None] = {
            "group": self.attention,
            "cross_group": self.cross_attention,
            "channel": self.ffn,
        }
        for kind, part in parts.items():
            if part is None:
                continue
            roles = [role for projection in part.projections for role in projection.roles]
            needed = [role for role in ROLES_OF[kind] if role != "gate" or "gate" in roles]
            if sorted(roles) != sorted(needed):
                raise ValueError(f"each of the roles {' '.join(needed)} is needed once; got {roles}")
        return self

    @property
    def is_gated(self) -> bool:
        """Whether the FFN multiplies a gate with ``up``."""
        return any("gate" in projection.roles for projection in self.ffn.projections)

    @property
    def kinds(self) -> tuple[WidthKind, ...]:
        """Kinds of unit inside a block."""
        return ("group", "channel") if self.cross_attention is None else ("group", "cross_group", "channel")

    @property
    def attentions(self) -> tuple[AttentionSpec, ...]:
        """Its self-attention, and the one over an encoder where there is one."""
        return tuple(part for part in (self.attention, self.cross_attention) if part is not None)

    @property
    def projections(self) -> tuple[ProjectionSpec, ...]:
        """All weight matrices of a block."""
        parts: tuple[AttentionSpec | FfnSpec, ...] = (*self.attentions, self.ffn)
        return tuple(matrix for part in parts for matrix in part.projections)

    def projections_of(self, kind: UnitKind) -> tuple[ProjectionSpec, ...]:
        """Return the weight matrices of which units of ``kind`` have a part."""
        if kind == "layer":
            return self.projections
        wanted = "group" if kind == "head" else kind
        return tuple(projection for projection in self.projections if projection.kind == wanted)


class ArchitectureSpec(_Strict):
    """One model family.

    Parameters
    ----------
    family : str
        Name used in plans.
    model_types : tuple of str
        ``config.model_type`` values that it describes.
    when : dict
        Configuration attributes, and the values they must have, where a model type comes in variants.
    stacks : tuple of StackSpec
        One, or encoder and decoder; layers are numbered through in this order.
    stock : dict of str to str
        Configuration attributes that hold ``heads``, ``groups``, ``channels`` (in a mixture those of one
        expert) and ``head_dim``, where a configuration can tell them: a model cut to equal widths is then
        saved as a plain folder.
    """

    family: str
    model_types: tuple[str, ...] = Field(min_length=1)
    when: dict[str, bool | int | str | None] = {}
    stacks: tuple[StackSpec, ...] = Field(min_length=1)
    stock: dict[Literal["heads", "groups", "channels", "head_dim"], str] = {}

    @property
    def is_gated(self) -> bool:
        """Whether its FFNs multiply a gate with ``up``."""
        return any(stack.is_gated for stack in self.stacks)


@cache
def known_specs() -> dict[str, ArchitectureSpec]:
    """Return every shipped specification by family name."""
    folder = resources.files("secateur.structure") / "specs"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name
    )
    specs = [ArchitectureSpec.model_validate_json(file.read_text("utf-8")) for file in files]
    return {spec.family: spec for spec in specs}


def load_spec(family: str) -> ArchitectureSpec:
    """Return the specification of a family.

    Raises
    ------
    UnsupportedArchitecture
        If there is none of that name; the message lists those that exist.
    """
    specs = known_specs()
    if family not in specs:
        raise UnsupportedArchitecture(
            f"no specification has the family name '{family}'; there are: {', '.join(sorted(specs))}."
        )
    return specs[family]


def spec_for(model_type: str, attribute: Callable[[str], Any]) -> ArchitectureSpec:
    """Return the specification that describes a configuration.

    Parameters
    ----------
    model_type : str
        Its ``model_type``.
    attribute : callable
        Gives the value of a configuration attribute by name, None where it has none.

    Raises
    ------
    UnsupportedArchitecture
        Naming what was looked for and how to add it.
    """
    specs = known_specs().values()
    candidates = [spec for spec in specs if model_type in spec.model_types]
    for spec in candidates:
        if all(attribute(name) == value for name, value in spec.when.items()):
            return spec
    if candidates:
        wanted = " or ".join(str(spec.when) for spec in candidates)
        found = {name: attribute(name) for spec in candidates for name in spec.when}
        reason = f"no specification describes '{model_type}' with {found}; known: {wanted}"
    else:
        allowed = sorted({name for spec in specs for name in spec.model_types})
        reason = f"no specification describes models of type '{model_type}'; known: {', '.join(allowed)}"
        text = attribute("text_config")
        inner = text.get("model_type") if isinstance(text, dict) else getattr(text, "model_type", None)
        if inner in allowed:
            raise UnsupportedArchitecture(
                f"{reason}. It holds a language model of type '{inner}' beside parts for other inputs: save "
                "that alone and cut it, see 'Models with images or sound' in docs/transformers.md."
            )
    raise UnsupportedArchitecture(
        f"{reason}. A family is added by one JSON file that names its layers, attention and FFN matrices: "
        "see docs/add_architecture.md."
    )
