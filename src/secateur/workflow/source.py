"""A model of tokens to be cut: one that others have trained, or a checkpoint of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.loading_bars import no_bars
from secateur.models.pooling import modules_of
from secateur.models.pretrained import folder_of, open_pretrained
from secateur.workflow.outline import model_on_meta


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model to be cut.

    Attributes
    ----------
    name : str
        As it was given.
    model : transformers.PreTrainedModel
    tokenizer : PreTrainedTokenizerBase or None
    folder : Path or None
        Where its files lie; None for a model in memory.
    where_tokenizer : str
        How to give the tokenizer of a model that has none, for messages.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase | None
    folder: Path | None = None
    where_tokenizer: str = "put the tokenizer's files into its folder"


def open_source(name: str) -> Source:
    """Open a ``transformers`` folder, a GGUF file, a name on the hub, or a checkpoint of ours.

    Raises
    ------
    SecateurError
        See :func:`secateur.models.pretrained.open_pretrained` and :func:`secateur.models.checkpoint.load`;
        or if a module beside the transformer would be lost.
    """
    folder = Path(name)
    if checkpoint.kind_of(folder) == "transformer":
        return Source(
            name=name,
            model=checkpoint.load(folder),
            tokenizer=checkpoint.load_tokenizer(folder),
            folder=folder,
        )
    # what cannot be cut is refused before weights are fetched or read
    bind(model_on_meta(folder_of(name, weights=False)))
    with no_bars():
        opened = open_pretrained(name)
    modules_of(opened.model).require_whole(opened.folder)
    return Source(name=name, model=opened.model, tokenizer=opened.tokenizer, folder=opened.folder)
