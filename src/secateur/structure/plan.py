"""The pruning plan: which units of a dense model stay, as data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import index as as_integer
from typing import Any

from secateur.core.errors import PlanError
from secateur.structure.shape import ModelShape

PLAN_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """What stays of one kept layer.

    Parameters
    ----------
    index : int
        Position of the layer in the dense model.
    groups : tuple of int
        Key/value groups that stay, ascending; with multi-head attention a group is one head.
    channels : tuple of int
        FFN channels that stay, ascending.
    """

    index: int
    groups: tuple[int, ...]
    channels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PruningPlan:
    """The units of one model that stay; every index counts in that (dense) model.

    Parameters
    ----------
    family : str
        Name of the architecture specification, such as ``"llama"``.
    shape : ModelShape
        Shape of the model that the indices refer to.
    layers : tuple of LayerPlan
        The layers that stay, ascending; layers not named are removed whole.

    Raises
    ------
    PlanError
        If an index is out of range, doubled or out of order, or a layer keeps no group or no channel.
    """

    family: str
    shape: ModelShape
    layers: tuple[LayerPlan, ...]

    def __post_init__(self) -> None:
        self.validate()

    @classmethod
    def identity(cls, family: str, shape: ModelShape) -> PruningPlan:
        """Return the plan that keeps everything."""
        layers = tuple(
            LayerPlan(index=index, groups=tuple(range(groups)), channels=tuple(range(channels)))
            for index, (groups, channels) in enumerate(
                zip(shape.kv_groups_per_layer, shape.channels_per_layer, strict=True)
            )
        )
        return cls(family=family, shape=shape, layers=layers)

    @property
    def is_identity(self) -> bool:
        """Whether nothing is removed."""
        return self.layers == PruningPlan.identity(self.family, self.shape).layers

    @property
    def result(self) -> ModelShape:
        """Shape of the model that is left once the plan is applied."""
        dense = self.shape
        return replace(
            dense,
            n_layers=len(self.layers),
            heads_per_layer=tuple(
                len(layer.groups) * dense.heads_per_group(layer.index) for layer in self.layers
            ),
            kv_groups_per_layer=tuple(len(layer.groups) for layer in self.layers),
            channels_per_layer=tuple(len(layer.channels) for layer in self.layers),
        )

    @property
    def removed_layers(self) -> tuple[int, ...]:
        """Layers of the dense model that are removed whole."""
        kept = {layer.index for layer in self.layers}
        return tuple(index for index in range(self.shape.n_layers) if index not in kept)

    def validate(self) -> None:
        """Check every index against the shape.

        Raises
        ------
        PlanError
            Naming the layer, what was given and what is allowed.
        """
        _check_kept("layers", [layer.index for layer in self.layers], self.shape.n_layers)
        for layer in self.layers:
            place = f"layer {layer.index}"
            _check_kept(f"groups of {place}", layer.groups, self.shape.kv_groups_per_layer[layer.index])
            _check_kept(f"channels of {place}", layer.channels, self.shape.channels_per_layer[layer.index])

    def without_layers(self, indices: Iterable[int]) -> PruningPlan:
        """Return the plan that also removes these layers (dense positions)."""
        removed = set(indices)
        for index in sorted(removed):
            self._position(index)
        return replace(self, layers=tuple(layer for layer in self.layers if layer.index not in removed))

    def with_groups(self, layer: int, groups: Iterable[int]) -> PruningPlan:
        """Return the plan whose ``layer`` (dense position) keeps exactly ``groups`` (dense indices)."""
        return self._with_layer(layer, groups=tuple(sorted(groups)))

    def with_channels(self, layer: int, channels: Iterable[int]) -> PruningPlan:
        """Return the plan whose ``layer`` (dense position) keeps exactly ``channels`` (dense indices)."""
        return self._with_layer(layer, channels=tuple(sorted(channels)))

    def then(self, relative: PruningPlan) -> PruningPlan:
        """Compose with a plan made on the model that this one leaves.

        Parameters
        ----------
        relative : PruningPlan
            A plan whose indices count in the cut model (``relative.shape == self.result``).

        Returns
        -------
        PruningPlan
            The same removals, told in indices of this plan's dense model.

        Raises
        ------
        PlanError
            If the relative plan was made for a model of another family or shape.
        """
        if relative.family != self.family:
            raise PlanError(
                f"cannot compose a plan for '{self.family}' with one for '{relative.family}'; "
                "both must be made for the same model."
            )
        if relative.shape != self.result:
            raise PlanError(
                f"the second plan was made for {relative.shape.summary()}, but the first leaves "
                f"{self.result.summary()}; make the second on the model that the first leaves."
            )
        layers = []
        for step in relative.layers:
            own = self.layers[step.index]
            layers.append(
                LayerPlan(
                    index=own.index,
                    groups=tuple(own.groups[group] for group in step.groups),
                    channels=tuple(own.channels[channel] for channel in step.channels),
                )
            )
        return replace(self, layers=tuple(layers))

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        return {
            "version": PLAN_VERSION,
            "family": self.family,
            "shape": self.shape.to_json(),
            "layers": [
                {"index": layer.index, "groups": list(layer.groups), "channels": list(layer.channels)}
                for layer in self.layers
            ],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PruningPlan:
        """Read a plan back from :meth:`to_json`.

        Raises
        ------
        PlanError
            If a field is missing, unknown or of the wrong kind, or the indices are not valid.
        """
        try:
            if value["version"] != PLAN_VERSION:
                raise PlanError(
                    f"the plan has version {value['version']!r}; this release reads version {PLAN_VERSION}."
                )
            return cls(
                family=str(value["family"]),
                shape=ModelShape.from_json(value["shape"]),
                layers=tuple(
                    LayerPlan(
                        index=as_integer(layer["index"]),
                        groups=tuple(map(as_integer, layer["groups"])),
                        channels=tuple(map(as_integer, layer["channels"])),
                    )
                    for layer in value["layers"]
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PlanError(
                f"the plan is not readable ({type(error).__name__}: {error}); it needs version, family, "
                "shape and layers, each layer with index, groups and channels."
            ) from None

    def _position(self, layer: int) -> int:
        for position, kept in enumerate(self.layers):
            if kept.index == layer:
                return position
        kept_layers = ", ".join(str(kept.index) for kept in self.layers)
        raise PlanError(f"layer {layer} is not in the plan; it keeps layers {kept_layers}.")

    def _with_layer(self, layer: int, **fields: tuple[int, ...]) -> PruningPlan:
        position = self._position(layer)
        layers = list(self.layers)
        layers[position] = replace(layers[position], **fields)
        return replace(self, layers=tuple(layers))


def _check_kept(what: str, kept: Sequence[int], available: int) -> None:
    if not kept:
        raise PlanError(f"{what}: none is kept; keep at least one of 0..{available - 1}.")
    if kept[0] < 0 or any(following <= former for former, following in pairwise(kept)):
        raise PlanError(f"{what}: {_short(kept)} must be ascending, without repeats, and not negative.")
    if kept[-1] >= available:
        raise PlanError(f"{what}: {kept[-1]} is given, but the model has only 0..{available - 1}.")


def _short(indices: Sequence[int]) -> str:
    shown = ", ".join(map(str, indices[:8]))
    return f"[{shown}, ... {len(indices)} in all]" if len(indices) > 8 else f"[{shown}]"
