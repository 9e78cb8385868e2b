"""Attributes of modules by path, with a configuration of its own for a module that needs one."""

from __future__ import annotations

from typing import Any

from torch import nn


def config_of(model: nn.Module) -> Any:
    """Return the configuration of a model, of whose values PyTorch's types know nothing."""
    config: Any = model.config
    return config


def vocabulary_size(model: nn.Module) -> int:
    """Return the tokens that a model of text knows."""
    return int(config_of(model).get_text_config().vocab_size)


def embedding_rows(model: nn.Module) -> int:
    """Return how many tokens the embedding of a model of text has a row for."""
    whole: Any = model
    return int(whole.get_input_embeddings().weight.shape[0])


def counts_behind_padding(model: nn.Module) -> bool:
    """Whether a model numbers the positions of a text from behind the number of its padding token."""
    base = getattr(model, "base_model", model)
    return hasattr(getattr(base, "embeddings", None), "create_position_ids_from_input_ids")


def positions_of(config: Any) -> int | None:
    """Return the positions that the configuration of a model of text tells; None where it tells none."""
    for name in ("max_position_embeddings", "max_seq_len"):
        if (told := getattr(config, name, None)) is not None:
            return int(told)
    return None


def most_tokens(model: nn.Module) -> int | None:
    """Return the tokens of the longest text that a model takes; None where nothing sets a limit."""
    config = config_of(model).get_text_config()
    positions = positions_of(config)
    if positions is None or not counts_behind_padding(model):
        return positions
    return int(positions - (config.pad_token_id or 0) - 1)


def tokens_that_fit(model: nn.Module, wanted: int) -> int:
    """Return how many tokens to give a model at once: as many as wanted, at most as many as it takes."""
    return min(wanted, most_tokens(model) or wanted)


def padding_token(model: nn.Module, tokenizer: Any) -> int | None:
    """Return the token that fills rows up: the model's own, else its tokenizer's; None where neither has one.

    A decoder that gives classes looks for the last token that is none of the model's padding.
    """
    own = config_of(model).get_text_config().pad_token_id
    return tokenizer.pad_token_id if own is None else own


class OwnConfig:
    """A model's configuration as one module sees it: some values its own, all others those of the model.

    A copy would not do: what is changed later in the model's configuration, such as the attention kernel,
    must reach the module too.

    Parameters
    ----------
    shared : object
        The model's configuration.
    own : dict
        What differs.
    """

    def __init__(self, shared: Any, own: dict[str, Any]) -> None:
        self.__dict__.update(_shared=shared, _own=own)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        own = self.__dict__["_own"]
        return own[name] if name in own else getattr(self.__dict__["_shared"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._own[name] = value


def read_attribute(module: nn.Module, path: str) -> Any:
    """Return the attribute at a dotted path."""
    value: Any = module
    for name in path.split("."):
        value = getattr(value, name)
    return value


def set_attribute(module: nn.Module, path: str, value: Any) -> None:
    """Set the attribute at a dotted path.

    Where the path leads through ``config``, which all modules of a model share, the module is first given
    one of its own, unless the value is there already.
    """
    *owners, name = path.split(".")
    holder: Any = module
    for owner in owners:
        former, holder = holder, getattr(holder, owner)
        if owner == "config" and not isinstance(holder, OwnConfig):
            if getattr(holder, name) == value:
                return
            holder = OwnConfig(holder, {})
            setattr(former, owner, holder)
    setattr(holder, name, value)
