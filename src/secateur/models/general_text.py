"""General text mixed into a calibration text, so that a cut does not forget what that text never shows.

Scores and re-fits know only the directions that their text excites. Blocks of a text of many kinds (technical
prose, talks, a story, a play) are therefore added. It ships with the package, so that there is nothing to
fetch; people wrote it, and all of it is in the public domain (``benchmarks/general_text.py`` makes it).
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.seeds import derive, generator
from secateur.models.text import TokenSource, text_blocks

GENERAL_SHARE = 0.5
"""Share of general text among the blocks that are scored, fitted and learned from: as much as of the own."""

JUDGED_PART = 0.25
"""The last part of a general text, which nothing is fitted to: a cut is judged on it as on another text."""


def shipped_text() -> Path:
    """Return the general text of the package."""
    return Path(str(resources.files("secateur.models") / "general_text.txt"))


def general_source(tokenizer: Any, path: Path | None = None, *, judged: bool) -> TokenSource:
    """Return the part of the general text, or of another one, to fit to or, ``judged``, to judge on."""
    first, last = (1 - JUDGED_PART, 1.0) if judged else (0.0, 1 - JUDGED_PART)
    return TokenSource(path=path or shipped_text(), tokenizer=tokenizer, first=first, last=last)


def blocks_beside(blocks: int, share: float) -> int:
    """Return how many blocks of general text beside so many of a text make up its share of both.

    Raises
    ------
    ConfigError
        If the share is out of range.
    """
    if not 0 <= share < 1:
        raise ConfigError(f"the share of general text is {share}; it must be at least 0 and less than 1.")
    return round(share / (1 - share) * blocks)


def with_general_rows(
    rows: Tensor, tokenizer: Any, *, share: float = GENERAL_SHARE, general: Path | None = None, seed: int
) -> Tensor:
    """Return blocks of a text and, beside them, blocks of the general one, in one random order.

    What a re-fit holds out is then of both kinds.

    Parameters
    ----------
    rows : Tensor
        Tokens of the text, (blocks, length).
    tokenizer : object
        Of a transformers model.
    share : float
        Of the general text in the whole, 0 to 1 (exclusive). Where it has too few blocks, all of it is taken.
    general : Path, optional
        A general text in place of the one that ships with the package.
    seed : int
        Of the draw and of the order.

    Raises
    ------
    ConfigError
        If the share is out of range.
    DataError
        If the general text has not one whole block.
    """
    wanted = blocks_beside(len(rows), share)
    if not wanted:
        return rows
    others = general_source(tokenizer, general, judged=False)
    drawn = text_blocks(others, length=rows.shape[1], blocks=wanted, seed=derive(seed, "general text"))
    both = torch.cat([rows, drawn])
    return both[torch.from_numpy(generator(seed, "order of mixed blocks").permutation(len(both)))]
