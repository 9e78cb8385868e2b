"""The pruning plan: which units of a dense model stay, as data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from secateur.core.errors import PlanError
from secateur.structure.shape import ModelShape

HeadsOfGroups = tuple[tuple[int, ...], ...]


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
    heads : tuple of tuple of int
        For each kept group, the query heads inside it that stay (0 to heads a group - 1), ascending and
        equally many in each group; empty where all of them stay.
    cross_groups : tuple of int
        Groups of the attention over an encoder that stay, ascending; empty where there is none.
    """

    index: int
    groups: tuple[int, ...]
    channels: tuple[int, ...]
    heads: HeadsOfGroups = ()
    cross_groups: tuple[int, ...] = ()

    def heads_of(self, position: int, heads_per_group: int) -> tuple[int, ...]:
        """Return the query heads that stay in the kept group at ``position``."""
        return self.heads[position] if self.heads else tuple(range(heads_per_group))


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
    tokens : tuple of int, optional
        Rows of the vocabulary that stay, ascending; None where all of them stay.

    Raises
    ------
    PlanError
        If an index is out of range, doubled or out of order, a layer keeps no group or no channel, or a
        stack keeps no layer.
    """

    family: str
    shape: ModelShape
    layers: tuple[LayerPlan, ...]
    tokens: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        self.validate()
        self._make_canonical()

    @classmethod
    def identity(cls, family: str, shape: ModelShape) -> PruningPlan:
        """Return the plan that keeps everything."""
        layers = tuple(
            LayerPlan(
                index=index,
                groups=tuple(range(shape.kv_groups_per_layer[index])),
                channels=tuple(range(shape.channels_per_layer[index])),
                cross_groups=tuple(range(shape.cross_groups_per_layer[index])),
            )
            for index in range(shape.n_layers)
        )
        return cls(family=family, shape=shape, layers=layers)

    @property
    def is_identity(self) -> bool:
        """Whether nothing is removed."""
        return self == PruningPlan.identity(self.family, self.shape)

    @property
    def result(self) -> ModelShape:
        """Shape of the model that is left once the plan is applied."""
        dense = self.shape
        removed_tokens = 0 if self.tokens is None else dense.vocabulary - len(self.tokens)
        return replace(
            dense,
            n_layers=len(self.layers),
            heads_per_layer=tuple(len(layer.groups) * self.heads_per_group(layer) for layer in self.layers),
            kv_groups_per_layer=tuple(len(layer.groups) for layer in self.layers),
            channels_per_layer=tuple(len(layer.channels) for layer in self.layers),
            channels_per_expert=tuple(
                map(self._channels_per_expert, self.layers if dense.has_experts else ())
            ),
            stack_sizes=self._stack_sizes(),
            cross_heads_per_layer=tuple(
                len(layer.cross_groups) * _ratio(dense, layer.index) for layer in self.layers
            ),
            cross_groups_per_layer=tuple(len(layer.cross_groups) for layer in self.layers),
            absent_norms_per_layer=tuple(dense.absent_norms(layer.index) for layer in self.layers),
            vocabulary=dense.vocabulary - removed_tokens,
            other_parameters=dense.other_parameters - removed_tokens * dense.parameters_per_token,
        )

    @property
    def removed_layers(self) -> tuple[int, ...]:
        """Layers of the dense model that are removed whole."""
        kept = {layer.index for layer in self.layers}
        return tuple(index for index in range(self.shape.n_layers) if index not in kept)

    def heads_per_group(self, layer: LayerPlan) -> int:
        """Query heads that stay in each kept group of a layer of this plan."""
        return len(layer.heads[0]) if layer.heads else self.shape.heads_per_group(layer.index)

    def validate(self) -> None:
        """Check every index against the shape.

        Raises
        ------
        PlanError
            Naming the layer, what was given and what is allowed.
        """
        shape = self.shape
        _check_kept("layers", [layer.index for layer in self.layers], shape.n_layers)
        if not all(self._stack_sizes()):
            raise PlanError(
                f"the plan keeps {list(self._stack_sizes())} layers of stacks of {list(shape.stack_sizes)}; "
                "keep at least one layer of each stack."
            )
        for layer in self.layers:
            place = f"layer {layer.index}"
            _check_kept(f"groups of {place}", layer.groups, shape.kv_groups_per_layer[layer.index])
            _check_kept(f"channels of {place}", layer.channels, shape.channels_per_layer[layer.index])
            crossing = shape.cross_groups_per_layer[layer.index]
            if crossing or layer.cross_groups:
                _check_kept(f"cross-attention groups of {place}", layer.cross_groups, crossing)
            self._check_heads(layer)
        if self.tokens is not None:
            _check_kept("tokens", self.tokens, shape.vocabulary)

    def without_layers(self, indices: Iterable[int]) -> PruningPlan:
        """Return the plan that also removes these layers (dense positions)."""
        removed = set(indices)
        for index in sorted(removed):
            self._position(index)
        return replace(self, layers=tuple(layer for layer in self.layers if layer.index not in removed))

    def with_groups(self, layer: int, groups: Iterable[int]) -> PruningPlan:
        """Return the plan whose ``layer`` (dense position) keeps exactly ``groups`` (dense indices).

        Heads already chosen inside a group stay chosen.

        Raises
        ------
        PlanError
            If the layer keeps part of the heads only and a group is named that it does not keep.
        """
        kept, wanted = self.layers[self._position(layer)], tuple(sorted(groups))
        if not kept.heads:
            return self._with_layer(layer, groups=wanted)
        chosen = dict(zip(kept.groups, kept.heads, strict=True))
        if not set(wanted) <= set(chosen):
            raise PlanError(
                f"groups {_short(wanted)} of layer {layer} were to be kept, but the plan keeps "
                f"{_short(kept.groups)} with some of their heads; choose among these."
            )
        return self._with_layer(layer, groups=wanted, heads=tuple(chosen[group] for group in wanted))

    def with_heads(self, layer: int, heads: Iterable[Iterable[int]]) -> PruningPlan:
        """Return the plan whose ``layer`` keeps exactly these query heads, listed for each kept group."""
        return self._with_layer(layer, heads=tuple(tuple(sorted(entry)) for entry in heads))

    def with_channels(self, layer: int, channels: Iterable[int]) -> PruningPlan:
        """Return the plan whose ``layer`` (dense position) keeps exactly ``channels`` (dense indices)."""
        return self._with_layer(layer, channels=tuple(sorted(channels)))

    def with_cross_groups(self, layer: int, groups: Iterable[int]) -> PruningPlan:
        """Return the plan whose ``layer`` keeps exactly these groups of its attention over an encoder."""
        return self._with_layer(layer, cross_groups=tuple(sorted(groups)))

    def with_tokens(self, tokens: Iterable[int] | None) -> PruningPlan:
        """Return the plan that keeps exactly these rows of the vocabulary; None for all."""
        return replace(self, tokens=None if tokens is None else tuple(sorted(tokens)))

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
        layers = tuple(self._compose(self.layers[step.index], step) for step in relative.layers)
        return replace(self, layers=layers, tokens=_compose_tokens(self.tokens, relative.tokens))

    def _compose(self, own: LayerPlan, step: LayerPlan) -> LayerPlan:
        dense, between = self.shape.heads_per_group(own.index), self.heads_per_group(own)
        return LayerPlan(
            index=own.index,
            groups=tuple(own.groups[group] for group in step.groups),
            channels=tuple(own.channels[channel] for channel in step.channels),
            heads=tuple(
                tuple(own.heads_of(group, dense)[head] for head in step.heads_of(position, between))
                for position, group in enumerate(step.groups)
            ),
            cross_groups=tuple(own.cross_groups[group] for group in step.cross_groups),
        )

    def _channels_per_expert(self, layer: LayerPlan) -> tuple[int, ...]:
        kept = set(layer.channels)
        return tuple(len(kept.intersection(own)) for own in self.shape.channels_of_experts(layer.index))

    def _stack_sizes(self) -> tuple[int, ...]:
        homes = [self.shape.stack_of(layer.index) for layer in self.layers]
        return tuple(homes.count(stack) for stack in range(len(self.shape.stack_sizes)))

    def _check_heads(self, layer: LayerPlan) -> None:
        if not layer.heads:
            return
        if len(layer.heads) != len(layer.groups) or len({len(heads) for heads in layer.heads}) > 1:
            raise PlanError(
                f"layer {layer.index} keeps {[len(heads) for heads in layer.heads]} query heads in "
                f"{len(layer.groups)} groups; keep the same number in each kept group."
            )
        for group, heads in zip(layer.groups, layer.heads, strict=True):
            place = f"query heads of group {group} of layer {layer.index}"
            _check_kept(place, heads, self.shape.heads_per_group(layer.index))

    def _make_canonical(self) -> None:
        """Write "all heads" and "all tokens" in the one way that makes equal plans compare equal."""
        layers = tuple(
            replace(layer, heads=())
            if layer.heads and len(layer.heads[0]) == self.shape.heads_per_group(layer.index)
            else layer
            for layer in self.layers
        )
        object.__setattr__(self, "layers", layers)
        if self.tokens is not None and len(self.tokens) == self.shape.vocabulary:
            object.__setattr__(self, "tokens", None)

    def _position(self, layer: int) -> int:
        for position, kept in enumerate(self.layers):
            if kept.index == layer:
                return position
        kept_layers = ", ".join(str(kept.index) for kept in self.layers)
        raise PlanError(f"layer {layer} is not in the plan; it keeps layers {kept_layers}.")

    def _with_layer(self, layer: int, **fields: Any) -> PruningPlan:
        position = self._position(layer)
        layers = list(self.layers)
        layers[position] = replace(layers[position], **fields)
        return replace(self, layers=tuple(layers))


def _ratio(shape: ModelShape, layer: int) -> int:
    groups = shape.cross_groups_per_layer[layer]
    return shape.cross_heads_per_layer[layer] // groups if groups else 0


def _compose_tokens(first: tuple[int, ...] | None, second: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if first is None or second is None:
        return second if first is None else first
    return tuple(first[token] for token in second)


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
