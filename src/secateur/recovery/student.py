"""The two models of a recovery: the one that learns, and the one that teaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from secateur.core.errors import ConfigError
from secateur.core.seeds import derive
from secateur.recovery.adapters import (
    add_adapters,
    merge_adapters,
    projection_names,
    trainable_as_before,
)
from secateur.recovery.settings import StudentSettings


@contextmanager
def student(model: nn.Module, settings: StudentSettings) -> Iterator[None]:
    """Set what of a model is trained; merge adapters and restore all flags at the end, whatever happens."""
    with trainable_as_before(model):
        if settings.adapter == "full":
            model.requires_grad_(True)
            yield
            return
        projections = tuple(f"{name}." for name in projection_names(model))
        rest = [p for name, p in model.named_parameters() if not name.startswith(projections)]
        add_adapters(model, rank=settings.rank, alpha=settings.alpha, seed=derive(settings.seed, "lora"))
        for parameter in rest:
            parameter.requires_grad_(settings.train_rest)
        try:
            yield
        finally:
            merge_adapters(model)


@contextmanager
def frozen_teacher(teacher: nn.Module | None, model: nn.Module) -> Iterator[None]:
    """Keep the teacher of a model in evaluation mode; leave it as it was.

    Raises
    ------
    ConfigError
        If it is the model itself.
    """
    if teacher is None:
        yield
        return
    if teacher is model:
        raise ConfigError(
            "the teacher is the model that learns; give a copy of it (copy.deepcopy) as teacher."
        )
    was_training, device = teacher.training, next(teacher.parameters()).device
    teacher.eval()
    try:
        yield
    finally:
        teacher.train(was_training)
        teacher.to(device)
