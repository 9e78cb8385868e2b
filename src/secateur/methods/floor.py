"""Floors: figures below which a stage is undone and a method ends."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.core.errors import ConfigError
from secateur.core.typed import typed
from secateur.tasks.figures import Figures


@dataclass(frozen=True, kw_only=True)
@typed
class Floors:
    """What a model must still be worth after every stage.

    Parameters
    ----------
    min_accuracy : float, optional
        Validation accuracy, 0 to 1.
    max_perplexity_ratio : float, optional
        Validation perplexity over that of the dense model.
    """

    min_accuracy: float | None = None
    max_perplexity_ratio: float | None = None

    def __post_init__(self) -> None:
        if self.min_accuracy is not None and not 0 <= self.min_accuracy <= 1:
            raise ConfigError(f"min_accuracy is {self.min_accuracy}; it must lie in 0..1.")
        if self.max_perplexity_ratio is not None and not self.max_perplexity_ratio >= 1:
            raise ConfigError(f"max_perplexity_ratio is {self.max_perplexity_ratio}; it must be at least 1.")

    def require_dense(self, dense: Figures) -> None:
        """Check that the floors fit the task and that the dense model is above them.

        Raises
        ------
        ConfigError
            If not.
        """
        if (broken := self.broken_by(dense, dense)) is not None:
            raise ConfigError(
                f"the dense model has {broken}; lower the floor or train the dense model further."
            )

    def broken_by(self, figures: Figures, dense: Figures) -> str | None:
        """Say in words which floor is broken and by what; None if all hold."""
        if self.min_accuracy is not None:
            found = figures.value("accuracy", option="--min-accuracy")
            if found < self.min_accuracy:
                return f"a validation accuracy of {found:.4f}, under the floor of {self.min_accuracy:g}"
        if self.max_perplexity_ratio is not None:
            option = "--max-perplexity-ratio"
            found = figures.value("perplexity", option=option) / dense.value("perplexity", option=option)
            if found > self.max_perplexity_ratio:
                return (
                    f"{found:.3f} times the dense model's validation perplexity, over the limit of "
                    f"{self.max_perplexity_ratio:g}"
                )
        return None


NO_FLOORS = Floors()
