"""Which file a task on tokens reads, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from secateur.core.errors import ConfigError, DataError
from secateur.core.files import sha256_of
from secateur.core.typed import typed
from secateur.models.general_text import GENERAL_SHARE, blocks_beside
from secateur.models.tables import Table

TextTaskName = Literal["text", "answers", "labels", "embeddings"]
TEXT_TASKS: tuple[TextTaskName, ...] = get_args(TextTaskName)

CALIBRATION_BLOCKS = 32
REFIT_BLOCKS_A_SCORED_ONE = 4
SCORED_AT_ONCE, FITTED_AT_ONCE = 1, 8
"""Samples in a batch: gradients hold several times the logits."""

SENTENCES_A_BLOCK = 4
"""Sentences, labelled texts and answers are shorter than a block of running text."""

RANKING_SAMPLES: Mapping[TextTaskName, int] = {"text": 8, "answers": 32, "labels": 64, "embeddings": 64}
"""Calibration samples for measurements that take many passes."""


@dataclass(frozen=True, kw_only=True)
@typed
class TextData:
    """Which file a task reads, and how much of it.

    Parameters
    ----------
    path : Path or Table
        Text in UTF-8; for labels a table of ``text`` and ``label``, for answers of ``prompt`` and ``answer``.
    blocks : int
        Blocks of 256 tokens (fewer where the model has fewer positions) to score on; of sentences, labelled
        texts and answers four times as many.
    refit_blocks : int, optional
        To re-fit on; default: four times as many (:attr:`fitted_blocks`).
    general_share : float, optional
        Share of blocks of a general text, which come beside those of the file; of running text only.
        Default: :data:`secateur.models.general_text.GENERAL_SHARE`.
    general_text : Path, optional
        In place of the one that ships with the package.
    scored_at_once, fitted_at_once : int
        Samples in a batch.
    held_out : float
        Share of the file held out for validation, and again for the test; 0 for none. Of running text that is
        its end, of tables a random part.
    learns : bool
        Whether there will be gradient steps, for which all of the training part is read.
    seed : int
        Of all draws.

    Raises
    ------
    DataError
        If there is no such file.
    ConfigError
        If a number is out of range.
    """

    path: Path | Table
    blocks: int = CALIBRATION_BLOCKS
    refit_blocks: int | None = None
    general_share: float | None = None
    general_text: Path | None = None
    scored_at_once: int = SCORED_AT_ONCE
    fitted_at_once: int = FITTED_AT_ONCE
    held_out: float = 0.0
    learns: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.path, Path) and not self.path.is_file():
            raise DataError(f"{self.path} is not a file; give a file of text, or a table of the task.")
        for name, count in (("blocks", self.blocks), ("refit_blocks", self.fitted_blocks)):
            if count < 1:
                raise ConfigError(f"{name} is {count}; it must be at least 1.")
        if not 0 <= self.held_out < 0.5:
            raise ConfigError(f"held_out is {self.held_out}; it must lie between 0 and 0.5.")

    @property
    def digest(self) -> str | None:
        """SHA-256 of the file; None for rows in memory."""
        return sha256_of(self.path) if isinstance(self.path, Path) else None

    @property
    def digests(self) -> list[str]:
        """SHA-256 of every file that is read: the data's own, and the general text given beside it."""
        files = [path for path in (self.path, self.general_text) if isinstance(path, Path)]
        return [sha256_of(path) for path in files]

    @property
    def fitted_blocks(self) -> int:
        """Blocks of the file to re-fit on."""
        return REFIT_BLOCKS_A_SCORED_ONE * self.blocks if self.refit_blocks is None else self.refit_blocks

    @property
    def share(self) -> float:
        """Share of general text in what is fitted of a running text."""
        return GENERAL_SHARE if self.general_share is None else self.general_share

    def fitted_samples(self, task: TextTaskName) -> int:
        """Return how many samples of a task are re-fitted on, at most, general text among them."""
        if task == "text":
            return self.fitted_blocks + blocks_beside(self.fitted_blocks, self.share)
        return SENTENCES_A_BLOCK * self.fitted_blocks
