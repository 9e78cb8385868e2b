"""Everything that is learnt from tokens, as a task: running text, answers, labelled text, embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from secateur.core.errors import DataError
from secateur.models.calls import Batch
from secateur.tasks.base import Learning, taught_loss
from secateur.tasks.kinds import require_fit
from secateur.tasks.next_token import NextToken
from secateur.tasks.objective import Objective
from secateur.tasks.token_data import TokenData
from secateur.tasks.token_rows import TokenRows
from secateur.training.settings import LoopSettings

JUDGED_AT_ONCE = 8
SCRATCH_LEARNING_RATE = 6e-4


@dataclass(frozen=True, kw_only=True)
class TokenTask:
    """A task on tokens; see :class:`secateur.tasks.base.Task`.

    Parameters
    ----------
    name : str
    objective : Objective
    train : TokenRows
    validation, test : TokenRows or None
        Held out; None where nothing is.
    elsewhere : TokenRows or None
        Of a text of other kinds, to judge on where nothing was fitted.
    calibration, fitting, probe : tuple of dict
    seed : int
    """

    unit_of_samples: ClassVar = "blocks of text"

    name: str = "text"
    objective: Objective = field(default_factory=NextToken)
    train: TokenRows | None
    validation: TokenRows | None = None
    test: TokenRows | None = None
    elsewhere: TokenRows | None = None
    calibration: tuple[Batch, ...] = ()
    fitting: tuple[Batch, ...] = ()
    probe: tuple[Batch, ...] = ()
    seed: int = 0

    @classmethod
    def of_blocks(cls, train: Tensor, validation: Tensor) -> TokenTask:
        """Return a task on blocks of running text, for training alone.

        Raises
        ------
        DataError
            If the blocks are not what they should be.
        """
        return cls(
            train=TokenRows.of_blocks(train, "training"),
            validation=TokenRows.of_blocks(validation, "validation"),
        )

    def validation_batches(self) -> Iterator[Batch]:
        """See :class:`secateur.tasks.base.Task`."""
        if self.validation is not None:
            yield from self.validation.batches(JUDGED_AT_ONCE)

    def learning(self, model: nn.Module, settings: LoopSettings, teacher: nn.Module | None) -> Learning:
        """See :class:`secateur.tasks.base.Task`."""
        require_fit(model, self.objective, self.name)
        if self.train is None:
            raise DataError("no samples were read to learn from; read the task with learns=True.")
        data = TokenData(
            self.train,
            self.validation,
            objective=self.objective,
            settings=settings,
            model=model,
            teacher=teacher,
        )
        return data, taught_loss(self.objective, settings, teacher)

    def scratch_settings(self, recovery: LoopSettings, *, extra_steps: int, seed: int) -> LoopSettings:
        """See :class:`secateur.tasks.base.Task`."""
        return replace(
            recovery,
            max_steps=recovery.max_steps + extra_steps,
            learning_rate=SCRATCH_LEARNING_RATE,
            seed=seed,
        )

    def for_last_fit(self) -> Self:
        """See :class:`secateur.tasks.base.Task`; held-out texts stay out."""
        return self

    def fingerprint(self) -> dict[str, Any]:
        """Return digests of all rows."""
        rows = {"train": self.train, "validation": self.validation}
        return {"task": self.name, **{name: part and part.digest() for name, part in rows.items()}}
