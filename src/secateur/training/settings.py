"""What a training run may be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from secateur.core.errors import ConfigError
from secateur.training.augment import Augmentation

Balance = Literal["sampling", "loss", "none"]
Precision = Literal["auto", "bf16", "fp32"]
Monitor = Literal["macro_f1", "loss"]


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """Settings of every gradient loop: fitting and recovery alike.

    Parameters
    ----------
    max_steps : int
        Optimiser steps at most.
    batch_size : int
        Windows a step.
    learning_rate : float
        Peak rate of AdamW, reached after the warm-up and led to 0 by a half cosine.
    warmup_steps : int
        Steps of linear rise.
    weight_decay : float
        Decoupled decay of matrices; norms, biases and other vectors have none.
    clip_norm : float
        Gradients are scaled down to this norm.
    balance : {'sampling', 'loss', 'none'}
        Rare classes: draw batches with all classes equally often, weight the loss, or neither.
    precision : {'auto', 'bf16', 'fp32'}
        Autocast; 'auto' takes bf16 on a GPU or a processor that computes in it.
    evaluate_every : int
        Steps between looks at the validation windows.
    patience : int
        Looks without improvement after which the run stops.
    monitor : {'macro_f1', 'loss'}
        What improvement means on validation; at equal macro-F1 the lower loss is better.
    max_validation_windows : int
        Validation windows used, evenly spaced over all of them.
    checkpoint_every : int
        Steps between resumable states, if a folder is given.
    seed : int
    augmentation : Augmentation
        Applied to training windows, and with fixed draws to the validation windows.
    """

    max_steps: int = 1500
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    balance: Balance = "sampling"
    precision: Precision = "auto"
    evaluate_every: int = 100
    patience: int = 8
    monitor: Monitor = "macro_f1"
    max_validation_windows: int = 1000
    checkpoint_every: int = 200
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        counts = (
            "max_steps",
            "batch_size",
            "evaluate_every",
            "patience",
            "max_validation_windows",
            "checkpoint_every",
        )
        for name in counts:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be positive.")
        for name in ("warmup_steps", "weight_decay"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must not be negative.")
        for name, allowed in (("balance", Balance), ("precision", Precision), ("monitor", Monitor)):
            if getattr(self, name) not in get_args(allowed):
                raise ConfigError(
                    f"unknown {name} '{getattr(self, name)}'; allowed: {', '.join(get_args(allowed))}."
                )


@dataclass(frozen=True, kw_only=True)
class FitSettings(LoopSettings):
    """Settings of fitting a dense model.

    Parameters
    ----------
    label_smoothing : float
        Probability mass spread over all classes in the training target.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing is {self.label_smoothing}; it must lie in 0..1.")
