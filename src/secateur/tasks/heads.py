"""What a model puts out, told by its class: the one place that asks what kind of model it is."""

from __future__ import annotations

from torch import nn

from secateur.core.errors import ConfigError
from secateur.models.attributes import config_of


def is_causal_lm(model: nn.Module) -> bool:
    """Whether a model predicts the next token."""
    return type(model).__name__.endswith(("ForCausalLM", "LMHeadModel"))


def is_text_classifier(model: nn.Module) -> bool:
    """Whether a model gives a class to a text."""
    return type(model).__name__.endswith("ForSequenceClassification")


def is_diagnoser(model: nn.Module) -> bool:
    """Whether a model gives a class to a window of vibration."""
    return "waveform" in getattr(model, "input_names", ())


def chance_of(model: nn.Module) -> float:
    """Return the accuracy of guessing; 0 for a model that gives no class."""
    if is_diagnoser(model):
        return 1 / len(config_of(model).classes)
    return 1 / config_of(model).num_labels if is_text_classifier(model) else 0.0


def require_causal_lm(model: nn.Module) -> None:
    """Check that a model predicts the next token.

    Raises
    ------
    ConfigError
        If it does not.
    """
    if not is_causal_lm(model):
        raise ConfigError(
            f"{type(model).__name__} predicts no next token; give a causal language model "
            "(a transformers class that ends in ForCausalLM or LMHeadModel)."
        )
