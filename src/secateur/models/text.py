"""Text as blocks of tokens, or as short passages, read piece by piece."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from secateur.core.errors import ConfigError, DataError
from secateur.core.seeds import generator
from secateur.models.not_text import not_text
from secateur.models.tables import READERS, UNREAD, Table, read_rows

PIECE_CHARACTERS = 1 << 16
LONGEST_LINE_BYTES = 1 << 20
FEWEST_WORDS = 4
_LINE_END, _WORD_END, _CHARACTER_END = (
    re.compile(pattern) for pattern in (rb"\n", rb"\s", rb".(?![\x80-\xbf])")
)
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?])\s+|\n\s*\n")

TextBatch = dict[str, torch.Tensor]
"""``input_ids`` int64 (B, T), and for passages ``attention_mask`` int64 (B, T)."""


@dataclass(frozen=True, kw_only=True)
class TokenSource:
    """The tokens of texts in a file or in memory, or of a part of them.

    Parameters
    ----------
    path : Path or Table
        UTF-8; of a table (CSV, JSON lines, Parquet, or in memory) the column ``text``.
    tokenizer : object
        Of transformers.
    first, last : float
        Which part, as shares of the file's bytes, cut at line ends (at spaces in lines beyond 65,000 bytes),
        or of a table's rows.

    Raises
    ------
    ConfigError
        If the shares are not ordered within 0..1.
    """

    path: Path | Table
    tokenizer: Any
    first: float = 0.0
    last: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.last <= 1:
            raise ConfigError(
                f"the part of {self.path} from {self.first} to {self.last} is none; give shares with "
                "0 <= first < last <= 1."
            )

    def texts(self) -> Iterator[str]:
        """Yield lines joined to pieces of about 65,000 characters; memory does not grow with a text file.

        Raises
        ------
        DataError
            If the file is missing, holds no word, is not UTF-8, or is a table of another kind or without
            texts.
        """
        if isinstance(self.path, Table) or self.path.suffix.lower() in READERS:
            rows = read_rows(self.path, ("text",))
            part = rows[int(self.first * len(rows)) : int(self.last * len(rows))]
            yield from (f"{text}\n\n" for (text,) in part)
        elif self.path.suffix.lower() in UNREAD:
            raise DataError(
                f"{self.path} is a table, which is read as {', '.join(READERS)}; convert it, or call it "
                ".txt to read it as it stands."
            )
        else:
            yield from _pieces_of_text(self.path, self.first, self.last)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a piece, without special tokens."""
        return self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def pieces(self) -> Iterator[list[int]]:
        """Yield the tokens of one piece of text at a time.

        Raises
        ------
        DataError
            If the file is missing, empty or not UTF-8.
        """
        yield from map(self.encode, self.texts())

    def blocks(self, length: int) -> Iterator[list[int]]:
        """Yield consecutive blocks of ``length`` tokens; what remains at the end is left out."""
        held: list[int] = []
        for tokens in self.pieces():
            held += tokens
            whole = len(held) // length * length
            yield from (held[start : start + length] for start in range(0, whole, length))
            held = held[whole:]

    def count(self) -> int:
        """Return how many tokens there are."""
        return sum(map(len, self.pieces()))


