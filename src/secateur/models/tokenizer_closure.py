"""Closures of tokens: what a tokenizer needs beside the tokens it should give.

A cut tokenizer treats a text as the dense one does, as long as every choice that the dense one made is still
there. What that takes depends on the algorithm.

*Everywhere*: added tokens (they are cut out of a text before anything else), the token for the unknown, the
tokens put around a text, and a base alphabet, so that any text can still be encoded: the 256 bytes where the
tokenizer falls back on bytes or works on bytes, else every token of one character.

*BPE* builds a token from characters by merges, the most urgent first. No merge crosses the border of a token
that is given in the end, so the merges inside it are those that the tokenizer makes on the token's own text,
whatever stands around it. The tokens in between are the token's parts. With all parts of all used tokens
kept, every merge of the dense tokenizer on that text is kept, and as the others only get fewer, the same one
is the most urgent at every step. A token whose own text does not lead to it (byte tokens; whole words taken
from the vocabulary before any merge) has no parts.

*WordPiece* takes the longest token that fits and *WordLevel* the whole word: nothing more is needed.

*Unigram* takes the most probable sequence, which stays the most probable among fewer. The penalty of an
unknown character is counted from the least probable token of the vocabulary, so that one stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from transformers import PreTrainedTokenizerBase

from secateur.models.tokenizer_description import TokenizerDescription, describe_tokenizer

BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))


def closed_tokens(tokenizer: PreTrainedTokenizerBase, tokens: Iterable[int]) -> tuple[int, ...]:
    """Return ``tokens`` and all that must be kept with them, ascending; see the head of this module.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        A fast tokenizer.
    tokens : iterable of int
        Tokens to keep; numbers that the tokenizer does not know (rows that pad a model's vocabulary) are kept
        without more.

    Raises
    ------
    ConfigError
        If the tokenizer is a slow one.
    """
    description = describe_tokenizer(tokenizer)
    kept = set(tokens) | set(description.added.values()) | set(description.framing)
    kept |= {description.pieces[token] for token in _alphabet(description)}
    kept |= {token for token in tokenizer.all_special_ids if token is not None}
    if description.unknown is not None:
        kept.add(description.unknown)
    if description.algorithm == "BPE":
        kept |= set(_parts_of_all(description, kept))
    if description.algorithm == "Unigram":
        scores = [score for _, score in description.model["vocab"]]
        kept.add(scores.index(min(scores)))
    return tuple(sorted(kept))


def _alphabet(description: TokenizerDescription) -> Iterator[str]:
    pieces = description.pieces
    if description.algorithm == "WordLevel":
        return iter(())
    if description.model.get("byte_fallback") and all(token in pieces for token in BYTE_TOKENS):
        return iter(BYTE_TOKENS)
    prefix = description.model.get("continuing_subword_prefix") or ""
    suffix = description.model.get("end_of_word_suffix") or ""
    return (
        token
        for token in pieces
        if len(token) == 1 or len(token.removeprefix(prefix).removesuffix(suffix)) == 1
    )


def _parts_of_all(description: TokenizerDescription, tokens: Iterable[int]) -> Iterator[int]:
    ranks = {merge: rank for rank, merge in enumerate(description.merges)}
    prefix = description.model.get("continuing_subword_prefix") or ""
    suffix = description.model.get("end_of_word_suffix") or ""
    names = {number: token for token, number in description.pieces.items()}
    for token in tokens:
        for part in bpe_parts(names.get(token, ""), ranks, prefix=prefix, suffix=suffix):
            yield description.pieces[part]


def bpe_parts(
    token: str, ranks: dict[tuple[str, str], int], *, prefix: str = "", suffix: str = ""
) -> set[str]:
    """Return the tokens that a BPE passes through on its way to ``token``, characters included.

    Parameters
    ----------
    token : str
        A token of the vocabulary.
    ranks : dict
        Place of each merge in the list of merges.
    prefix, suffix : str
        Marks of a token that continues, or ends, a word.

    Returns
    -------
    set of str
        With ``token`` itself; empty if merges do not lead to it.

    References
    ----------
    Sennrich, Haddow, Birch, "Neural machine translation of rare words with subword units", ACL 2016.
    """
    symbols = _characters(token, prefix, suffix)
    passed = set(symbols)
    while len(symbols) > 1:
        rank, place = min(
            (ranks.get(pair, len(ranks)), position) for position, pair in enumerate(pairwise(symbols))
        )
        if rank == len(ranks):
            return set()
        merged = symbols[place] + symbols[place + 1].removeprefix(prefix)
        symbols[place : place + 2] = [merged]
        passed.add(merged)
    return passed if symbols == [token] else set()


def _characters(token: str, prefix: str, suffix: str) -> list[str]:
    continues, ends = bool(prefix) and token.startswith(prefix), bool(suffix) and token.endswith(suffix)
    core = token[len(prefix) if continues else 0 : len(token) - (len(suffix) if ends else 0)]
    symbols = [
        character if place == 0 and not continues else prefix + character
        for place, character in enumerate(core)
    ]
    if symbols and ends:
        symbols[-1] += suffix
    return symbols
