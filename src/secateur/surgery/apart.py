"""Each matrix cut by itself: the naive treatment, carried out so that its damage can be measured.

A closed cut removes whole units, and nothing else changes. Here every matrix keeps rows or columns of its own
choice, which are then pushed together. Shapes fit and the model runs, but what met before need not meet now:

- gated FFN: row j of ``gate`` multiplies row j of ``up``, and column j of ``down`` reads the product. Chosen
  apart, the three belong to different channels;
- shared keys and values: query head i reads key/value head ``i // (heads a group)``. Heads chosen apart
  slide along, and a query reads the keys of another group;
- plain FFN and multi-head attention: the others take over the choice of one matrix, so the cut is closed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeVar

import numpy as np
from torch import nn

from secateur.core.errors import PlanError, UnsupportedArchitecture
from secateur.models.binding import BoundLayer, bind
from secateur.structure.closure import LayerWidths, role_features
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.structure.shape import ModelShape
from secateur.structure.spec import ROLES_OF, ProjectionSpec, Role
from secateur.surgery.layers import keep_layers
from secateur.surgery.widths import keep_in_norm, keep_in_projection

Model = TypeVar("Model", bound=nn.Module)

Part = Literal["attention", "ffn"]
APART_ROLES: tuple[Role, ...] = (*ROLES_OF["group"], *ROLES_OF["channel"])


@dataclass(frozen=True, kw_only=True)
class ApartLayer:
    """What each matrix of one kept layer keeps.

    Parameters
    ----------
    index : int
        Position of the layer in the dense model.
    kept : dict of Role to tuple of int
        Ascending. Query heads for ``q`` and ``o``, key/value heads for ``k`` and ``v``, channels for
        ``gate``, ``up`` and ``down``. ``gate`` is left out in a plain FFN.
    """

    index: int
    kept: dict[Role, tuple[int, ...]]

    @classmethod
    def of_closed(cls, layer: LayerPlan, *, heads_per_group: int, gated: bool) -> ApartLayer:
        """Write a closed choice down matrix by matrix."""
        heads = tuple(
            group * heads_per_group + head
            for position, group in enumerate(layer.groups)
            for head in layer.heads_of(position, heads_per_group)
        )
        kept: dict[Role, tuple[int, ...]] = {"q": heads, "k": layer.groups, "v": layer.groups, "o": heads}
        kept |= dict.fromkeys(("up", "down"), layer.channels)
        return cls(index=layer.index, kept=kept | ({"gate": layer.channels} if gated else {}))


@dataclass(frozen=True, kw_only=True)
class ApartPlan:
    """A choice for every matrix; indices count in the dense model.

    Parameters
    ----------
    family : str
        Name of the architecture specification.
    shape : ModelShape
        Shape of the model that the indices refer to.
    layers : tuple of ApartLayer
        The layers that stay, ascending.

    Raises
    ------
    PlanError
        If an index is out of range, doubled or out of order, or matrices that work together keep different
        numbers of features.
    """

    family: str
    shape: ModelShape
    layers: tuple[ApartLayer, ...]

    def __post_init__(self) -> None:
        for layer in self.layers:
            _check(layer, self.shape)

    @classmethod
    def of_closed(cls, plan: PruningPlan, *, gated: bool) -> ApartPlan:
        """Write a closed plan down matrix by matrix; :func:`cut_apart` of it is the closed cut."""
        return cls(
            family=plan.family,
            shape=plan.shape,
            layers=tuple(
                ApartLayer.of_closed(
                    layer, heads_per_group=plan.shape.heads_per_group(layer.index), gated=gated
                )
                for layer in plan.layers
            ),
        )


def cut_apart(model: Model, plan: ApartPlan) -> Model:
    """Return a smaller copy of ``model`` in which every matrix keeps what the plan says of it alone.

    Parameters
    ----------
    model : torch.nn.Module
        A ``Diagnoser`` or a ``transformers`` model; left as it is.
    plan : ApartPlan
        Its indices count in ``model``.

    Returns
    -------
    torch.nn.Module
        A model of the same class that runs.

    Raises
    ------
    PlanError
        If the plan was made for a model of another family or shape.
    UnsupportedArchitecture
        If the attention takes one argument entry a head (ALiBi) or reads an encoder: no index map of these is
        kept by a cut that does not know which head is which.
    """
    dense = bind(model)
    if (plan.family, plan.shape) != (dense.spec.family, dense.shape):
        raise PlanError(
            f"the plan was made for a '{plan.family}' model with {plan.shape.summary()}; this is "
            f"'{dense.spec.family}' with {dense.shape.summary()}. Make it on the model that is to be cut."
        )
    for stack in dense.spec.stacks:
        if stack.attention.head_inputs or stack.cross_attention is not None:
            raise UnsupportedArchitecture(
                f"matrices of '{plan.family}' models cannot be cut apart: their attention takes an "
                "argument a head or reads an encoder. Use closed units (surgery.apply)."
            )
    cut = deepcopy(model)
    bound = bind(cut)
    keep_layers(bound, tuple(layer.index for layer in plan.layers))
    for layer, kept in zip(bound.layers, plan.layers, strict=True):
        if layer.stack.is_gated != ("gate" in kept.kept):
            raise PlanError(
                f"layer {kept.index} has {'a gate' if layer.stack.is_gated else 'no gate'}; the plan names "
                f"what {', '.join(kept.kept)} keep. Say what each of its matrices keeps."
            )
        _cut_layer(layer, kept.kept)
    return cut


def _cut_layer(layer: BoundLayer, kept: dict[Role, tuple[int, ...]]) -> None:
    widths = layer.widths
    for projection in layer.all_projections:
        keep_in_projection(projection, apart_features(projection.spec, widths, kept))
    for spec, norm in layer.norms.values():
        if spec.size in ("q", "k"):
            places = np.arange(len(norm.get_parameter("weight"))).reshape(-1, widths.head_dim)
            keep_in_norm(norm, places[list(kept[spec.size])].reshape(-1))
    if layer.experts is not None:
        layer.experts.keep_channels(kept["down"])
    layer.update_attributes()


def apart_features(
    projection: ProjectionSpec, widths: LayerWidths, kept: dict[Role, tuple[int, ...]]
) -> np.ndarray:
    """Return the indices along the unit axis of a projection that stay, in the order in which they are laid.

    Parameters
    ----------
    projection : ProjectionSpec
        The weight matrix.
    widths : LayerWidths
        Widths of the layer before the cut.
    kept : dict of Role to tuple of int
        See :class:`ApartLayer`.

    Returns
    -------
    ndarray of int64
        Role behind role, or, in an interleaved matrix, new group by new group.
    """
    units = len(kept["k"]) if projection.kind == "group" else len(kept["down"])
    chosen = []
    for role, places in role_features(projection, widths).items():
        rows = places.reshape(-1, places.shape[-1]) if projection.kind == "group" else places[:, None]
        chosen.append(rows[list(kept[role])].reshape(units, -1))
    if projection.layout == "interleaved":
        return np.concatenate(chosen, axis=1).reshape(-1)
    return np.concatenate([entry.reshape(-1) for entry in chosen])


def _check(layer: ApartLayer, shape: ModelShape) -> None:
    heads, groups = shape.heads_per_layer[layer.index], shape.kv_groups_per_layer[layer.index]
    channels = shape.channels_per_layer[layer.index]
    available = dict.fromkeys(("q", "o"), heads) | dict.fromkeys(("k", "v"), groups)
    available |= dict.fromkeys(ROLES_OF["channel"], channels)
    missing = [role for role in APART_ROLES if role not in layer.kept and role != "gate"]
    if missing:
        raise PlanError(f"layer {layer.index} says nothing of {', '.join(missing)}; name what each keeps.")
    for role, kept in layer.kept.items():
        outside = not kept or kept[0] < 0 or kept[-1] >= available[role]
        if outside or any(later <= former for former, later in pairwise(kept)):
            raise PlanError(
                f"layer {layer.index}, {role}: {list(kept[:8])} must be ascending, without repeats, and "
                f"lie in 0..{available[role] - 1}; keep at least one."
            )
    counts = {role: len(kept) for role, kept in layer.kept.items()}
    if (
        counts["q"] != counts["o"]
        or counts["k"] != counts["v"]
        or counts["q"] % counts["k"]
        or len({counts[role] for role in ROLES_OF["channel"] if role in counts}) > 1
    ):
        raise PlanError(
            f"layer {layer.index} keeps {counts}; q and o must keep equally many heads, k and v equally many "
            "that divide them, and the FFN matrices equally many channels, or the model would not run."
        )


def choose_apart(
    closed: PruningPlan,
    scores: Sequence[Mapping[Role, np.ndarray]],
    *,
    parts: Collection[Part] = ("attention", "ffn"),
) -> ApartPlan:
    """Let every matrix keep its own best features, as many as a closed plan keeps.

    Parameters
    ----------
    closed : PruningPlan
        Gives the sizes, the layers that stay, and the choice of the parts that are not cut apart. A head with
        a key and a value of its own is closed as it stands, so multi-head attention follows it as well.
    scores : sequence of mapping of Role to ndarray
        For each layer of the dense model, role -> (units,): see :mod:`secateur.scoring.matrices`.
    parts : collection of {"attention", "ffn"}
        What is cut apart. In attention a query head is judged by its features of ``q`` and ``o``, a
        key/value head by those of ``k`` and ``v``, each relative to the mean of its matrix. In a plain FFN
        the rows of ``up`` are judged and ``down`` follows.

    Returns
    -------
    ApartPlan
        Of exactly the closed plan's widths.
    """
    layers = []
    for layer in closed.layers:
        own = scores[layer.index]
        sharing = closed.shape.heads_per_group(layer.index)
        kept = ApartLayer.of_closed(layer, heads_per_group=sharing, gated="gate" in own).kept
        if "attention" in parts and sharing > 1:
            for roles in (("q", "o"), ("k", "v")):
                judged = sum(own[role] / own[role].mean() for role in roles)
                kept |= dict.fromkeys(roles, _best(judged, len(kept[roles[0]])))
        if "ffn" in parts and "gate" in own:
            kept |= {role: _best(own[role], len(layer.channels)) for role in ROLES_OF["channel"]}
        elif "ffn" in parts:
            kept |= dict.fromkeys(("up", "down"), _best(own["up"], len(layer.channels)))
        layers.append(ApartLayer(index=layer.index, kept=kept))
    return ApartPlan(family=closed.family, shape=closed.shape, layers=tuple(layers))


def _best(scores: np.ndarray, count: int) -> tuple[int, ...]:
    return tuple(sorted(np.argsort(-scores, kind="stable")[:count].tolist()))
