"""Text as blocks of tokens, read piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from secateur.core.errors import DataError
from secateur.core.seeds import generator

PIECE_CHARACTERS = 1 << 16

TextBatch = dict[str, torch.Tensor]
"""``input_ids`` int64 (B, T)."""


@dataclass(frozen=True, kw_only=True)
class TokenSource:
    """The tokens of a text file, or of a part of it.

    Parameters
    ----------
    path : Path
        UTF-8.
    tokenizer : object
        Of transformers.
    first, last : float
        Which part, as shares of the file's bytes; cut at line ends.
    """

    path: Path
    tokenizer: Any
    first: float = 0.0
    last: float = 1.0

    def pieces(self) -> Iterator[list[int]]:
        """Yield the tokens of some lines at a time, without special tokens.

        Lines are joined to pieces of about 65,000 characters before they are encoded, so that memory does not
        depend on the length of the file.

        Raises
        ------
        DataError
            If the file is missing, empty or not UTF-8.
        """
        for text in _pieces_of_text(self.path, self.first, self.last):
            yield self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def blocks(self, length: int) -> Iterator[list[int]]:
        """Yield consecutive blocks of ``length`` tokens; what remains at the end is left out."""
        held: list[int] = []
        for tokens in self.pieces():
            held += tokens
            while len(held) >= length:
                yield held[:length]
                held = held[length:]

    def count(self) -> int:
        """Return how many tokens there are."""
        return sum(map(len, self.pieces()))


def text_batches(
    source: TokenSource, *, blocks: int, length: int, batch_size: int = 8, seed: int = 0
) -> tuple[TextBatch, ...]:
    """Draw blocks from a text without replacement and hold them as batches.

    Parameters
    ----------
    source : TokenSource
    blocks : int
        How many; all if there are fewer.
    length : int
        Tokens in each.
    batch_size : int
        Blocks in a batch.
    seed : int
        Of the draw.

    Returns
    -------
    tuple of dict
        Each with ``input_ids`` (B, length).

    Raises
    ------
    DataError
        If the text has not one whole block.
    """
    available = source.count() // length
    if available < 1:
        raise DataError(
            f"{source.path} has fewer than the {length} tokens of one block; give a longer text or "
            "shorter blocks."
        )
    draw = generator(seed, "text blocks")
    chosen = set(draw.permutation(available)[: min(blocks, available)].tolist())
    rows = [block for number, block in enumerate(source.blocks(length)) if number in chosen]
    tokens = torch.from_numpy(np.asarray(rows, dtype=np.int64))
    return tuple({"input_ids": part} for part in tokens.split(batch_size))


def _pieces_of_text(path: Path, first: float, last: float) -> Iterator[str]:
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} is not a file; give a text file in UTF-8.")
    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{path} is empty; give a text file in UTF-8.")
    begin, end = int(first * size), int(last * size)
    held: list[str] = []
    characters = 0
    with path.open("rb") as stream:
        if begin:
            stream.seek(begin - 1)
            stream.readline()
        while stream.tell() < end and (line := stream.readline()):
            text = _decoded(line, path, stream.tell())
            held.append(text)
            characters += len(text)
            if characters >= PIECE_CHARACTERS:
                yield "".join(held)
                held, characters = [], 0
    if held:
        yield "".join(held)


def _decoded(line: bytes, path: Path, position: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 (byte {position - len(line) + error.start}: {error.reason}); convert it, "
            "for instance with iconv."
        ) from None
