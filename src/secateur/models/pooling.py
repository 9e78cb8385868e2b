"""How a model makes one embedding of a text: told by its folder, kept in its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secateur.core.errors import CheckpointError
from secateur.core.records import read_json, write_json

POOLING = "sentence_pooling"
"""Name in a configuration; a model without it takes the mean over the tokens."""

MEAN, FIRST, LAST = "mean", "first token", "last token"
MODULES = "modules.json"
POOLING_FOLDER = "1_Pooling"
_MODE_OF = {MEAN: "mean_tokens", FIRST: "cls_token", LAST: "lasttoken"}
_MODES = {mode: pooling for pooling, mode in _MODE_OF.items()} | {"mean": MEAN, "cls": FIRST}
_OTHERWISE = ("Transformer", "Pooling", "Normalize")
"""Modules of sentence-transformers that keep the direction of a pooled embedding."""


def read_pooling(folder: Path) -> str:
    """Return what a folder of sentence-transformers makes of the last hidden states of a text.

    Returns
    -------
    str
        :data:`MEAN` (also where the folder says nothing), :data:`FIRST`, :data:`LAST`, or the name of
        something else, which nothing here computes.

    Raises
    ------
    CheckpointError
        If what it says cannot be understood.
    """
    if not (folder / MODULES).is_file():
        return MEAN
    try:
        kinds = {
            entry["type"].rpartition(".")[2]: Path(entry["path"]).name
            for entry in read_json(folder / MODULES)
        }
        if others := sorted(kinds.keys() - set(_OTHERWISE)):
            return ", ".join(others)
        if "Pooling" not in kinds:
            return MEAN
        told = read_json(folder / kinds["Pooling"] / "config.json")
        modes = [name.removeprefix("pooling_mode_") for name, value in told.items() if value is True]
        modes += [told["pooling_mode"]] if "pooling_mode" in told else []
        return ", ".join(_MODES.get(mode, mode) for mode in modes if mode != "include_prompt") or MEAN
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{folder / MODULES} does not say how embeddings are pooled: {error!r}."
        ) from error


def write_pooling(folder: Path, config: Any, *, hidden: int) -> None:
    """Tell sentence-transformers how embeddings are pooled, where that is not its default, the mean.

    Parameters
    ----------
    folder : Path
        A plain folder.
    config : object
        Of the model in it.
    hidden : int
        Width of an embedding.
    """
    pooling = getattr(config, POOLING, MEAN)
    if pooling == MEAN or pooling not in _MODE_OF:
        return
    kinds = {"Transformer": "", "Pooling": POOLING_FOLDER}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(kinds.items())
    ]
    write_json(folder / MODULES, modules)
    modes = {f"pooling_mode_{mode}": pooling == name for name, mode in _MODE_OF.items()}
    (folder / POOLING_FOLDER).mkdir(exist_ok=True)
    write_json(folder / POOLING_FOLDER / "config.json", {"word_embedding_dimension": hidden, **modes})