def opening_tokens(tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens that a tokenizer puts in front of every text; none for many.

    A model that was trained behind a begin token predicts badly without it.
    """
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    framed = tokenizer("a")["input_ids"]
    for start in range(len(framed) - len(plain) + 1):
        if framed[start : start + len(plain)] == plain:
            return tuple(framed[:start])
    return ()


def text_blocks(
    source: TokenSource, *, length: int, blocks: int | None = None, seed: int = 0
) -> torch.Tensor:
    """Draw blocks of tokens from a text without replacement; the text is read twice.

    Each begins as texts begin: with what the tokenizer puts in front of every one (:func:`opening_tokens`).

    Parameters
    ----------
    source : TokenSource
    length : int
        Tokens in each.
    blocks : int, optional
        How many; all if there are fewer, or if it is not given. They keep the order of the text.
    seed : int
        Of the draw.

    Returns
    -------
    Tensor of int64, shape (blocks, length)

    Raises
    ------
    DataError
        If the text has not one whole block.
    """
    opening = list(opening_tokens(source.tokenizer))
    room = length - len(opening)
    available = source.count() // room if room > 0 else 0
    if available < 1:
        raise DataError(f"{source.path} has fewer than the {length} tokens of one block; give a longer text.")
    draw = generator(seed, "text blocks")
    chosen = set(draw.permutation(available)[:blocks].tolist())
    rows = [opening + block for number, block in enumerate(source.blocks(room)) if number in chosen]
    return torch.from_numpy(np.asarray(rows, dtype=np.int64))


def text_batches(
    source: TokenSource, *, blocks: int, length: int, batch_size: int = 8, seed: int = 0
) -> tuple[TextBatch, ...]:
    """Draw blocks as :func:`text_blocks` and hold them as batches of ``batch_size`` blocks.

    Returns
    -------
    tuple of dict
        Each with ``input_ids`` (B, length).

    Raises
    ------
    DataError
        If the text has not one whole block.
    """
    tokens = text_blocks(source, length=length, blocks=blocks, seed=seed)
    return tuple({"input_ids": part} for part in tokens.split(batch_size))


def passage_batches(
    source: TokenSource, *, passages: int, length: int, batch_size: int = 16, seed: int = 0
) -> tuple[TextBatch, ...]:
    """Draw sentences from a text, as encoders see them: with special tokens, padded, masked.

    Parameters
    ----------
    source : TokenSource
        Its tokenizer pads.
    passages : int
        How many sentences of at least four words; all if there are fewer.
    length : int
        Tokens at which a passage is cut off.
    batch_size : int
        Passages in a batch, each padded to the longest of its batch.
    seed : int
        Of the draw.

    Returns
    -------
    tuple of dict
        Each with ``input_ids`` and ``attention_mask``, (B, T).

    Raises
    ------
    DataError
        If the text has no such sentence.

    """
    drawn = drawn_sentences(sentences_of(source.texts()), passages, seed)
    if not drawn:
        raise DataError(f"{source.path} has no sentence of {FEWEST_WORDS} words; give a text of sentences.")
    return tuple(
        encode_passages(source.tokenizer, drawn[start : start + batch_size], length=length)
        for start in range(0, len(drawn), batch_size)
    )


def drawn_sentences(sentences: Iterator[str], count: int, seed: int) -> list[str]:
    """Draw sentences in one pass, each with the same probability, and keep their order.

    References
    ----------
    Vitter, "Random Sampling with a Reservoir", ACM TOMS 11 (1985), algorithm R.
    """
    draw = generator(seed, "passages")
    held: list[tuple[int, str]] = []
    for number, sentence in enumerate(sentences):
        if number < count:
            held.append((number, sentence))
        elif (place := int(draw.integers(number + 1))) < count:
            held[place] = (number, sentence)
    return [sentence for _, sentence in sorted(held)]


def encode_passages(tokenizer: Any, passages: list[str], *, length: int | None = None) -> TextBatch:
    """Return passages with special tokens, padded to the longest, with the mask of what is no padding.

    Parameters
    ----------
    tokenizer : object
        Of transformers.
    passages : list of str
    length : int, optional
        Tokens at which a passage is cut off.

    Raises
    ------
    ConfigError
        If the tokenizer has no token to pad with.
    """
    if tokenizer.pad_token is None:
        raise ConfigError(
            f"the tokenizer {type(tokenizer).__name__} has no padding token, so passages of unlike lengths "
            "cannot stand in one batch; set its pad_token."
        )
    encoded = tokenizer(
        passages, padding=True, truncation=length is not None, max_length=length, return_tensors="pt"
    )
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def sentences_of(texts: Iterable[str]) -> Iterator[str]:
    """Yield the sentences of at least four words, their blanks made one."""
    for text in texts:
        for sentence in _BETWEEN_SENTENCES.split(text):
            words = sentence.split()
            if len(words) >= FEWEST_WORDS:
                yield " ".join(words)


def _pieces_of_text(path: Path, first: float, last: float) -> Iterator[str]:
    if not path.is_file():
        raise DataError(f"{path} is not a file; give a text file in UTF-8.")
    size, is_blank = path.stat().st_size, True
    held: list[str] = []
    characters = 0
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True)
    with path.open("rb") as stream:
        begin, end = (_next_start(stream, int(share * size)) for share in (first, last))
        stream.seek(begin)
        while line := stream.readline(min(LONGEST_LINE_BYTES, end - stream.tell())):
            text = _decoded(decoder, line, path, stream.tell())
            held.append(text)
            characters += len(text)
            is_blank = is_blank and not text.strip()
            if characters >= PIECE_CHARACTERS:
                yield "".join(held)
                held, characters = [], 0
        held.append(_decoded(decoder, b"", path, end))
    if is_blank and (end > begin or not size):
        part = "" if (first, last) == (0, 1) else f", read from {first:.0%} to {last:.0%},"
        raise DataError(f"{path}{part} is empty; give a text file in UTF-8.")
    if rest := "".join(held):
        yield rest


def _next_start(stream: BinaryIO, position: int) -> int:
    """Return where the next line begins, or in a line that goes on and on the next word or character."""
    if not position:
        return 0
    stream.seek(position - 1)
    ahead = stream.read(PIECE_CHARACTERS)
    for end in (_LINE_END, _WORD_END, _CHARACTER_END):
        if found := end.search(ahead):
            return position - 1 + found.end()
    return position - 1 + len(ahead)


def _decoded(decoder: Any, line: bytes, path: Path, position: int) -> str:
    waiting = len(decoder.getstate()[0])
    try:
        text: str = decoder.decode(line, final=not line)
    except UnicodeDecodeError as error:
        place = position - len(line) - waiting + error.start
        raise not_text(path, f"is not UTF-8 (byte {place}: {error.reason})") from None
    if "\0" in text:
        raise not_text(path, f"has NUL characters before byte {position}: it is UTF-16, or no text")
    return text
