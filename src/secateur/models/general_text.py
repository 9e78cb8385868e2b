"""General text mixed into a calibration text, so that a cut does not forget what that text never shows.

Scores and re-fits know only the directions that their text excites. A part of the blocks is therefore taken
from a text of many kinds: stories, letters, news, recipes, dialogues, code. It ships with the package and was
written by SmolLM2-135M-Instruct (Apache-2.0), so that there is nothing to fetch.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.seeds import derive, generator
from secateur.models.text import TextBatch, TokenSource, text_blocks

GENERAL_SHARE = 0.5
"""Share of general text among the blocks by which units are scored and projections re-fitted."""


JUDGED_PART = 0.25
"""The last part of a general text, which nothing is fitted to: a cut is judged on it as on another text."""


def shipped_text() -> Path:
    """Return the general text of the package."""
    return Path(str(resources.files("secateur.models") / "general_text.txt"))


def general_source(tokenizer: Any, path: Path | None = None, *, judged: bool) -> TokenSource:
    """Return the part of the general text, or of another one, to fit to or, ``judged``, to judge on."""
    first, last = (1 - JUDGED_PART, 1.0) if judged else (0.0, 1 - JUDGED_PART)
    return TokenSource(path=path or shipped_text(), tokenizer=tokenizer, first=first, last=last)


def mixed_batches(
    source: TokenSource,
    *,
    blocks: int,
    length: int,
    batch_size: int,
    seed: int,
    share: float = GENERAL_SHARE,
    general: Path | None = None,
) -> tuple[TextBatch, ...]:
    """Draw blocks from a text and from the general one, in one random order.

    Parameters
    ----------
    source : TokenSource
    blocks : int
        How many of both together. Where a text has too few, all of it is taken.
    length : int
        Tokens in a block.
    batch_size : int
        Blocks in a batch.
    seed : int
        Of the draws.
    share : float
        Of the general text among them, 0 to 1 (exclusive).
    general : Path, optional
        A general text in place of the one that ships with the package.

    Returns
    -------
    tuple of dict
        Each with ``input_ids`` (B, length).

    Raises
    ------
    ConfigError
        If the share is out of range.
    DataError
        If a text has not one whole block.
    """
    if not 0 <= share < 1:
        raise ConfigError(f"the share of general text is {share}; it must be at least 0 and less than 1.")
    wanted = min(round(share * blocks), blocks - 1)
    rows = text_blocks(source, length=length, blocks=blocks - wanted, seed=seed)
    if wanted:
        rows = torch.cat([rows, _general_blocks(source.tokenizer, general, length, wanted, seed)])
        # one order for both, so that what is held out of a re-fit is of both kinds
        order = generator(seed, "order of mixed blocks").permutation(len(rows))
        rows = rows[torch.from_numpy(order)]
    return tuple({"input_ids": part} for part in rows.split(batch_size))


def _general_blocks(tokenizer: Any, path: Path | None, length: int, blocks: int, seed: int) -> Tensor:
    source = general_source(tokenizer, path, judged=False)
    return text_blocks(source, length=length, blocks=blocks, seed=derive(seed, "general text"))
