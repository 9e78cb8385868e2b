"""What a model puts out, told by its class: the one place that asks what kind of model it is."""

from __future__ import annotations

from typing import Any

from torch import nn

from secateur.core.errors import ConfigError
from secateur.models.attributes import config_of


def is_causal_lm(model: nn.Module) -> bool:
    """Whether a model predicts the next token."""
    return type(model).__name__.endswith(("ForCausalLM", "LMHeadModel"))


def is_text_classifier(model: nn.Module) -> bool:
    """Whether a model gives a text one of several classes; a regression, or many labels at once, is none."""
    if not type(model).__name__.endswith("ForSequenceClassification"):
        return False
    config = config_of(model)
    return config.num_labels > 1 and config.problem_type in (None, "single_label_classification")


def is_diagnoser(model: nn.Module) -> bool:
    """Whether a model gives a class to a window of vibration."""
    return "waveform" in getattr(model, "input_names", ())


def classes_of(model: nn.Module) -> tuple[str, ...]:
    """Return the names of a model's classes in the order of its logits; none where it gives no class."""
    config = config_of(model)
    if is_diagnoser(model):
        return tuple(config.classes)
    numbers = range(config.num_labels) if is_text_classifier(model) else ()
    return tuple(str(config.id2label[number]) for number in numbers)


def chance_of(model: nn.Module) -> float:
    """Return the accuracy of guessing; 0 for a model that gives no class."""
    classes = classes_of(model)
    return 1 / len(classes) if classes else 0.0


def reads_sentences(model: nn.Module, tokenizer: Any) -> bool:
    """Whether a model is shown sentences, padded and masked; else blocks of running text."""
    return not is_causal_lm(model) and tokenizer.pad_token is not None


def require_text_model(
    model: nn.Module,
    option: str = "--calibration",
    instead: str = "cut it without data (--criterion magnitude)",
) -> None:
    """Check that a model takes one text.

    Parameters
    ----------
    model : nn.Module
    option : str
        What gave the text.
    instead : str
        What can be done with a model that takes something else.

    Raises
    ------
    ConfigError
        If it takes something else.
    """
    takes_tokens = model.main_input_name == "input_ids"
    if not takes_tokens or config_of(model).is_encoder_decoder:
        taken = "two texts" if takes_tokens else model.main_input_name
        raise ConfigError(f"{option} is one text, but {type(model).__name__} takes {taken}; {instead}.")


def require_encoder(model: nn.Module) -> None:
    """Check that a model gives embeddings of texts.

    Raises
    ------
    ConfigError
        If it does not.
    """
    if is_causal_lm(model) or model.main_input_name != "input_ids" or config_of(model).is_encoder_decoder:
        raise ConfigError(
            f"{type(model).__name__} is no encoder of text, whose embeddings could be compared"
            + ("; measure its perplexity: give --text FILE." if is_causal_lm(model) else ".")
        )


def require_causal_lm(model: nn.Module, instead: str = "") -> None:
    """Check that a model predicts the next token; ``instead`` ends the message with what else can be done.

    Raises
    ------
    ConfigError
        If it does not.
    """
    if not is_causal_lm(model):
        raise ConfigError(
            f"{type(model).__name__} predicts no next token; give a causal language model "
            f"(a transformers class that ends in ForCausalLM or LMHeadModel){instead}."
        )
