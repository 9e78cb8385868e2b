"""Fewer tokens: a tokenizer with the tokens of a plan alone, numbered as the cut model numbers them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from secateur.core.errors import ConfigError
from secateur.models.chat_words import chat_tokens
from secateur.models.token_ids import required_tokens
from secateur.models.tokenizer_closure import closed_tokens
from secateur.models.tokenizer_description import TokenizerDescription, describe_tokenizer
from secateur.models.tokenizer_usage import plain_backend, used_tokens
from secateur.models.vocabulary import vocabulary_of

CHECKED_CHARACTERS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class TrimmedVocabulary:
    """The tokens that stay and the tokenizer that knows only them.

    Attributes
    ----------
    tokens : tuple of int
        Rows of the dense model's vocabulary, ascending: what ``PruningPlan.with_tokens`` takes.
    tokenizer : PreTrainedTokenizerBase
        Gives the numbers of the model that such a plan leaves.
    """

    tokens: tuple[int, ...]
    tokenizer: PreTrainedTokenizerBase


def trim_vocabulary(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    text_path: Path,
    *,
    min_count: int = 1,
    extra: Iterable[int] = (),
) -> TrimmedVocabulary:
    """Choose the tokens that a text uses and make the tokenizer that goes with them.

    The words of its chat template stay too.

    The model is not changed: cut it with ``apply(model, plan.with_tokens(trimmed.tokens))``.

    Parameters
    ----------
    model : torch.nn.Module
        The dense model; its tensors are not read, so it may be on the meta device.
    tokenizer : PreTrainedTokenizerBase
        Its fast tokenizer; left as it is.
    text_path : Path
        A text in UTF-8.
    min_count : int
        Occurrences from which a token is kept; above 1 the text takes more tokens than before.
    extra : iterable of int
        Tokens to keep whether used or not.

    Returns
    -------
    TrimmedVocabulary
        With ``min_count=1`` its tokenizer encodes the text in the same tokens as before, which is checked on
        the first million characters.

    Raises
    ------
    ConfigError
        If the model has no vocabulary to cut, the tokenizer is a slow one or knows tokens that the model
        lacks, or it cannot be cut without changing how it encodes.
    DataError
        If the text cannot be read.
    """
    size, _ = vocabulary_of(model)
    if not size:
        raise ConfigError(f"{type(model).__name__} has no vocabulary that can be cut; leave this option out.")
    kept = {*required_tokens(model), *chat_tokens(tokenizer), *extra}
    tokens = used_tokens(tokenizer, text_path, min_count=min_count, extra=kept)
    if tokens[-1] >= size:
        raise ConfigError(
            f"the tokenizer uses token {tokens[-1]}, but the model has only {size}; they do not belong "
            "together, or the model's embeddings were not resized after tokens were added."
        )
    trimmed = trim_tokenizer(tokenizer, tokens)
    if min_count == 1:
        with Path(text_path).open(encoding="utf-8") as stream:
            _require_same_encoding(tokenizer, trimmed, tokens, stream.read(CHECKED_CHARACTERS))
    return TrimmedVocabulary(tokens=tokens, tokenizer=trimmed)


def trim_tokenizer(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> PreTrainedTokenizerBase:
    """Return a tokenizer that knows only ``tokens``, numbered by their place among them.

    Merges remain whose parts and result remain; numbers in added tokens, templates and padding follow.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        A fast tokenizer; left as it is.
    tokens : sequence of int
        Tokens that stay, ascending and closed (:func:`secateur.models.tokenizer_closure.closed_tokens`).

    Returns
    -------
    PreTrainedTokenizerBase
        As a fresh process would load it after ``save_pretrained``.

    Raises
    ------
    ConfigError
        If the tokenizer is a slow one, ``tokens`` are not closed or not ascending, or the tokenizer's class
        fixes numbers of its own.
    """
    description = describe_tokenizer(tokenizer)
    missing = sorted(set(closed_tokens(tokenizer, tokens)) - set(tokens))
    if missing or list(tokens) != sorted(set(tokens)):
        names = [tokenizer.convert_ids_to_tokens(token) for token in missing[:5]]
        raise ConfigError(
            f"the tokens must be ascending and closed; {len(missing)} are missing without which a tokenizer "
            f"cannot give the others ({', '.join(map(repr, names)) or 'none'}). Give `closed_tokens` of them."
        )
    number = {token: position for position, token in enumerate(tokens)}
    content = _renumbered(description, number)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        _replace_vocabulary(Path(folder), tokenizer, content, number)
        trimmed = AutoTokenizer.from_pretrained(folder)
    trimmed.name_or_path = tokenizer.name_or_path
    expected = {name: number[token] for name, token in description.all_tokens.items() if token in number}
    if trimmed.get_vocab() != expected:
        wrong = sorted(name for name, _ in trimmed.get_vocab().items() ^ expected.items())
        raise ConfigError(
            f"a {type(tokenizer).__name__} cannot be cut: it gives numbers of its own to "
            f"{', '.join(map(repr, wrong[:5]))}. Keep the whole vocabulary."
        )
    return trimmed


def _renumbered(description: TokenizerDescription, number: dict[int, int]) -> dict[str, Any]:
    """The tokenizer's file with the kept tokens alone."""
    result = TokenizerDescription(content=deepcopy(description.content))
    pieces = {token: number[old] for token, old in description.pieces.items() if old in number}
    model = result.model
    if description.algorithm == "Unigram":
        model["vocab"] = [entry for old, entry in enumerate(model["vocab"]) if old in number]
        if model.get("unk_id") is not None:
            model["unk_id"] = number[model["unk_id"]]
    else:
        model["vocab"] = pieces
    if description.algorithm == "BPE":
        prefix = model.get("continuing_subword_prefix") or ""
        model["merges"] = [
            [first, second]
            for first, second in description.merges
            if {first, second, first + second.removeprefix(prefix)} <= pieces.keys()
        ]
    for entry in result.content["added_tokens"]:
        entry["id"] = number[entry["id"]]
    if result.content.get("padding"):
        result.content["padding"]["pad_id"] = number[result.content["padding"]["pad_id"]]
    for processor in result.post_processors:
        for entry in processor.get("special_tokens", {}).values():
            entry["ids"] = [number[token] for token in entry["ids"]]
        for name in ("cls", "sep"):
            if name in processor:
                processor[name][1] = number[processor[name][1]]
    return result.content


def _replace_vocabulary(
    folder: Path, tokenizer: PreTrainedTokenizerBase, content: dict[str, Any], number: dict[int, int]
) -> None:
    """Put the cut vocabulary into a saved tokenizer's folder, and take other forms of the dense one out."""
    for name in {*tokenizer.vocab_files_names.values(), "added_tokens.json"}:
        (folder / name).unlink(missing_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    config = folder / "tokenizer_config.json"
    settings = json.loads(config.read_text(encoding="utf-8"))
    if "added_tokens_decoder" in settings:
        settings["added_tokens_decoder"] = {
            str(number[int(token)]): entry for token, entry in settings["added_tokens_decoder"].items()
        }
    config.write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")


def _require_same_encoding(
    tokenizer: PreTrainedTokenizerBase, trimmed: PreTrainedTokenizerBase, tokens: Sequence[int], text: str
) -> None:
    expected = plain_backend(tokenizer).encode(text, add_special_tokens=False)
    found = plain_backend(trimmed).encode(text, add_special_tokens=False)
    if [tokens[token] for token in found.ids] != expected.ids:
        raise ConfigError(
            f"this {type(tokenizer).__name__} encodes the text differently once cut, which would change the "
            "model's input. Keep the whole vocabulary."
        )
