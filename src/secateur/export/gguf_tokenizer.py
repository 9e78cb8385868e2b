"""A tokenizer in llama.cpp's terms: byte-level BPE, whose splitting of text into words llama.cpp knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from secateur.core.errors import ExportError
from secateur.models.tokenizer_description import TokenizerDescription, describe_tokenizer

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Types of token, as the format numbers them."""

_LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, kw_only=True)
class GgufTokenizer:
    """What a GGUF file says of a tokenizer.

    Attributes
    ----------
    pre : str
        Name that llama.cpp gives to the way in which text is split into words.
    tokens : tuple of str
        By number, as many as the embedding has rows.
    types : tuple of int
        Of each token.
    merges : tuple of str
        Most urgent first.
    special : dict of str to int
        Numbers of the tokens ``bos``, ``eos``, ``unk`` and ``pad``, as far as they are set.
    add_bos, add_eos : bool
        Whether a text is framed by them.
    chat_template : str or None
    """

    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    special: Mapping[str, int]
    add_bos: bool
    add_eos: bool
    chat_template: str | None

    @property
    def whole_token(self) -> int | None:
        """A token that is whole characters: letters or digits of ASCII; None where there is none."""
        plain = (
            number
            for number, (piece, kind) in enumerate(zip(self.tokens, self.types, strict=True))
            if kind == NORMAL and piece.isascii() and piece.isalnum()
        )
        return next(plain, None)


def gguf_tokenizer(tokenizer: PreTrainedTokenizerBase, *, vocabulary: int) -> GgufTokenizer:
    """Check that llama.cpp can compute a tokenizer, and describe it in its terms.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        A fast one.
    vocabulary : int
        Rows of the embedding; numbers without a token are filled up.

    Raises
    ------
    ConfigError
        If it is a slow tokenizer.
    ExportError
        Naming what llama.cpp does otherwise.
    """
    description = describe_tokenizer(tokenizer)
    pre = _words(description)
    content, model = description.content, description.model
    faults = []
    if content.get("normalizer") is not None:
        faults.append(f"a normaliser ({content['normalizer']['type']})")
    if bool(model.get("ignore_merges")) != (pre == "llama-bpe"):
        faults.append("whole words before merges, unlike its word splitting elsewhere")
    faults += [
        f"a {name.replace('_', ' ')} of '{model[name]}'"
        for name in ("continuing_subword_prefix", "end_of_word_suffix")
        if model.get(name)
    ]
    trimmed = [
        entry["content"]
        for entry in content["added_tokens"]
        if entry["lstrip"] or entry["rstrip"] or entry["single_word"]
    ]
    if trimmed:
        faults.append(f"added tokens that take spaces with them ({', '.join(trimmed[:3])})")
    largest = max(description.all_tokens.values())
    if largest >= vocabulary:
        faults.append(f"token {largest}, where the embedding has {vocabulary} rows")
    if faults:
        raise ExportError(f"llama.cpp cannot compute this tokenizer: it has {'; '.join(faults)}.")
    add_bos, add_eos = _framing(tokenizer)
    tokens = {number: piece for piece, number in description.all_tokens.items()}
    special = {entry["id"] for entry in content["added_tokens"] if entry["special"]}
    added = {entry["id"] for entry in content["added_tokens"]}
    return GgufTokenizer(
        pre=pre,
        tokens=tuple(tokens.get(number, f"[UNUSED{number}]") for number in range(vocabulary)),
        types=tuple(
            CONTROL
            if number in special
            else USER_DEFINED
            if number in added
            else NORMAL
            if number in tokens
            else UNUSED
            for number in range(vocabulary)
        ),
        merges=tuple(" ".join(merge) for merge in description.merges),
        special={
            name: number
            for name in ("bos", "eos", "unk", "pad")
            if (number := getattr(tokenizer, f"{name}_token_id")) is not None
        },
        add_bos=add_bos,
        add_eos=add_eos,
        chat_template=tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else None,
    )


def _words(description: TokenizerDescription) -> str:
    """Name of the way in which text is split into words."""
    steps = _steps(description.content.get("pre_tokenizer"))
    if description.algorithm != "BPE" or not steps or steps[-1]["type"] != "ByteLevel":
        raise ExportError(
            f"llama.cpp is given byte-level BPE tokenizers here; this one is {description.algorithm} on "
            f"{' and '.join(step['type'] for step in steps) or 'the whole text'}. Export the model as ONNX."
        )
    *before, last = steps
    if not last["add_prefix_space"]:
        if not before and last["use_regex"]:
            return "gpt-2"
        if [_digits(step) for step in before] == [True] and last["use_regex"]:
            return "smollm"
        if [_split(step) for step in before] == [_LLAMA3_WORDS] and not last["use_regex"]:
            return "llama-bpe"
    raise ExportError(
        "the tokenizer splits text into words in a way that is not known here as one of llama.cpp's: "
        f"{description.content['pre_tokenizer']}. Export the model as ONNX."
    )


def _steps(pre_tokenizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    if pre_tokenizer is None:
        return []
    return pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]


def _digits(step: dict[str, Any]) -> bool:
    return step["type"] == "Digits" and step["individual_digits"]


def _split(step: dict[str, Any]) -> str | None:
    if step["type"] != "Split" or step["behavior"] != "Isolated" or step["invert"]:
        return None
    return step["pattern"].get("Regex")


def _framing(tokenizer: PreTrainedTokenizerBase) -> tuple[bool, bool]:
    """Whether a text gets a begin and an end token."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    framed = tokenizer("a")["input_ids"]
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    for before, after in ((False, False), (True, False), (False, True), (True, True)):
        if framed == [bos] * before + bare + [eos] * after:
            return before, after
    raise ExportError(
        f"the tokenizer puts other tokens around a text than begin and end ({framed} of {bare}), which "
        "llama.cpp does not."
    )
