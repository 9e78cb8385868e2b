"""Token numbers that configurations hold: which tokens a model cannot do without, and their new numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn
from transformers import GenerationConfig, PreTrainedConfig

from secateur.core.errors import CheckpointError, PlanError

REQUIRED_SUFFIXES = ("_token_id", "_token_ids", "_token_index")
REQUIRED_NAMES = ("force_words_ids", "forced_decoder_ids")
UNWANTED = ("suppress_tokens", "begin_suppress_tokens", "bad_words_ids")
BIASED_SEQUENCES = "sequence_bias"
TABLES_SUFFIX = "_to_id"
NESTED = ("task_specific_params",)


def required_tokens(model: nn.Module) -> tuple[int, ...]:
    """Return the tokens that the model's configurations name (start, end, padding, ...), ascending.

    A plan must keep all of them. Numbers outside the vocabulary, which some stock configurations hold, are
    left out; so is everything in a model without a vocabulary.
    """
    config: Any = getattr(model, "config", None)
    if not isinstance(config, PreTrainedConfig):
        return ()
    size = getattr(config.get_text_config(), "vocab_size", 0)
    return tuple(sorted({token for _, token in _named(model) if 0 <= token < size}))


def check_token_ids(model: nn.Module, tokens: Sequence[int], size: int) -> None:
    """Check that every token that a configuration names is kept.

    Raises
    ------
    PlanError
        Naming the token and what it is for.
    """
    kept = set(tokens)
    for name, token in _named(model):
        if 0 <= token < size and token not in kept:
            raise PlanError(
                f"token {token} is the {name} of the model's configuration; keep it "
                "(`required_tokens` lists all such tokens)."
            )


def require_fitting_tokenizer(tokenizer: Any, model: nn.Module, source: object) -> None:
    """Check that a model has a row of its embedding for every token that its tokenizer can give.

    Parameters
    ----------
    tokenizer : object or None
        Of transformers.
    model : torch.nn.Module
        Its weights are not looked at.
    source : object
        Where the two came from, for the message.

    Raises
    ------
    CheckpointError
        Telling both sizes and the first token without a row.
    """
    try:
        embedding: Any = model.get_input_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        return
    if tokenizer is None or not isinstance(embedding, nn.Embedding):
        return
    rows = embedding.weight.shape[0]
    beyond = sorted((number, token) for token, number in tokenizer.get_vocab().items() if number >= rows)
    if beyond:
        number, token = beyond[0]
        raise CheckpointError(
            f"the tokenizer of {source} gives {len(beyond)} tokens for which the model has no embedding: "
            f"{token!r} is token {number}, but the model has the tokens 0 to {rows - 1}. Give the tokenizer "
            "that belongs to the model, or resize the embedding (model.resize_token_embeddings)."
        )


def renumber_token_ids(model: nn.Module, tokens: Sequence[int], size: int) -> None:
    """Bring the size of the vocabulary and every token number in the configurations into step.

    Bans and biases of tokens that are gone vanish, and where none is left the setting is None, since
    ``generate`` refuses an empty one. Numbers outside the dense vocabulary of ``size`` tokens stay as they
    are.
    """
    numbering = _Numbering(tokens, size)
    for holder in _holders(model):
        for name, value in list(vars(holder).items()):
            if name == "vocab_size" and value == size:
                holder.vocab_size = len(tokens)
            elif value is not None and (renew := _renewal(name, numbering)) is not None:
                setattr(holder, name, renew(value))


class _Numbering:
    """New numbers of the kept tokens; None for those that are gone."""

    def __init__(self, tokens: Sequence[int], size: int) -> None:
        self._numbers = {token: position for position, token in enumerate(tokens)}
        self._size = size

    def keeps(self, value: Any) -> bool:
        """Whether nothing in a number or nested list of numbers is gone."""
        return all(token in self._numbers or not 0 <= token < self._size for token in _flat(value))

    def nested(self, value: Any) -> Any:
        """Renumber a number or nested lists of numbers."""
        if isinstance(value, list | tuple):
            return type(value)(self.nested(entry) for entry in value)
        return value if isinstance(value, bool) else self._numbers.get(value, value)

    def kept_entries(self, value: list[Any]) -> list[Any] | None:
        """Renumber a list and drop the entries (numbers or sequences) that can no longer occur."""
        return [self.nested(entry) for entry in value if self.keeps(entry)] or None

    def forced(self, value: list[Any]) -> list[Any]:
        """Renumber pairs of a position and a token."""
        return [[position, self.nested(token)] for position, token in value]

    def biased(self, value: Any) -> Any:
        """Renumber {(token, ...): bias} or [[[token, ...], bias], ...]."""
        pairs = value.items() if isinstance(value, dict) else value
        kept = [[self.nested(tokens), bias] for tokens, bias in pairs if self.keeps(tokens)]
        if isinstance(value, dict):
            return {tuple(tokens): bias for tokens, bias in kept} or None
        return kept or None

    def table(self, value: dict[str, int]) -> dict[str, int]:
        """Renumber {name: token}."""
        return {name: self.nested(token) for name, token in value.items() if self.keeps(token)}


def _renewal(name: str, numbering: _Numbering) -> Any:
    """How the attribute of this name follows; None for one that holds no tokens."""
    if name == "forced_decoder_ids":
        return numbering.forced
    if name.endswith(REQUIRED_SUFFIXES) or name in REQUIRED_NAMES:
        return numbering.nested
    if name in UNWANTED:
        return numbering.kept_entries
    if name == BIASED_SEQUENCES:
        return numbering.biased
    if name in NESTED:
        return lambda value: _settings(value, numbering)
    return numbering.table if name.endswith(TABLES_SUFFIX) else None


def _settings(value: Any, numbering: _Numbering) -> Any:
    """Renumber what settings by name hold, whatever the depth."""
    if not isinstance(value, dict):
        return value
    renewed = {}
    for name, entry in value.items():
        renew = None if entry is None else _renewal(name, numbering)
        if renew is None:
            renewed[name] = _settings(entry, numbering)
        elif renew != numbering.nested or numbering.keeps(entry):
            renewed[name] = renew(entry)
    return renewed


def _named(model: nn.Module) -> Iterator[tuple[str, int]]:
    """Tokens that generation or the forward pass may need, with the names they have."""
    for holder in _holders(model):
        for name, value in vars(holder).items():
            if name == "forced_decoder_ids":
                yield from ((name, token) for _, token in value or () if token is not None)
            elif name.endswith(REQUIRED_SUFFIXES) or name in REQUIRED_NAMES:
                yield from ((name, token) for token in _flat(value))


def _flat(value: Any) -> Iterator[int]:
    if isinstance(value, list | tuple):
        for entry in value:
            yield from _flat(entry)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value


def _holders(model: nn.Module) -> list[Any]:
    """Modules and configurations in which a token's number may stand, each once."""
    found: dict[int, Any] = {}
    for module in model.modules():
        found[id(module)] = module
        for held in (vars(module).get("config"), vars(module).get("generation_config")):
            if isinstance(held, PreTrainedConfig):
                for config in (held, held.get_text_config()):
                    found[id(config)] = config
            elif isinstance(held, GenerationConfig):
                found[id(held)] = held
    return list(found.values())
