"""Sequences of tokens as what a gradient loop trains on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from secateur.core.errors import DataError
from secateur.models.attributes import vocabulary_size
from secateur.models.precision import autocast
from secateur.tasks.objective import Objective, Reference
from secateur.tasks.token_rows import TokenRows
from secateur.training.batches import Batch
from secateur.training.class_balance import BatchSampler
from secateur.training.processes import Processes, agreed
from secateur.training.settings import LoopSettings

LOGIT_BYTES = 128 << 20
"""Most memory that the float32 logits of one pass may take; training holds a few times as much."""


class TokenData:
    """Training rows, used up in a random order epoch by epoch, and all validation rows.

    Parameters
    ----------
    train, validation : TokenRows
    objective : Objective
    settings : LoopSettings
    model : nn.Module
        Of which the size of the vocabulary is taken.
    references : sequence, optional
        The teacher's answers to the validation rows, in batches as :meth:`validation_batches` gives them, for
        objectives that need them.

    Raises
    ------
    DataError
        If there are no rows, or tokens that the model does not have.
    """

    monitor = "loss"

    def __init__(
        self,
        train: TokenRows,
        validation: TokenRows | None,
        *,
        objective: Objective,
        settings: LoopSettings,
        model: nn.Module,
        teacher: nn.Module | None,
    ) -> None:
        if validation is None:
            raise DataError(
                "nothing is held out to judge the training by; give a longer text, so that its end can be."
            )
        vocabulary = vocabulary_size(model)
        for name, rows in (("training", train), ("validation", validation)):
            low, high = rows.bounds
            if low < 0 or high >= vocabulary:
                raise DataError(
                    f"the {name} blocks hold tokens from {low} to {high}, but the model has {vocabulary}; "
                    "encode the text with the tokenizer of the model."
                )
        self._train, self._validation, self._objective = train, validation, objective
        at_once = {"logit_bytes": LOGIT_BYTES}
        self._rows = objective.rows_at_once(model, train.longest, **at_once)
        self._validation_rows = min(64, objective.rows_at_once(model, validation.longest, **at_once))
        unlabelled = np.zeros(len(train), dtype=np.int64)
        self._sampler = BatchSampler(unlabelled, settings.batch_size, settings.seed, balanced=False)
        self._references: Sequence[Reference] | None = None
        if not objective.learns_alone and teacher is not None:
            with torch.no_grad():
                self._references = [
                    objective.reference(teacher.eval(), batch)
                    for batch in validation.batches(self._validation_rows)
                ]

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells these data from others."""
        return {"train_blocks": self._train.digest(), "validation_blocks": self._validation.digest()}

    def batch(self, step: int) -> Batch:
        """Return the rows of a step, which depend on the seed and the step alone."""
        return self._train.take(self._sampler.indices(step))

    def passes(self, batch: Batch) -> Iterator[tuple[Batch, float]]:
        """Yield as many rows at a time as the memory for logits takes."""
        whole = self._objective.predictions_in(batch)
        for start in range(0, len(batch["input_ids"]), self._rows):
            part = {name: values[start : start + self._rows] for name, values in batch.items()}
            yield part, self._objective.predictions_in(part) / whole

    @torch.no_grad()
    def figures(self, model: nn.Module, processes: Processes, precision: str) -> dict[str, float]:
        """Return ``loss``, and of classifiers ``macro_f1``, on the validation rows in evaluation mode."""
        model.eval()
        found: dict[int, Tensor] = {}
        names: tuple[str, ...] = ()
        starts = list(range(0, len(self._validation), self._validation_rows))
        for start in processes.own(starts):
            stop = min(start + self._validation_rows, len(self._validation))
            reference = None if self._references is None else self._references[starts.index(start)]
            with autocast(processes.device, precision):
                tally = self._objective.tally(model, self._validation.take(range(start, stop)), reference)
            names = tuple(sorted(tally))
            found[start] = torch.stack([tally[name] for name in names], dim=1).to(processes.device)
        names = agreed(names)  # a process may have had no rows
        columns = processes.collected(found, n_rows=len(self._validation)).double().cpu().T
        tally = dict(zip(names, columns, strict=True))
        figures = self._objective.figures(tally, parameters=0)
        macro_f1 = getattr(figures, "macro_f1", None)
        return {"loss": figures.loss, **({} if macro_f1 is None else {"macro_f1": macro_f1})}
