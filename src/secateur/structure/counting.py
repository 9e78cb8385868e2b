"""Parameters and operations, predicted from a plan without building the model."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from secateur.structure.closure import LayerWidths, norm_length, present_norms
from secateur.structure.plan import PruningPlan
from secateur.structure.shape import ModelShape
from secateur.structure.spec import (
    OUTPUT_ROLES,
    QUERY_ROLES,
    ProjectionSpec,
    Role,
    StackSpec,
    WidthKind,
    load_spec,
)


def parameters(plan: PruningPlan) -> int:
    """Return the parameters of the whole deployed model that the plan leaves, exactly."""
    return shape_parameters(plan.family, plan.result)


def shape_parameters(family: str, shape: ModelShape) -> int:
    """Return the parameters of a whole deployed model of this family and shape, exactly."""
    return shape.other_parameters + block_parameters(family, shape)


def block_parameters(family: str, shape: ModelShape) -> int:
    """Return the parameters of all residual blocks: what layers, heads and channels can be cut from."""
    return sum(layer_parameters(family, shape, layer) for layer in range(shape.n_layers))


def layer_parameters(family: str, shape: ModelShape, layer: int) -> int:
    """Return the parameters of one block: projections, biases and norms."""
    return sum(prod(size) for size in block_tensor_shapes(family, shape, layer).values())


def unit_parameters(family: str, shape: ModelShape, layer: int, kind: WidthKind) -> int:
    """Return the parameters that leave with one group, cross-attention group or channel of ``layer``."""
    return _parameters_of_roles(family, shape, layer, kind, queries_only=False)


def group_parameters(family: str, shape: ModelShape, layer: int) -> int:
    """Return the parameters that leave with one key/value group of ``layer`` and its query heads."""
    return unit_parameters(family, shape, layer, "group")


def head_parameters(family: str, shape: ModelShape, layer: int) -> int:
    """Return the parameters that leave with one query head of ``layer``, its key and value staying."""
    whole = _parameters_of_roles(family, shape, layer, "group", queries_only=True)
    return whole // shape.heads_per_group(layer)


def channel_parameters(family: str, shape: ModelShape, layer: int = 0) -> int:
    """Return the parameters that leave with one FFN channel of ``layer``."""
    return unit_parameters(family, shape, layer, "channel")


def block_tensor_shapes(family: str, shape: ModelShape, layer: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter of one block, by its path inside the block."""
    widths, stack = LayerWidths.of(shape, layer), stack_spec(family, shape, layer)
    shapes: dict[str, tuple[int, ...]] = {}
    for norm in present_norms(stack, shape, layer):
        shapes[f"{norm.module}.weight"] = (norm_length(norm, widths),)
        if norm.bias:
            shapes[f"{norm.module}.bias"] = (norm_length(norm, widths),)
    for projection in stack.projections:
        shapes[f"{projection.module}.weight"] = _weight_shape(projection, widths)
        if projection.roles[0] in shape.biased_roles:
            features = widths.features(projection) if projection.bias_follows_units else shape.hidden
            shapes[f"{projection.module}.bias"] = (features,)
    shapes |= dict.fromkeys(stack.ffn.activation, (1,))
    if stack.ffn.mixture is not None:
        shapes[f"{stack.ffn.mixture.router}.weight"] = (len(widths.channels_per_expert), widths.hidden)
    return shapes


def flops_per_token(plan: PruningPlan, *, context_tokens: int) -> int:
    """Return the floating point operations of the blocks for one token; see :func:`layer_flops`."""
    shape = plan.result
    return sum(
        layer_flops(plan.family, shape, layer, context_tokens=context_tokens)
        for layer in range(shape.n_layers)
    )


def layer_flops(family: str, shape: ModelShape, layer: int, *, context_tokens: int) -> int:
    """Return the floating point operations of one block for one token.

    A multiplication and its addition count as two; norms, activations and softmax, and everything outside
    the blocks, are left out (they are below one per cent of a block). Keys and values of an encoder's
    states are counted once for each decoded token, and all experts of a mixture, as they run while it is cut.
    Left out too is what a table of relative positions costs (DeBERTa): its length and the texts that share it
    are not known here.

    Parameters
    ----------
    family : str
        Name of the architecture specification.
    shape : ModelShape
        Widths of the model.
    layer : int
        Position of the block.
    context_tokens : int
        Tokens that each query attends to.
    """
    widths = LayerWidths.of(shape, layer)
    stack = stack_spec(family, shape, layer)
    weights = sum(prod(_weight_shape(projection, widths)) for projection in stack.projections)
    weights += len(widths.channels_per_expert) * widths.hidden
    attention = 2 * (widths.heads + widths.cross_heads) * widths.head_dim * context_tokens
    return 2 * (weights + attention)


def stack_spec(family: str, shape: ModelShape, layer: int) -> StackSpec:
    """Return the specification of the stack in which ``layer`` stands."""
    return load_spec(family).stacks[shape.stack_of(layer)]


_NORMED: Mapping[str, Role] = {"q": "q", "k": "k"}
"""Norms over all queries or all keys have their size."""


def _parameters_of_roles(
    family: str, shape: ModelShape, layer: int, kind: WidthKind, *, queries_only: bool
) -> int:
    widths, stack = LayerWidths.of(shape, layer), stack_spec(family, shape, layer)
    total = 0
    for projection in stack.projections_of(kind):
        for role in projection.roles:
            if queries_only and role not in QUERY_ROLES:
                continue
            biased = role not in OUTPUT_ROLES and role in shape.biased_roles
            total += prod(widths.role_shape(role)[1:]) * (shape.hidden + int(biased))
    for norm in present_norms(stack, shape, layer):
        normed = _NORMED.get(norm.size)
        if kind == "group" and normed is not None and (normed == "q" or not queries_only):
            total += prod(widths.role_shape(normed)[1:]) * (2 if norm.bias else 1)
    return total


def _weight_shape(projection: ProjectionSpec, widths: LayerWidths) -> tuple[int, int]:
    features = widths.features(projection)
    return (features, widths.hidden) if projection.unit_axis == 0 else (widths.hidden, features)
