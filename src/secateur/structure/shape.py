"""The widths of a transformer, layer by layer."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from itertools import accumulate
from typing import Any

from secateur.core.errors import PlanError


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """How many units each layer has, and what the counting of parameters needs beside them.

    Parameters
    ----------
    n_layers : int
        Number of residual blocks.
    hidden : int
        Width of the residual stream.
    head_dim : int
        Width of one attention head.
    heads_per_layer : tuple of int
        Query heads of each layer; a multiple of its groups.
    kv_groups_per_layer : tuple of int
        Key/value groups of each layer; equal to the heads in multi-head attention.
    channels_per_layer : tuple of int
        FFN intermediate neurons of each layer.
    other_parameters : int
        Parameters of the deployed model outside the blocks: front end, embeddings, final norm, head.
    biased_roles : tuple of str
        Projection roles (``q k v o gate up down``) that carry a bias, in that order.
    stack_sizes : tuple of int
        Layers of each stack, encoder before decoder; by default all layers form one stack.
    cross_heads_per_layer, cross_groups_per_layer : tuple of int
        Query heads and key/value groups of each layer's attention over an encoder, 0 where it has none; by
        default no layer has one.
    absent_norms_per_layer : tuple of tuple of str
        For each layer, the optional normalisations of the family that it lacks; empty where none lacks any.
    vocabulary : int
        Rows of the token embedding; 0 without one.
    parameters_per_token : int
        Parameters that leave with one token, embedding and output head together.
    channels_per_expert : tuple of tuple of int
        For each layer, the channels of each of its experts, which make up those of the layer; empty in a
        model without experts.

    Raises
    ------
    PlanError
        If the numbers contradict each other.
    """

    n_layers: int
    hidden: int
    head_dim: int
    heads_per_layer: tuple[int, ...]
    kv_groups_per_layer: tuple[int, ...]
    channels_per_layer: tuple[int, ...]
    other_parameters: int
    biased_roles: tuple[str, ...] = ()
    stack_sizes: tuple[int, ...] = ()
    cross_heads_per_layer: tuple[int, ...] = ()
    cross_groups_per_layer: tuple[int, ...] = ()
    absent_norms_per_layer: tuple[tuple[str, ...], ...] = ()
    vocabulary: int = 0
    parameters_per_token: int = 0
    channels_per_expert: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if len(self.stack_sizes) < 2:
            object.__setattr__(self, "stack_sizes", (self.n_layers,))
        for name in ("cross_heads_per_layer", "cross_groups_per_layer"):
            if not any(getattr(self, name)):
                object.__setattr__(self, name, (0,) * self.n_layers)
        if not any(self.absent_norms_per_layer):
            object.__setattr__(self, "absent_norms_per_layer", ())
        elif len(self.absent_norms_per_layer) != self.n_layers:
            raise PlanError(
                f"a shape of {self.n_layers} layers needs one entry of absent norms a layer; "
                f"got {len(self.absent_norms_per_layer)}."
            )
        per_layer = (self.heads_per_layer, self.kv_groups_per_layer, self.channels_per_layer)
        if self.n_layers < 1 or any(len(counts) != self.n_layers for counts in per_layer):
            raise PlanError(
                f"a shape of {self.n_layers} layers needs at least one layer and one entry a layer; "
                f"got {[len(counts) for counts in per_layer]} entries for heads, groups, channels."
            )
        if min(self.hidden, self.head_dim, *(count for counts in per_layer for count in counts)) < 1:
            raise PlanError(f"every width of a shape must be at least 1; got {self}.")
        if self.has_experts and tuple(map(sum, self.channels_per_expert)) != self.channels_per_layer:
            raise PlanError(
                f"experts of {self.channels_per_expert} channels do not make up {self.channels_per_layer} "
                "channels a layer."
            )
        if self.other_parameters < 0:
            raise PlanError(f"other_parameters must not be negative; got {self.other_parameters}.")
        if sum(self.stack_sizes) != self.n_layers or min(self.stack_sizes) < 1:
            raise PlanError(
                f"stacks of {list(self.stack_sizes)} layers do not make up {self.n_layers} layers; "
                "every stack needs at least one."
            )
        _check_sharing("query heads", self.heads_per_layer, self.kv_groups_per_layer)
        _check_sharing("cross-attention heads", self.cross_heads_per_layer, self.cross_groups_per_layer)

    def heads_per_group(self, layer: int) -> int:
        """Query heads that read one key/value group of ``layer``."""
        return self.heads_per_layer[layer] // self.kv_groups_per_layer[layer]

    def absent_norms(self, layer: int) -> tuple[str, ...]:
        """Optional normalisations of the family that ``layer`` lacks."""
        return self.absent_norms_per_layer[layer] if self.absent_norms_per_layer else ()

    @property
    def has_experts(self) -> bool:
        """Whether its feed-forward parts are mixtures of experts."""
        return bool(self.channels_per_expert)

    def channels_of_experts(self, layer: int) -> tuple[range, ...]:
        """Return the channels of each expert of a layer; all channels as one where there are no experts."""
        widths = self.channels_per_expert[layer] if self.has_experts else (self.channels_per_layer[layer],)
        return tuple(range(end - width, end) for width, end in zip(widths, accumulate(widths), strict=True))

    def experts_with(self, channels_per_layer: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Return ``channels_per_expert`` for other numbers of channels, where only the sum matters."""
        if not self.has_experts:
            return ()
        empty = (0,) * (len(self.channels_per_expert[0]) - 1)
        return tuple((channels, *empty) for channels in channels_per_layer)

    @property
    def shares_keys(self) -> bool:
        """Whether several query heads of some layer read the same keys and values."""
        return any(self.heads_per_group(layer) > 1 for layer in range(self.n_layers))

    def stack_of(self, layer: int) -> int:
        """Return which stack ``layer`` stands in."""
        return next(stack for stack, end in enumerate(accumulate(self.stack_sizes)) if layer < end)

    def summary(self) -> str:
        """Return the widths in words, for messages."""
        cross = ""
        if any(self.cross_groups_per_layer):
            cross = (
                f"cross-attention heads {list(self.cross_heads_per_layer)}, "
                f"groups {list(self.cross_groups_per_layer)}, "
            )
        tokens = f", {self.vocabulary} tokens" if self.vocabulary else ""
        return (
            f"{self.n_layers} layers of width {self.hidden} with heads {list(self.heads_per_layer)}, "
            f"groups {list(self.kv_groups_per_layer)}, {cross}channels {self._channels()} and "
            f"{self.other_parameters} other parameters{tokens} "
            f"(biases: {' '.join(self.biased_roles) or 'none'})"
        )

    def _channels(self) -> list[Any]:
        return [list(experts) for experts in self.channels_per_expert] or list(self.channels_per_layer)

    def to_json(self) -> dict[str, Any]:
        """Return the shape as plain JSON values."""
        return {name: _as_list(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ModelShape:
        """Read a shape back from :meth:`to_json`; that of a former version told absent norms for all layers.

        Raises
        ------
        PlanError
            If a field is missing or unknown.
        """
        value = dict(value)
        if "absent_norms" in value:
            absent = [value.pop("absent_norms")] * int(value.get("n_layers", 0))
            value.setdefault("absent_norms_per_layer", absent)
        known = {field.name for field in fields(cls)}
        needed = {field.name for field in fields(cls) if field.default is MISSING}
        if not needed <= set(value) <= known:
            raise PlanError(
                f"a shape has the fields {', '.join(sorted(known))}; got {', '.join(sorted(value))}."
            )
        return cls(**{name: _as_tuple(entry) for name, entry in value.items()})


def _as_list(value: Any) -> Any:
    return [_as_list(entry) for entry in value] if isinstance(value, tuple) else value


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(entry) for entry in value) if isinstance(value, list) else value


def _check_sharing(what: str, heads: tuple[int, ...], groups: tuple[int, ...]) -> None:
    for layer, (many, few) in enumerate(zip(heads, groups, strict=True)):
        if many != few and (few == 0 or many % few):
            raise PlanError(
                f"layer {layer} has {many} {what} in {few} groups; "
                "every group must read the same number of heads."
            )
