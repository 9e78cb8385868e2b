"""What recovery may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from secateur.core.errors import ConfigError
from secateur.training.settings import Monitor, TaughtSettings, TaughtWindowSettings

Adapter = Literal["lora", "full"]


@dataclass(frozen=True, kw_only=True)
class StudentSettings(TaughtSettings):
    """What of a cut model learns, and how much it learns from the dense one.

    Parameters
    ----------
    adapter : {'lora', 'full'}
        Train low-rank updates of the surviving projections, merged afterwards, or all weights.
    rank : int
        Rank of the updates.
    alpha : float
        Updates are scaled by ``alpha / rank``.
    train_rest : bool
        With LoRA, also train all that is not a projection of a block: norms, embeddings, head, front end.
    refit : bool
        Whether a method re-fits the output projections by least squares before the steps.
    """

    adapter: Adapter = "lora"
    rank: int = 16
    alpha: float = 32.0
    train_rest: bool = True
    refit: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1 or not self.alpha > 0:
            raise ConfigError(f"rank is {self.rank} and alpha {self.alpha}; both must be positive.")


@dataclass(frozen=True, kw_only=True)
class RecoverySettings(StudentSettings, TaughtWindowSettings):
    """Settings of recovery on windows; ``max_steps * batch_size`` is its budget of samples."""

    max_steps: int = 300
    learning_rate: float = 1e-3
    warmup_steps: int = 20
    weight_decay: float = 0.0
    evaluate_every: int = 50
    patience: int = 6
    monitor: Monitor = "loss"


@dataclass(frozen=True, kw_only=True)
class TextRecoverySettings(StudentSettings):
    """Settings of recovery on text; ``max_steps * batch_size`` blocks of tokens are its budget."""

    max_steps: int = 300
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup_steps: int = 20
    weight_decay: float = 0.0
    evaluate_every: int = 50
    patience: int = 6
    rank: int = 32
    alpha: float = 64.0
    train_rest: bool = False
    temperature: float = 1.0
