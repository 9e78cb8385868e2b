"""How small a model must become: parameters counted on the whole deployed model, and other limits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from secateur.core.errors import PlanError
from secateur.core.typed import typed
from secateur.structure.counting import layer_parameters, shape_parameters
from secateur.structure.shape import ModelShape
from secateur.structure.target import Limit, Target


@dataclass(frozen=True, kw_only=True)
@typed
class Budget:
    """Limits on what remains, all of which must hold; at least one is given.

    Parameters
    ----------
    ratio : float, optional
        Dense parameters over remaining parameters, front end, embeddings and head included; at least 1.
    max_parameters : int, optional
        Remaining parameters at most; in place of a ratio.
    limits : tuple of Limit
        Other things that are bounded, such as latency.

    Raises
    ------
    PlanError
        If nothing is limited, both a ratio and a number of parameters are given, or one is out of range.
    """

    ratio: float | None = None
    max_parameters: int | None = None
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        counts = [value for value in (self.ratio, self.max_parameters) if value is not None]
        if len(counts) > 1 or not (counts or self.limits):
            raise PlanError(
                f"a budget is a ratio or a number of parameters, or other limits; got ratio={self.ratio}, "
                f"max_parameters={self.max_parameters}, {len(self.limits)} others."
            )
        if self.ratio is not None and not 1.0 <= self.ratio < float("inf"):
            raise PlanError(f"ratio must be a number of at least 1 (dense over remaining); got {self.ratio}.")
        if self.max_parameters is not None and self.max_parameters < 1:
            raise PlanError(f"max_parameters must be at least 1; got {self.max_parameters}.")

    def target_parameters(self, dense_total: int) -> int:
        """Return the parameters that may remain of a model of ``dense_total``."""
        if self.max_parameters is not None:
            return min(self.max_parameters, dense_total)
        return dense_total if self.ratio is None else int(dense_total / self.ratio)

    def target(self, family: str, shape: ModelShape) -> Target:
        """Work the budget out for a dense model, after checking that each limit can be reached.

        Parameters
        ----------
        family : str
            Name of the architecture specification.
        shape : ModelShape
            The dense model.

        Raises
        ------
        PlanError
            If even the smallest cut exceeds a limit (the message names the least that can be asked for), or a
            limit says nothing of such a dense model.
        """
        target = Target(parameters=self.reachable_target(family, shape), limits=self.limits)
        for limit in self.limits:
            limit.cost(family, shape)
            least = min(limit.cost(family, smallest) for smallest in _smallest_shapes(shape))
            if least > limit.most:
                raise PlanError(
                    f"a {limit.name} of {limit.most:g} {limit.unit} was asked for, but the smallest cut (one "
                    f"layer with one key/value group and one FFN channel) is predicted to take {least:.4g} "
                    f"{limit.unit}; ask for more than that, or start from a narrower backbone."
                )
        return target

    def reachable_target(
        self, family: str, shape: ModelShape, *, channels_floor: int = 1, cut_heads: bool = False
    ) -> int:
        """Return :meth:`target_parameters` of a dense shape after checking that it can be reached.

        Parameters
        ----------
        family : str
            Name of the architecture specification.
        shape : ModelShape
            The dense model.
        channels_floor : int
            Fewest channels a layer may keep.
        cut_heads : bool
            Whether query heads inside a group may be cut too, down to one.

        Raises
        ------
        PlanError
            If even the smallest cut is larger; the message names the largest ratio that can be reached.
        """
        dense = shape_parameters(family, shape)
        smallest = smallest_parameters(family, shape, channels_floor=channels_floor, cut_heads=cut_heads)
        target = self.target_parameters(dense)
        if target < smallest:
            # Rounded down, so that the named ratio is itself accepted.
            largest_ratio = int(100 * dense / smallest) / 100
            raise PlanError(
                f"{self._wanted()} leaves {target:,} of {dense:,} parameters, but the smallest cut (one "
                f"layer with one {'head' if cut_heads else 'key/value group'} and {channels_floor} FFN "
                f"channel(s)) has {smallest:,}, of "
                f"which {shape.other_parameters:,} lie outside the blocks. The largest ratio that can be "
                f"reached is {largest_ratio:.2f}; ask for that or less, or start from a larger backbone."
            )
        return target

    def _wanted(self) -> str:
        return f"max_parameters {self.max_parameters:,}" if self.ratio is None else f"ratio {self.ratio:g}"


def smallest_parameters(
    family: str, shape: ModelShape, *, channels_floor: int = 1, cut_heads: bool = False
) -> int:
    """Return the parameters of the smallest model that a plan can leave: one layer a stack, with one group.

    Parameters
    ----------
    family : str
        Name of the architecture specification.
    shape : ModelShape
        The dense model.
    channels_floor : int
        Fewest channels that layer may keep (all of its channels where it has fewer).
    cut_heads : bool
        Whether query heads inside that group may be cut too, down to one.
    """
    smallest = shape.other_parameters
    first = 0
    for size in shape.stack_sizes:
        layers = range(first, first + size)
        smallest += min(_smallest_layer(family, shape, layer, channels_floor, cut_heads) for layer in layers)
        first += size
    return smallest


def _smallest_shapes(shape: ModelShape) -> list[ModelShape]:
    """Return, for each layer, the model that keeps one group and one channel of it and no other layer."""
    return [
        replace(
            shape,
            n_layers=1,
            heads_per_layer=(shape.heads_per_group(layer),),
            kv_groups_per_layer=(1,),
            channels_per_layer=(1,),
            channels_per_expert=shape.experts_with((1,)),
            stack_sizes=(1,),
            cross_heads_per_layer=(0,),
            cross_groups_per_layer=(0,),
            absent_norms_per_layer=(shape.absent_norms(layer),),
        )
        for layer in range(shape.n_layers)
    ]


def _smallest_layer(family: str, shape: ModelShape, layer: int, channels_floor: int, cut_heads: bool) -> int:
    """Parameters of ``layer`` with one group, or one head of it, and as few channels as allowed."""

    def with_entry(counts: tuple[int, ...], value: int) -> tuple[int, ...]:
        return (*counts[:layer], value, *counts[layer + 1 :])

    crossing = min(1, shape.cross_groups_per_layer[layer])
    sharing = shape.cross_heads_per_layer[layer] // max(1, shape.cross_groups_per_layer[layer])
    channels = with_entry(shape.channels_per_layer, min(channels_floor, shape.channels_per_layer[layer]))
    narrow = replace(
        shape,
        heads_per_layer=with_entry(shape.heads_per_layer, 1 if cut_heads else shape.heads_per_group(layer)),
        kv_groups_per_layer=with_entry(shape.kv_groups_per_layer, 1),
        channels_per_layer=channels,
        channels_per_expert=shape.experts_with(channels),
        cross_heads_per_layer=with_entry(shape.cross_heads_per_layer, crossing * sharing),
        cross_groups_per_layer=with_entry(shape.cross_groups_per_layer, crossing),
    )
    return layer_parameters(family, narrow, layer)
