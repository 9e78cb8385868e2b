"""Sequences of tokens of any lengths, padded where they are taken together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.tasks.token_losses import IGNORED


@dataclass(frozen=True, kw_only=True)
class TokenRows:
    """Samples of a text task.

    Parameters
    ----------
    rows : sequence of Tensor of int64, shape (tokens,), or one Tensor
        A tensor (rows, tokens) where all are equally long.
    classes : Tensor of int64, shape (rows,), optional
        For labelled text.
    answers_from : Tensor of int64, shape (rows,), optional
        Where in each row the answer begins; what stands before it is not to be predicted.
    padding : int
        Token that fills short rows up; it counts for nothing.
    """

    rows: Sequence[Tensor] | Tensor
    classes: Tensor | None = None
    answers_from: Tensor | None = None
    padding: int = 0

    @classmethod
    def of_blocks(cls, blocks: Tensor, name: str) -> TokenRows:
        """Take blocks of running text, (blocks, tokens).

        Raises
        ------
        DataError
            If there is none, or they are not what they should be.
        """
        if blocks.ndim != 2 or blocks.dtype != torch.int64 or not len(blocks) or blocks.shape[1] < 2:
            raise DataError(
                f"the {name} blocks are {tuple(blocks.shape)} of {blocks.dtype}; give token numbers as int64 "
                "of shape (blocks, tokens), at least one block of two tokens."
            )
        return cls(rows=blocks)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return max(len(row) for row in self.rows)

    @property
    def bounds(self) -> tuple[int, int]:
        """Lowest and highest token."""
        return min(int(row.min()) for row in self.rows), max(int(row.max()) for row in self.rows)

    def take(self, indices: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """Return some rows as a batch, padded to the longest of them.

        Returns
        -------
        dict
            ``input_ids`` (B, T); ``attention_mask`` where not all rows are equally long; ``label`` (B,) of
            labelled text; ``labels`` (B, T) where only answers are to be predicted.
        """
        chosen = [self.rows[int(index)] for index in indices]
        batch: dict[str, Tensor] = {"input_ids": _filled(chosen, self.padding)}
        if not isinstance(self.rows, Tensor):
            batch["attention_mask"] = _filled([torch.ones_like(row) for row in chosen], 0)
        places = torch.as_tensor(np.asarray(indices), dtype=torch.int64)
        if self.classes is not None:
            batch["label"] = self.classes[places]
        if self.answers_from is not None:
            starts = self.answers_from[places, None]
            before = torch.arange(batch["input_ids"].shape[1])[None] < starts
            batch["labels"] = batch["input_ids"].masked_fill(before, IGNORED)
        return batch

    def batches(self, size: int) -> Iterator[dict[str, Tensor]]:
        """Yield all rows in order."""
        for start in range(0, len(self), size):
            yield self.take(range(start, min(start + size, len(self))))

    def first(self, count: int) -> TokenRows:
        """Return the first rows, all if there are fewer."""
        return self.some(range(min(count, len(self))))

    def some(self, indices: Sequence[int] | np.ndarray) -> TokenRows:
        """Return a selection of rows."""
        places = torch.as_tensor(np.asarray(indices, dtype=np.int64))
        rows = self.rows[places] if isinstance(self.rows, Tensor) else [self.rows[int(i)] for i in indices]
        return TokenRows(
            rows=rows,
            classes=None if self.classes is None else self.classes[places],
            answers_from=None if self.answers_from is None else self.answers_from[places],
            padding=self.padding,
        )

    def without(self, *others: TokenRows) -> TokenRows:
        """Return the rows whose tokens stand in none of the others."""
        known = {tuple(row.tolist()) for other in others for row in other.rows}
        return self.some([place for place, row in enumerate(self.rows) if tuple(row.tolist()) not in known])

    def of_one_text(self) -> list[list[int]]:
        """Return the places of rows that hold the same tokens, text by text."""
        found: dict[tuple[int, ...], list[int]] = {}
        for place, row in enumerate(self.rows):
            found.setdefault(tuple(row.tolist()), []).append(place)
        return list(found.values())

    def digest(self) -> str:
        """Return a SHA-256 of everything that is learnt from."""
        found = hashlib.sha256()
        for row in self.rows:
            found.update(np.ascontiguousarray(row.cpu().numpy()).tobytes())
            found.update(b"|")
        for extra in (self.classes, self.answers_from):
            found.update(b"-" if extra is None else extra.numpy().tobytes())
        return found.hexdigest()


def _filled(rows: Sequence[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
