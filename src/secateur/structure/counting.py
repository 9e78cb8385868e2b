"""Parameters and operations, predicted from a plan without building the model."""

from __future__ import annotations

from math import prod

from secateur.structure.closure import LayerWidths
from secateur.structure.plan import PruningPlan
from secateur.structure.shape import ModelShape
from secateur.structure.spec import OUTPUT_ROLES, ArchitectureSpec, ProjectionSpec, Role, load_spec


def parameters(plan: PruningPlan) -> int:
    """Return the parameters of the whole deployed model that the plan leaves, exactly."""
    return shape_parameters(plan.family, plan.result)


def shape_parameters(family: str, shape: ModelShape) -> int:
    """Return the parameters of a whole deployed model of this family and shape, exactly."""
    return shape.other_parameters + sum(
        layer_parameters(family, shape, layer) for layer in range(shape.n_layers)
    )


def layer_parameters(family: str, shape: ModelShape, layer: int) -> int:
    """Return the parameters of one block: projections, biases and norms."""
    return sum(prod(size) for size in block_tensor_shapes(load_spec(family), shape, layer).values())


def group_parameters(family: str, shape: ModelShape, layer: int) -> int:
    """Return the parameters that leave with one key/value group of ``layer`` and its query heads."""
    widths = LayerWidths.of(shape, layer)
    roles = [role for _, projection in load_spec(family).projections("group") for role in projection.roles]
    return sum(widths.unit_width(role) * _cost_of_feature(role, shape) for role in roles)


def channel_parameters(family: str, shape: ModelShape) -> int:
    """Return the parameters that leave with one FFN channel: its rows and columns in every matrix."""
    roles = [role for _, projection in load_spec(family).projections("channel") for role in projection.roles]
    return sum(_cost_of_feature(role, shape) for role in roles)


def block_tensor_shapes(spec: ArchitectureSpec, shape: ModelShape, layer: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter of one block, by its path inside the block."""
    widths = LayerWidths.of(shape, layer)
    shapes: dict[str, tuple[int, ...]] = {}
    for norm in spec.norms:
        shapes[f"{norm.module}.weight"] = (shape.hidden,)
        if norm.bias:
            shapes[f"{norm.module}.bias"] = (shape.hidden,)
    for path, projection in spec.projections():
        shapes[f"{path}.weight"] = _weight_shape(projection, widths)
        if projection.roles[0] in shape.biased_roles:
            features = widths.features(projection) if projection.bias_follows_units else shape.hidden
            shapes[f"{path}.bias"] = (features,)
    return shapes


def flops_per_token(plan: PruningPlan, *, context_tokens: int) -> int:
    """Return the floating point operations of the blocks for one token.

    A multiplication and its addition count as two; norms, activations and softmax, and everything outside
    the blocks, are left out (they are below one per cent of a block).

    Parameters
    ----------
    plan : PruningPlan
        The plan; the identity plan gives the dense figure.
    context_tokens : int
        Tokens that each query attends to.
    """
    shape, spec = plan.result, load_spec(plan.family)
    total = 0
    for layer in range(shape.n_layers):
        widths = LayerWidths.of(shape, layer)
        weights = sum(prod(_weight_shape(projection, widths)) for _, projection in spec.projections())
        attention = 2 * widths.attention_width * context_tokens
        total += 2 * (weights + attention)
    return total


def _weight_shape(projection: ProjectionSpec, widths: LayerWidths) -> tuple[int, int]:
    features = widths.features(projection)
    return (features, widths.hidden) if projection.unit_axis == 0 else (widths.hidden, features)


def _cost_of_feature(role: Role, shape: ModelShape) -> int:
    follows = role not in OUTPUT_ROLES
    return shape.hidden + int(follows and role in shape.biased_roles)
