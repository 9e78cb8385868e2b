"""The widths of a transformer, layer by layer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
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

    def __post_init__(self) -> None:
        per_layer = (self.heads_per_layer, self.kv_groups_per_layer, self.channels_per_layer)
        if self.n_layers < 1 or any(len(counts) != self.n_layers for counts in per_layer):
            raise PlanError(
                f"a shape of {self.n_layers} layers needs at least one layer and one entry a layer; "
                f"got {[len(counts) for counts in per_layer]} entries for heads, groups, channels."
            )
        if min(self.hidden, self.head_dim, *(count for counts in per_layer for count in counts)) < 1:
            raise PlanError(f"every width of a shape must be at least 1; got {self}.")
        if self.other_parameters < 0:
            raise PlanError(f"other_parameters must not be negative; got {self.other_parameters}.")
        for layer, (heads, groups) in enumerate(
            zip(self.heads_per_layer, self.kv_groups_per_layer, strict=True)
        ):
            if heads % groups:
                raise PlanError(
                    f"layer {layer} has {heads} query heads in {groups} groups; "
                    "every group must read the same number of heads."
                )

    def heads_per_group(self, layer: int) -> int:
        """Query heads that read one key/value group of ``layer``."""
        return self.heads_per_layer[layer] // self.kv_groups_per_layer[layer]

    def summary(self) -> str:
        """Return the widths in words, for messages."""
        return (
            f"{self.n_layers} layers of width {self.hidden} with heads {list(self.heads_per_layer)}, "
            f"groups {list(self.kv_groups_per_layer)}, channels {list(self.channels_per_layer)} and "
            f"{self.other_parameters} other parameters (biases: {' '.join(self.biased_roles) or 'none'})"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the shape as plain JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ModelShape:
        """Read a shape back from :meth:`to_json`.

        Raises
        ------
        PlanError
            If a field is missing or unknown.
        """
        expected = {field.name for field in fields(cls)}
        if set(value) != expected:
            raise PlanError(
                f"a shape has the fields {', '.join(sorted(expected))}; got {', '.join(sorted(value))}."
            )
        return cls(
            **{name: tuple(entry) if isinstance(entry, list) else entry for name, entry in value.items()}
        )
