"""A fast tokenizer as the data it is: vocabulary, merges and every place where a token's number stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from secateur.core.errors import ConfigError

ALGORITHMS = ("BPE", "WordPiece", "Unigram", "WordLevel")


@dataclass(frozen=True, kw_only=True)
class TokenizerDescription:
    """What the ``tokenizers`` file of a tokenizer holds.

    Attributes
    ----------
    content : dict
        The file, as the ``tokenizers`` package writes it.
    """

    content: dict[str, Any]

    @property
    def model(self) -> dict[str, Any]:
        """The part that turns words into tokens."""
        return self.content["model"]

    @property
    def algorithm(self) -> str:
        """One of ``ALGORITHMS``."""
        return self.model["type"]

    @cached_property
    def pieces(self) -> dict[str, int]:
        """Numbers of the tokens that the algorithm itself can give."""
        vocabulary = self.model["vocab"]
        if self.algorithm == "Unigram":
            return {piece: number for number, (piece, _) in enumerate(vocabulary)}
        return vocabulary

    @property
    def added(self) -> dict[str, int]:
        """Numbers of the tokens that are cut out of a text before the algorithm sees it."""
        return {entry["content"]: entry["id"] for entry in self.content["added_tokens"]}

    @property
    def all_tokens(self) -> dict[str, int]:
        """Numbers of all tokens."""
        return self.pieces | self.added

    @property
    def unknown(self) -> int | None:
        """Number of the token for what cannot be encoded."""
        if self.algorithm == "Unigram":
            return self.model.get("unk_id")
        return self.all_tokens.get(self.model.get("unk_token") or "")

    @cached_property
    def merges(self) -> list[tuple[str, str]]:
        """Merges of a BPE, most urgent first."""
        stored = self.model.get("merges", [])
        pairs = (merge.split(" ", 1) if isinstance(merge, str) else merge for merge in stored)
        return [(first, second) for first, second in pairs]

    @property
    def framing(self) -> Iterator[int]:
        """Numbers of the tokens that are put around a text, padding included."""
        if self.content.get("padding"):
            yield self.content["padding"]["pad_id"]
        for processor in self.post_processors:
            for entry in processor.get("special_tokens", {}).values():
                yield from entry["ids"]
            for name in ("cls", "sep"):
                if name in processor:
                    yield processor[name][1]

    @property
    def post_processors(self) -> list[dict[str, Any]]:
        """The post-processors, those inside a sequence included."""
        top = self.content.get("post_processor")
        if top is None:
            return []
        return top["processors"] if top["type"] == "Sequence" else [top]


def describe_tokenizer(tokenizer: PreTrainedTokenizerBase) -> TokenizerDescription:
    """Read the description of a fast tokenizer.

    Raises
    ------
    ConfigError
        If it is written in Python (a slow tokenizer, whose rules are code and cannot be cut as data), or its
        algorithm is not one of ``ALGORITHMS``.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ConfigError(
            f"{type(tokenizer).__name__} is a slow tokenizer: its rules are Python code, not data to cut. "
            "Use the fast one (a folder with tokenizer.json), or keep the whole vocabulary."
        )
    description = TokenizerDescription(content=json.loads(backend.to_str()))
    if description.model.get("type") not in ALGORITHMS:
        raise ConfigError(
            f"the vocabulary of a tokenizer of type {description.model.get('type')!r} cannot be cut; "
            f"those of type {', '.join(ALGORITHMS)} can. Keep the whole vocabulary."
        )
    return description
