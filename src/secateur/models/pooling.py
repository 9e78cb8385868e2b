"""How a model makes one embedding of a text: told by its folder, kept in its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secateur.core.errors import CheckpointError
from secateur.core.records import read_json

POOLING = "sentence_pooling"
"""Name in a configuration; a model without it takes the mean over the tokens."""

MEAN, FIRST, LAST = "mean", "first token", "last token"
MODULES = "modules.json"
_MODES = {"mean_tokens": MEAN, "cls_token": FIRST, "lasttoken": LAST, "mean": MEAN, "cls": FIRST}
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
        kinds = {entry["type"].rpartition(".")[2]: Path(entry["path"]).name for entry in _listed(folder)}
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


def _listed(folder: Path) -> list[dict[str, Any]]:
    return list(read_json(folder / MODULES))
