"""Which tokens a text uses, read as a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from secateur.core.errors import ConfigError, DataError
from secateur.core.progress import Advance, progress
from secateur.models.not_text import not_text
from secateur.models.tokenizer_closure import closed_tokens
from secateur.models.tokenizer_description import describe_tokenizer

WINDOW_CHARACTERS = 1 << 16
MARGIN_CHARACTERS = 1 << 10
"""Text on both sides of a window, so that its tokens are those of the whole text; a word is shorter."""
LINES_AT_ONCE = 256


def used_tokens(
    tokenizer: PreTrainedTokenizerBase, text_path: Path, *, min_count: int = 1, extra: Iterable[int] = ()
) -> tuple[int, ...]:
    """Return the tokens that a text uses, with all that must be kept with them.

    The text is encoded as a whole and line by line, because both are done; a token counts as often as it
    occurs in the way that has more of it.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        A fast tokenizer; left as it is.
    text_path : Path
        A text in UTF-8, of any length.
    min_count : int
        Occurrences from which a token is kept. Above 1 the text itself will be encoded in more, smaller
        tokens.
    extra : iterable of int
        Tokens to keep whether used or not.

    Returns
    -------
    tuple of int
        Ascending and closed: see :func:`secateur.models.tokenizer_closure.closed_tokens`.

    Raises
    ------
    ConfigError
        If the tokenizer is a slow one or ``min_count`` is below 1.
    DataError
        If the text cannot be read, is not UTF-8, or is empty.
    """
    if min_count < 1:
        raise ConfigError(f"min_count must be at least 1; got {min_count}.")
    describe_tokenizer(tokenizer)
    backend = plain_backend(tokenizer)
    size = 1 + max(backend.get_vocab().values())
    path = Path(text_path)
    try:
        with progress(f"reading the tokens of {path.name}", 2 * path.stat().st_size) as bar:
            counts = np.maximum(
                _counts_as_a_whole(backend, path, size, bar), _counts_by_line(backend, path, size, bar)
            )
    except UnicodeDecodeError as error:
        raise not_text(path, f"is not UTF-8 ({error.reason})") from error
    except OSError as error:
        raise DataError(f"{path} could not be read: {error}.") from error
    if not counts.any():
        raise DataError(f"{path} holds no text; give one that uses the tokens to be kept.")
    return closed_tokens(tokenizer, {*np.flatnonzero(counts >= min_count).tolist(), *extra})


def plain_backend(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """Return a copy of a tokenizer's backend that neither truncates nor pads."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    return backend


def _counts_as_a_whole(backend: Tokenizer, path: Path, size: int, bar: Advance) -> np.ndarray:
    counts = np.zeros(size, dtype=np.int64)
    for text, start, end in _windows(path):
        encoding = backend.encode(text, add_special_tokens=False)
        starts = np.array([first for first, _ in encoding.offsets], dtype=np.int64)
        ids = np.array(encoding.ids, dtype=np.int64)
        counts += np.bincount(ids[(starts >= start) & (starts < end)], minlength=size)
        bar.advance(len(text[start:end].encode()))
    return counts


def _counts_by_line(backend: Tokenizer, path: Path, size: int, bar: Advance) -> np.ndarray:
    counts = np.zeros(size, dtype=np.int64)
    with path.open(encoding="utf-8") as stream:
        remaining = iter(lambda: stream.readline(WINDOW_CHARACTERS), "")
        while lines := list(islice(remaining, LINES_AT_ONCE)):
            encodings = backend.encode_batch_fast(
                [line.rstrip("\n") for line in lines], add_special_tokens=False
            )
            ids = np.concatenate([np.array(encoding.ids, dtype=np.int64) for encoding in encodings])
            counts += np.bincount(ids, minlength=size)
            bar.advance(sum(len(line.encode()) for line in lines))
    return counts


def _windows(path: Path) -> Iterator[tuple[str, int, int]]:
    """Give pieces of a text with a margin on both sides, and where in each the piece itself stands."""
    with path.open(encoding="utf-8") as stream:
        before, window = "", stream.read(WINDOW_CHARACTERS)
        while window:
            following = stream.read(WINDOW_CHARACTERS)
            yield before + window + following[:MARGIN_CHARACTERS], len(before), len(before) + len(window)
            before, window = (before + window)[-MARGIN_CHARACTERS:], following
