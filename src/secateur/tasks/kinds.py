"""Which objective a model has, and whether it fits a task."""

from __future__ import annotations

from torch import nn

from secateur.core.errors import ConfigError
from secateur.tasks.classification import Classification
from secateur.tasks.embedding import Embedding
from secateur.tasks.heads import is_causal_lm, is_diagnoser, is_text_classifier
from secateur.tasks.next_token import NextToken
from secateur.tasks.objective import Objective


def objective_of(model: nn.Module) -> Objective:
    """Return how a model is judged, by what it puts out.

    An encoder without a head of a known kind is judged by its embeddings.
    """
    if is_diagnoser(model):
        return Classification(rounds=False)
    if is_causal_lm(model):
        return NextToken()
    return Classification(rounds=True) if is_text_classifier(model) else Embedding()


NEEDED = {
    "language": "predicts no next token; give a causal language model (a transformers class that ends in "
    "ForCausalLM or LMHeadModel)",
    "classification": "gives no class; give a Diagnoser for windows of vibration, or for texts a "
    "transformers class that ends in ForSequenceClassification and gives one of two or more labels",
    "embedding": "has a head of its own; embeddings are compared of encoders without one",
}


def require_fit(model: nn.Module, objective: Objective, task: str) -> None:
    """Check that a model puts out what a task judges.

    Raises
    ------
    ConfigError
        If its head is another one.
    """
    if objective_of(model).name != objective.name:
        raise ConfigError(f"{type(model).__name__} {NEEDED[objective.name]}, or another --task than {task}.")
