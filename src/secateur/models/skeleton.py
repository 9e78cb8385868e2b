"""Skeletons: a cut model without its weights, built from a configuration and a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import PreTrainedModel

from secateur.core.errors import PlanError
from secateur.models.binding import bind
from secateur.models.vocabulary import keep_vocabulary
from secateur.structure.closure import LayerWidths
from secateur.structure.counting import block_tensor_shapes
from secateur.structure.plan import PruningPlan

Model = TypeVar("Model", bound=nn.Module)


def skeleton(build: Callable[[], Model], plan: PruningPlan) -> Model:
    """Return the model that ``plan`` leaves, with every parameter on the meta device.

    Buffers are computed by the constructors on the real device, so those that no checkpoint holds
    (rotary frequencies, analysis windows) are right; parameters take no memory, and the
    random state is left as it was.

    Parameters
    ----------
    build : callable
        Builds the dense model.
    plan : PruningPlan
        What stays of it.

    Raises
    ------
    PlanError
        If the plan was made for another shape than the dense model has.
    """
    with torch.random.fork_rng(devices=[]), init_empty_weights(include_buffers=False):
        model = build()
    if isinstance(model, PreTrainedModel):
        model.tie_weights()  # each parameter moved to the meta device by itself
    bound = bind(model)
    if (plan.family, plan.shape) != (bound.spec.family, bound.shape):
        raise PlanError(
            f"the plan was made for a '{plan.family}' model of {plan.shape.summary()}, but the "
            f"configuration builds a '{bound.spec.family}' model of {bound.shape.summary()}."
        )
    if plan.removed_layers:
        bound.keep_layers(tuple(layer.index for layer in plan.layers))
    result = plan.result
    for layer, kept in zip(bound.layers, plan.layers, strict=True):
        layer.keep_dense_numbers(LayerWidths.of(plan.shape, kept.index), kept)
        shapes = block_tensor_shapes(plan.family, result, layer.index)
        for projection in layer.all_projections:
            bias_shape = shapes.get(f"{projection.path}.bias")
            projection.replace(
                torch.empty(shapes[f"{projection.path}.weight"], device="meta"),
                None if bias_shape is None else torch.empty(bias_shape, device="meta"),
            )
        for path, (_, norm) in layer.norms.items():
            for name in dict(norm.named_parameters(recurse=False)):
                setattr(norm, name, nn.Parameter(torch.empty(shapes[f"{path}.{name}"], device="meta")))
        layer.update_attributes(LayerWidths.of(result, layer.index))
    if plan.tokens is not None:
        keep_vocabulary(model, plan.tokens)
    return model
