"""A plan carried out: a smaller model beside the one it was made for."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

from torch import nn

from secateur.core.errors import PlanError
from secateur.models.binding import BoundModel, bind
from secateur.models.unit_numbers import keep_generation_numbers
from secateur.models.vocabulary import keep_vocabulary
from secateur.structure.plan import PruningPlan
from secateur.surgery.layers import keep_layers
from secateur.surgery.widths import keep_widths

Model = TypeVar("Model", bound=nn.Module)


def apply(model: Model, plan: PruningPlan, *, owns_rest: bool = True) -> Model:
    """Return a smaller copy of ``model`` that holds only the units the plan keeps.

    Parameters
    ----------
    model : torch.nn.Module
        A ``Diagnoser`` or a ``transformers`` model; left as it is.
    plan : PruningPlan
        Its indices count in ``model``.
    owns_rest : bool
        Whether what stands outside the blocks, such as embeddings, is copied too. If not, it stays in the
        memory of ``model`` until :func:`own_what_is_shared`, and must not be changed.

    Returns
    -------
    torch.nn.Module
        A model of the same class. Its output equals that of ``model`` with the removed units masked by
        :func:`secateur.surgery.masks.mask`.

    Raises
    ------
    PlanError
        If the plan was made for a model of another family or shape.
    """
    require_fit(bind(model), plan)
    cut = copy_for_cut(model, owns_rest=owns_rest)
    bound = bind(cut)
    keep_layers(bound, tuple(layer.index for layer in plan.layers))
    for layer, kept in zip(bound.layers, plan.layers, strict=True):
        keep_widths(layer, kept)
    own_what_is_shared(cut if owns_rest else nn.ModuleList(layer.module for layer in bound.layers), model)
    keep_generation_numbers(getattr(cut, "generation_config", None), plan)
    if plan.tokens is not None:
        keep_vocabulary(cut, plan.tokens)
    return cut


def copy_for_cut(model: Model, *, owns_rest: bool = True) -> Model:
    """Return a copy whose block weights lie in the memory of ``model``: a cut selects from them anyway."""
    blocks = (weight for layer in bind(model).layers for weight in layer.module.parameters())
    shared = {
        id(weight): nn.Parameter(weight.data, requires_grad=weight.requires_grad)
        for weight in (blocks if owns_rest else model.parameters())
    }
    # the memo of deepcopy: what is in it is taken as copied
    return deepcopy(model, dict(shared))


def own_what_is_shared(cut: nn.Module, model: nn.Module) -> None:
    """Copy the parameters that a cut left in the memory of the model it was made from; ties stay ties.

    Parameters
    ----------
    cut : torch.nn.Module
        Changed in place; its values stay the same.
    model : torch.nn.Module
    """
    theirs = {_memory(parameter) for parameter in model.parameters()}
    owned: dict[int, nn.Parameter] = {}
    for module in cut.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and _memory(parameter) in theirs:
                if id(parameter) not in owned:
                    owned[id(parameter)] = deepcopy(parameter)
                module._parameters[name] = owned[id(parameter)]


def _memory(parameter: nn.Parameter) -> int:
    return parameter.untyped_storage().data_ptr()


def require_fit(bound: BoundModel, plan: PruningPlan) -> None:
    """Check that the plan's indices count in this model.

    Raises
    ------
    PlanError
        If the family or the shape differs; the message tells both.
    """
    if plan.family != bound.spec.family:
        raise PlanError(f"the plan is for a '{plan.family}' model, this one is '{bound.spec.family}'.")
    shape = bound.shape
    if plan.shape != shape:
        raise PlanError(
            f"the plan was made for {plan.shape.summary()}; this model has {shape.summary()}. "
            "Apply it to the model it was made on, or compose plans with `then`."
        )
