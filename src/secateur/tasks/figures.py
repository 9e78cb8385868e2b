"""The figures of a model on validation samples, one class for each kind of task."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal

from secateur.core.errors import CheckpointError, ConfigError

Direction = Literal["higher", "lower"]


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The figure by which models of a task are compared.

    Parameters
    ----------
    figure : str
        Name of a field of the figures.
    better : {"higher", "lower"}
    words : str
        For tables and pictures.
    """

    figure: str
    better: Direction
    words: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A model on the validation samples; the base class is that of a model that was not measured.

    Parameters
    ----------
    parameters : int
        Of the whole model as deployed.
    loss : float or None
        Mean loss of a sample (of a token, for language models) in nats, or the distance to the dense answer.
    kl : float or None
        Mean divergence from the dense model's answer, in nats where answers are probabilities.
    """

    headline: ClassVar[Headline | None] = None

    parameters: int
    loss: float | None = None
    kl: float | None = None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Figures:
        """Read figures of any task back.

        Raises
        ------
        CheckpointError
            If the keys are those of no task.
        """
        for kind in (Figures, ClassFigures, TextFigures, EmbeddingFigures):
            if {field.name for field in fields(kind)} == set(value):
                return kind(**value)
        raise CheckpointError(f"figures with {', '.join(sorted(value))} are those of no known task.")

    def value(self, figure: str, *, option: str) -> float:
        """Return one figure by name.

        Raises
        ------
        ConfigError
            If the task has none of that name; the message names the option that asked for it.
        """
        found = getattr(self, figure, None)
        if found is None:
            known = [name for name, own in asdict(self).items() if own is not None and name != "parameters"]
            raise ConfigError(
                f"{option} is a limit on {figure.replace('_', ' ')}, which this task does not measure; "
                + (f"it measures {', '.join(known)}. " if known else "nothing is held back to measure on. ")
                + "Leave the option out."
            )
        return found


@dataclass(frozen=True, kw_only=True)
class ClassFigures(Figures):
    """A classifier.

    Parameters
    ----------
    accuracy, macro_f1 : float
    agreement : float
        Share of samples to which it gives the class that the dense model gives.
    """

    headline: ClassVar = Headline(figure="accuracy", better="higher", words="validation accuracy")

    accuracy: float
    macro_f1: float
    agreement: float


@dataclass(frozen=True, kw_only=True)
class TextFigures(Figures):
    """A language model.

    Parameters
    ----------
    perplexity : float
        ``exp`` of the mean negative log-likelihood of a predicted token.
    agreement : float
        Share of places at which it holds the token likeliest that the dense model holds likeliest.
    """

    headline: ClassVar = Headline(figure="perplexity", better="lower", words="validation perplexity")

    perplexity: float
    agreement: float


@dataclass(frozen=True, kw_only=True)
class EmbeddingFigures(Figures):
    """An encoder.

    Parameters
    ----------
    similarity : float
        Mean cosine between its embedding of a sentence and the dense model's.
    """

    headline: ClassVar = Headline(figure="similarity", better="higher", words="similarity to dense")

    similarity: float
