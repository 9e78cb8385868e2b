"""How a model makes one embedding of a text: told by its folder, kept in its configuration.

A folder of sentence-transformers lists modules: the transformer, its pooling, and what follows, such as a
dense layer or the step to length one. They work on states whose width no cut changes. So their files go along
as they are, and sentence-transformers reads the cut folder as it read the dense one. What follows the pooling
belongs to the embedding: see :mod:`secateur.models.projection`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from secateur.core.errors import CheckpointError, UnsupportedArchitecture
from secateur.core.records import read_json
from secateur.models.projection import projection_of

POOLING = "sentence_pooling"
"""Name in a configuration; a model without it takes the mean over the tokens."""

MEAN, FIRST, LAST = "mean", "first token", "last token"
MODULES = "modules.json"
SETTINGS = ("sentence_bert_config.json", "config_sentence_transformers.json")
_MODE_OF = {MEAN: "mean_tokens", FIRST: "cls_token", LAST: "lasttoken"}
_MODES = {mode: pooling for pooling, mode in _MODE_OF.items()} | {"mean": MEAN, "cls": FIRST}
_COMPUTED = ("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout")
"""Modules of sentence-transformers that are computed here too."""

_STAY = (*_COMPUTED, "CNN", "LSTM")
"""Modules that go along with a cut: they know nothing of layers, heads, channels and tokens."""

_ATTRIBUTE = "secateur_sentence_modules"
_CARRIED, _PICKLED = (".json", ".safetensors", ".txt"), (".bin", ".pt", ".pth", ".pkl")


@dataclass(frozen=True, kw_only=True)
class SentenceModules:
    """What a folder tells sentence-transformers beside the transformer.

    Attributes
    ----------
    files : dict of bytes
        By place in the folder; none where it is no folder of sentence-transformers.
    lost : str or None
        What would not go along with a cut, why, and what to do.
    """

    files: dict[str, bytes]
    lost: str | None = None

    @cached_property
    def projection(self) -> nn.Module:
        """What becomes of a pooled embedding; nothing where no module follows the pooling.

        Raises
        ------
        CheckpointError, ConfigError
            See :func:`secateur.models.projection.projection_of`.
        """
        return projection_of([*_named(self.files.get(MODULES, b"[]"), MODULES)], self.files)

    def require_whole(self, folder: Path) -> None:
        """Check that everything goes along.

        Raises
        ------
        UnsupportedArchitecture
            Naming the module that does not.
        """
        if self.lost is not None:
            raise UnsupportedArchitecture(f"{folder}: {self.lost}")

    def write(self, folder: Path) -> None:
        """Write the files into the folder of a checkpoint."""
        for place, content in self.files.items():
            (folder / place).parent.mkdir(exist_ok=True)
            (folder / place).write_bytes(content)


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
    modules = list(_modules(folder))
    if others := sorted({kind for kind, _ in modules} - set(_COMPUTED)):
        return ", ".join(others)
    places = [place for kind, place in modules if kind == "Pooling"]
    try:
        told = read_json(folder / places[0] / "config.json") if places else {}
        modes = [name.removeprefix("pooling_mode_") for name, value in told.items() if value is True]
        modes += [told["pooling_mode"]] if "pooling_mode" in told else []
        return ", ".join(_MODES.get(mode, mode) for mode in modes if mode != "include_prompt") or MEAN
    except (KeyError, TypeError, AttributeError) as error:
        raise _unclear(folder / MODULES, error) from error


def read_modules(folder: Path) -> SentenceModules:
    """Read what a folder tells sentence-transformers.

    Raises
    ------
    CheckpointError
        If it cannot be understood.
    """
    if not (folder / MODULES).is_file():
        return SentenceModules(files={})
    files = [folder / name for name in (MODULES, *SETTINGS) if (folder / name).is_file()]
    for kind, place in _modules(folder):
        if kind not in _STAY:
            lost = (
                f"its module '{kind}' of sentence-transformers does not go along with a cut (those that do: "
                f"{', '.join(_STAY)}). Cut the transformer alone: copy the folder without {MODULES}."
            )
            return SentenceModules(files={}, lost=lost)
        own = sorted((folder / place).iterdir()) if place and (folder / place).is_dir() else []
        carried = [path for path in own if path.suffix in _CARRIED]
        pickled = [path for path in own if path.suffix in _PICKLED]
        if pickled and not any(path.suffix == ".safetensors" for path in carried):
            lost = (
                f"{place}/{pickled[0].name} is a pickle, which can run code and is not passed on; where you "
                "trust it, write safetensors by SentenceTransformer(FOLDER).save(NEW)."
            )
            return SentenceModules(files={}, lost=lost)
        files += carried
    return SentenceModules(files={path.relative_to(folder).as_posix(): path.read_bytes() for path in files})


def remember_modules(model: nn.Module, modules: SentenceModules) -> None:
    """Attach to a model what its folder told; copies and cuts of it keep that."""
    setattr(model, _ATTRIBUTE, modules)


def modules_of(model: nn.Module) -> SentenceModules:
    """Return what :func:`remember_modules` attached to a model or to the one it was cut from."""
    return getattr(model, _ATTRIBUTE, SentenceModules(files={}))


def _modules(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the modules of a folder of sentence-transformers: kind and place."""
    return _named((folder / MODULES).read_bytes(), folder / MODULES)


def _named(content: bytes, source: Path | str) -> Iterator[tuple[str, str]]:
    try:
        for entry in json.loads(content):
            yield entry["type"].rpartition(".")[2], Path(entry["path"]).name
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unclear(source, error) from error


def _unclear(source: Path | str, error: Exception) -> CheckpointError:
    return CheckpointError(f"{source} does not say how embeddings are pooled: {error!r}.")
