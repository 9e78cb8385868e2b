"""The structural check in a practitioner's words: what a part is, why it is no unit, what to cut instead."""

from __future__ import annotations

from secateur.sia.components import CLOSED_FORM, Component, ffn_roles
from secateur.structure.closure import LayerWidths, present_norms
from secateur.structure.couplings import Coupling, couplings
from secateur.structure.shape import ModelShape
from secateur.structure.spec import ArchitectureSpec, NormSpec

PLURAL: dict[Component, str] = {
    "layer": "layers",
    "group": "heads or KV groups",
    "head": "single query heads",
    "channel": "FFN channels",
    "matrix": "rows of one FFN matrix",
}
"""Names of the definitions in tables and messages."""


def meaning(component: Component, spec: ArchitectureSpec, shape: ModelShape, layer: int) -> str:
    """Return what one part of a definition is made of in a layer, with the places of its weights."""
    if component == "layer":
        return "one residual block: its attention and its FFN with their norms"
    if component == "matrix":
        roles = ffn_roles(spec.stacks[shape.stack_of(layer)])
        return f"one row of {' or of '.join(roles[:-1])}, or one column of down, each chosen for itself"
    wanted = "group" if component == "head" and shape.heads_per_group(layer) == 1 else component
    return _coupling(wanted, spec, shape, layer).statement


def why_open(component: Component, spec: ArchitectureSpec, shape: ModelShape, layer: int) -> str:
    """Return why a part of a definition that is not closed cannot be removed by itself."""
    if component == "head":
        sharing = shape.heads_per_group(layer)
        return (
            f"{sharing} query heads share one key and one value head, which stay as long as one of them "
            f"stays; and a query head finds its key by its number (head h reads key h // {sharing}), so "
            "taking one out alone makes the heads behind it read keys that they were not trained with"
        )
    gated = spec.stacks[shape.stack_of(layer)].is_gated
    if gated:
        return (
            "row j of gate is multiplied with row j of up, and column j of down reads the product: where "
            "each matrix chooses its own rows, gates are multiplied with up rows that they never met"
        )
    return (
        "column j of down reads what row j of up writes: where each matrix chooses for itself, columns of "
        "down read rows that they never met"
    )


def repairs(component: Component, spec: ArchitectureSpec, shape: ModelShape, layer: int) -> tuple[str, ...]:
    """Return which closed units to cut in the place of a definition that is not closed."""
    coupling = _coupling(CLOSED_FORM[component], spec, shape, layer)
    if component == "head":
        return (
            f"cut the whole KV group: {coupling.statement}",
            "or cut the same number of query heads in every group of a layer, which keeps the numbering",
        )
    return (f"cut the whole channel: {coupling.statement}",)


def instead(component: Component, shape: ModelShape) -> tuple[str, ...]:
    """Return what to cut where a definition is closed but leaves nothing to choose; nothing elsewhere."""
    if component == "group" and max(shape.kv_groups_per_layer + shape.cross_groups_per_layer) == 1:
        return ("each layer has one KV group, which must stay: cut query heads inside it",)
    return ()


def residue(component: Component, spec: ArchitectureSpec, shape: ModelShape, layer: int) -> tuple[str, ...]:
    """Return what keeps a closed part from being one additive term of the residual stream; none where it is.

    A part's own weights end in one output projection, whose columns add up. What may still tie its term to
    those of others is a norm over several of them.
    """
    stack, widths = spec.stacks[shape.stack_of(layer)], LayerWidths.of(shape, layer)
    closed = CLOSED_FORM[component]
    norms = present_norms(stack, shape, layer)
    told = []
    if closed != "layer":
        told += [_of_branch(norm) for norm in norms if norm.after == _branch(closed)]
    if closed == "group":
        told += [_over_heads(norm) for norm in norms if _takes_several(norm, widths)]
    if stack.residual == "post":
        told.append(_of_stream(closed))
    return tuple(told)


def _coupling(kind: str, spec: ArchitectureSpec, shape: ModelShape, layer: int) -> Coupling:
    return next(entry for entry in couplings(spec, shape, layer) if entry.kind == kind)


def _branch(closed: Component) -> str:
    return "attention" if closed == "group" else "ffn"


def _of_branch(norm: NormSpec) -> str:
    summed = "all heads" if norm.after == "attention" else "all channels"
    return (
        f"{norm.module} normalises the sum over {summed} before it enters the residual stream: without one "
        "part, the terms of the others are rescaled"
    )


def _takes_several(norm: NormSpec, widths: LayerWidths) -> bool:
    return (norm.size == "q" and widths.heads > 1) or (norm.size == "k" and widths.groups > 1)


def _over_heads(norm: NormSpec) -> str:
    whose = "queries of all heads" if norm.size == "q" else "keys of all groups"
    return (
        f"{norm.module} takes its statistics over the {whose}: without one part, the others attend a little "
        "differently"
    )


def _of_stream(closed: Component) -> str:
    if closed == "layer":
        return (
            "the block normalises the residual stream itself (post-norm): skipping it takes that norm away "
            "too, so that a layer is no term of a sum"
        )
    return (
        "the residual stream is normalised right behind the sum (post-norm): without one part, all that the "
        "stream carries is rescaled"
    )
