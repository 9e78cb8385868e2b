"""What recovery may be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from secateur.core.errors import ConfigError
from secateur.training.augment import Augmentation
from secateur.training.settings import LoopSettings

Adapter = Literal["lora", "full"]


@dataclass(frozen=True, kw_only=True)
class RecoverySettings(LoopSettings):
    """Settings of gradient recovery after a cut; ``max_steps * batch_size`` is its budget of samples.

    Parameters
    ----------
    adapter : {'lora', 'full'}
        Train low-rank updates of the surviving projections, merged afterwards, or all weights.
    rank : int
        Rank of the updates.
    alpha : float
        Updates are scaled by ``alpha / rank``.
    train_rest : bool
        With LoRA, also train all that is not a projection: norms, head and front end.
    distill_weight : float
        Share of the loss that comes from the teacher.
    temperature : float
        Of the distillation.
    refit : bool
        Whether a method re-fits the output projections by least squares before the steps.
    """

    max_steps: int = 300
    learning_rate: float = 1e-3
    warmup_steps: int = 20
    weight_decay: float = 0.0
    evaluate_every: int = 50
    patience: int = 6
    augmentation: Augmentation = field(default_factory=Augmentation)
    adapter: Adapter = "lora"
    rank: int = 16
    alpha: float = 32.0
    train_rest: bool = True
    distill_weight: float = 0.5
    temperature: float = 2.0
    refit: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adapter not in get_args(Adapter):
            raise ConfigError(f"unknown adapter '{self.adapter}'; allowed: {', '.join(get_args(Adapter))}.")
        if self.rank < 1 or not self.alpha > 0:
            raise ConfigError(f"rank is {self.rank} and alpha {self.alpha}; both must be positive.")
        if not 0 <= self.distill_weight <= 1:
            raise ConfigError(f"distill_weight is {self.distill_weight}; it must lie in 0..1.")
        if not self.temperature > 0:
            raise ConfigError(f"temperature is {self.temperature}; it must be positive.")
