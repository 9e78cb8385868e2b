"""Find the tokens that a chat template writes around a conversation, so that a cut vocabulary keeps them.

The template is split into its parts and never run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from jinja2 import Environment, TemplateSyntaxError
from transformers import PreTrainedTokenizerBase

from secateur.models.tokenizer_usage import plain_backend

ROLES = ("system", "user", "assistant", "tool")
"""What conversations call those who speak; templates write these words too."""


def chat_tokens(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the tokens of all words in the chat templates of a tokenizer, and of the roles; else none.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        A fast tokenizer; left as it is.
    """
    given: Any = getattr(tokenizer, "chat_template", None)
    templates = list(given.values()) if isinstance(given, dict) else [given] if given else []
    words = [word for template in templates for word in _words(str(template))]
    if templates:
        words += ROLES
    backend = plain_backend(tokenizer)
    shapes = {shape for word in words for shape in (word, word.strip(), f" {word.strip()}", f"{word}\n")}
    return {
        token for shape in shapes for token in backend.encode(shape, add_special_tokens=False).ids if shape
    }


def _words(template: str) -> Iterator[str]:
    """Text between the tags, and texts inside them."""
    with suppress(TemplateSyntaxError):
        for _, kind, value in Environment().lex(template):
            if kind == "data":
                yield value
            elif kind == "string":
                with suppress(SyntaxError, ValueError):
                    yield str(ast.literal_eval(value))
