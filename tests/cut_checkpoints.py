"""Cuts of tiny transformers, saved; and folders changed on purpose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from secateur.models import checkpoint, checkpoint_card
from secateur.models.binding import bind
from secateur.models.probes import output_of, probe_inputs
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from zoo import ZOO

SPECIMENS = {specimen.name: specimen for specimen in ZOO}


def identity(model: torch.nn.Module) -> PruningPlan:
    bound = bind(model)
    return PruningPlan.identity(bound.spec.family, bound.shape)


def uneven(model: torch.nn.Module) -> PruningPlan:
    """A layer, then groups and channels of the last layer, then tokens."""
    plan = identity(model)
    plan = plan.without_layers([0 if len(plan.shape.stack_sizes) > 1 else 1])
    last = plan.layers[-1]
    plan = plan.with_channels(last.index, last.channels[1:4])
    if len(last.groups) > 1:
        plan = plan.with_groups(last.index, last.groups[1:])
    if plan.shape.vocabulary:
        plan = plan.with_tokens([0, 1, 2, 3, *range(5, plan.shape.vocabulary, 3)])
    return plan


def half_channels(model: torch.nn.Module) -> PruningPlan:
    plan = identity(model)
    for layer in plan.layers:
        plan = plan.with_channels(layer.index, layer.channels[::2])
    return plan


def last_groups(model: torch.nn.Module) -> PruningPlan:
    plan = identity(model)
    for layer in plan.layers:
        plan = plan.with_groups(layer.index, layer.groups[1:])
    return plan


def one_head_a_group(model: torch.nn.Module) -> PruningPlan:
    plan = identity(model)
    for layer in plan.layers:
        plan = plan.with_heads(layer.index, [[1] for _ in layer.groups])
    return plan


def first_layer_gone(model: torch.nn.Module) -> PruningPlan:
    return identity(model).without_layers([0])


def some_tokens(model: torch.nn.Module) -> PruningPlan:
    return identity(model).with_tokens([0, 1, 2, 3, 8, 40])


def outputs(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return output_of(model, probe_inputs(model))


def saved(specimen: str, cut: Any, folder: Path, **changes: Any) -> tuple[Any, PruningPlan]:
    """Cut a tiny model, save it, return it with its plan."""
    model = SPECIMENS[specimen].build(**changes)
    plan = cut(model)
    small = apply(model, plan)
    checkpoint.save(small, folder, plan=plan, metadata={"seed": 5})
    return small, plan


def reseal(folder: Path) -> None:
    """Make the checksums right again after a change, so that the later checks are reached."""
    (folder / "checksums.json").unlink()
    checkpoint_card.seal_folder(folder)


def edit(path: Path, change: Any) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    reseal(path.parent)
