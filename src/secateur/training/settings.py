"""What a training run may be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from secateur.core.errors import ConfigError
from secateur.core.typed import typed
from secateur.training.augment import Augmentation

Balance = Literal["sampling", "loss", "none"]
Autocast = Literal["auto", "bf16", "fp32"]
Monitor = Literal["macro_f1", "loss"]

UNLABELLED_SHARE, STRANGER_SHARE = 0.25, 0.125


@dataclass(frozen=True, kw_only=True)
@typed
class LoopSettings:
    """Settings of every gradient loop, whatever it trains on.

    Parameters
    ----------
    max_steps : int
        Optimiser steps at most.
    max_minutes : float, optional
        Minutes at most, looks at validation included. The learning rate then falls with the larger of the
        shares of the steps and of the time that are used up; a run that the clock ends cannot be repeated to
        the bit.
    batch_size : int
        Samples (windows, blocks of tokens) a step.
    learning_rate : float
        Peak rate of AdamW, reached after the warm-up and led to 0 by a half cosine.
    warmup_steps : int
        Steps of linear rise; a short run takes a quarter of its own.
    weight_decay : float
        Decoupled decay of matrices; norms, biases and other vectors have none.
    clip_norm : float
        Gradients are scaled down to this norm.
    precision : {'auto', 'bf16', 'fp32'}
        Autocast; 'auto' takes bf16 on a GPU or a processor that computes in it.
    evaluate_every : int
        Steps between looks at the validation samples.
    patience : int
        Looks without improvement after which the run stops.
    checkpoint_every : int
        Steps between resumable states, if a folder is given.
    seed : int
    """

    max_steps: int = 1500
    max_minutes: float | None = None
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    precision: Autocast = "auto"
    evaluate_every: int = 100
    patience: int = 8
    checkpoint_every: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_steps", "batch_size", "evaluate_every", "patience", "checkpoint_every"):
            require_count(name, getattr(self, name))
        for name in ("learning_rate", "clip_norm", "max_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} is {value}; it must be positive.")
        for name in ("warmup_steps", "weight_decay"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must not be negative.")


@dataclass(frozen=True, kw_only=True)
class TaughtSettings(LoopSettings):
    """Settings of a gradient loop in which a teacher takes part.

    Parameters
    ----------
    distill_weight : float
        Share of the loss that comes from the teacher.
    temperature : float
        Of the distillation.
    """

    distill_weight: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.distill_weight <= 1:
            raise ConfigError(f"distill_weight is {self.distill_weight}; it must lie in 0..1.")
        if not self.temperature > 0:
            raise ConfigError(f"temperature is {self.temperature}; it must be positive.")


@dataclass(frozen=True, kw_only=True)
class WindowLoopSettings(LoopSettings):
    """Settings of every gradient loop over labelled windows.

    Parameters
    ----------
    balance : {'sampling', 'loss', 'none'}
        Rare classes: draw batches half of healthy windows and half of the damages, all equally often
        (without a healthy class, of all classes equally often), weight the loss alike, or neither.
    monitor : {'macro_f1', 'loss'}
        What improvement means on validation; at equal macro-F1 the lower loss is better.
    max_validation_windows : int
        Validation windows used, evenly spaced over all of them.
    augmentation : Augmentation
        Applied to training windows, and with fixed draws to the validation windows.
    """

    balance: Balance = "sampling"
    monitor: Monitor = "macro_f1"
    max_validation_windows: int = 1000
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("max_validation_windows", self.max_validation_windows)


@dataclass(frozen=True, kw_only=True)
class TaughtWindowSettings(TaughtSettings, WindowLoopSettings):
    """Settings of a gradient loop over windows in which a teacher takes part.

    Parameters
    ----------
    unlabelled_share : float
        Share of each batch that are windows of simulated machines without labels, on which the model learns
        the teacher's answers alone: it should say the same of machines that no recording is of.
    """

    unlabelled_share: float = UNLABELLED_SHARE

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.unlabelled_share < 1:
            raise ConfigError(
                f"unlabelled_share is {self.unlabelled_share}; it must be at least 0 and below 1."
            )


def require_count(name: str, value: int) -> None:
    """Check that a setting is at least 1.

    Raises
    ------
    ConfigError
        If not.
    """
    if value < 1:
        raise ConfigError(f"{name} is {value}; it must be at least 1.")


@dataclass(frozen=True, kw_only=True)
class FitSettings(WindowLoopSettings):
    """Settings of fitting a dense model.

    Parameters
    ----------
    label_smoothing : float
        Probability mass spread over all classes in the training target.
    stranger_share : float
        So many signals of no bearing beside the windows of each batch, as a share of them: the model learns
        to like no class better for them. None where each class has one specimen alone.
    """

    label_smoothing: float = 0.0
    stranger_share: float = STRANGER_SHARE

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing is {self.label_smoothing}; it must lie in 0..1.")
        if not 0 <= self.stranger_share < 1:
            raise ConfigError(f"stranger_share is {self.stranger_share}; it must be at least 0 and below 1.")
