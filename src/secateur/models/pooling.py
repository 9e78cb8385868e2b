"""How a model makes one embedding of a text: told by its folder, kept in its configuration.

Whether embeddings are brought to length one, the longest text and prompts are nothing that a cut changes:
they go along, so that sentence-transformers reads the cut folder as it read the dense one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secateur.core.errors import CheckpointError
from secateur.core.records import read_json, write_json

POOLING = "sentence_pooling"
"""Name in a configuration; a model without it takes the mean over the tokens."""

SENTENCES = "sentence_settings"
"""Name in a configuration of what else the folder told sentence-transformers."""

MEAN, FIRST, LAST = "mean", "first token", "last token"
MODULES = "modules.json"
POOLING_FOLDER, NORMALIZE_FOLDER = "1_Pooling", "2_Normalize"
SETTINGS = ("sentence_bert_config.json", "config_sentence_transformers.json")
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
        kinds = _kinds(folder)
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


def read_sentence_settings(folder: Path) -> dict[str, Any]:
    """Return what else a folder tells sentence-transformers; nothing where it is not one of its folders.

    Returns
    -------
    dict
        ``normalize``, and ``files``: the content of :data:`SETTINGS` by name.
    """
    if not (folder / MODULES).is_file():
        return {}
    files = {name: read_json(folder / name) for name in SETTINGS if (folder / name).is_file()}
    return {"normalize": "Normalize" in _kinds(folder), "files": files}


def _kinds(folder: Path) -> dict[str, str]:
    """Return the modules of a folder of sentence-transformers: kind and place."""
    return {
        entry["type"].rpartition(".")[2]: Path(entry["path"]).name for entry in read_json(folder / MODULES)
    }


def write_pooling(folder: Path, config: Any, *, hidden: int) -> None:
    """Tell sentence-transformers how embeddings are made, where that is not its default, the mean.

    Parameters
    ----------
    folder : Path
        A plain folder.
    config : object
        Of the model in it.
    hidden : int
        Width of an embedding.
    """
    pooling, told = getattr(config, POOLING, MEAN), getattr(config, SENTENCES, {})
    if pooling not in _MODE_OF or (pooling == MEAN and not told):
        return
    kinds = {"Transformer": "", "Pooling": POOLING_FOLDER}
    if told.get("normalize"):
        kinds["Normalize"] = NORMALIZE_FOLDER
    for name, content in told.get("files", {}).items():
        write_json(folder / name, content)
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(kinds.items())
    ]
    write_json(folder / MODULES, modules)
    modes = {f"pooling_mode_{mode}": pooling == name for name, mode in _MODE_OF.items()}
    (folder / POOLING_FOLDER).mkdir(exist_ok=True)
    write_json(folder / POOLING_FOLDER / "config.json", {"word_embedding_dimension": hidden, **modes})
