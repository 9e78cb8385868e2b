"""What was cut where: kept groups and channels of every layer of the dense model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One layer of the dense model.

    Attributes
    ----------
    index : int
        Its position.
    groups : tuple of bool
        Whether each head or key/value group stays; all False for a removed layer.
    n_channels, kept_channels : int
        Feed-forward channels before and after.
    """

    index: int
    groups: tuple[bool, ...]
    n_channels: int
    kept_channels: int

    @property
    def removed(self) -> bool:
        """Whether the whole layer went."""
        return not any(self.groups)

    @property
    def kept_groups(self) -> int:
        """Groups that stay."""
        return sum(self.groups)

    @property
    def channel_share(self) -> float:
        """Share of the channels that stay."""
        return self.kept_channels / self.n_channels


def layer_rows(plan: Mapping[str, Any]) -> list[LayerRow]:
    """Return a row for every layer of the dense model.

    Parameters
    ----------
    plan : mapping
        JSON of a pruning plan: ``shape`` with ``kv_groups_per_layer`` and ``channels_per_layer``, and
        ``layers`` with ``index``, ``groups`` and ``channels`` that stay.
    """
    shape = plan["shape"]
    kept = {layer["index"]: layer for layer in plan["layers"]}
    rows = []
    for index, (n_groups, n_channels) in enumerate(
        zip(shape["kv_groups_per_layer"], shape["channels_per_layer"], strict=True)
    ):
        layer = kept.get(index, {"groups": (), "channels": ()})
        stays = set(layer["groups"])
        rows.append(
            LayerRow(
                index=index,
                groups=tuple(group in stays for group in range(n_groups)),
                n_channels=n_channels,
                kept_channels=len(layer["channels"]),
            )
        )
    return rows
