"""How far a streaming cut has come, so that an interrupted one goes on at the layer it was in."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secateur.core.errors import CheckpointError, ConfigError
from secateur.core.records import read_json, to_jsonable, write_json

STATE, SETTINGS, CHECKPOINT, STREAMS = "state.json", "settings.json", "checkpoint", "streams"


@dataclass(kw_only=True)
class Progress:
    """The folder of an unfinished cut, and what is done.

    Attributes
    ----------
    folder : Path
    scored : int
        Layers whose scores are there.
    cut : int
        Layers that are written.
    layout : dict or None
        How the work is split; the same after an interruption, so that the result is too.
    layers : list of dict
        What is kept of each layer that is written: ``groups`` and ``channels``.
    refits : list of dict
        Records of re-fitted projections.
    digests : dict of str to str
        SHA-256 of the files that are written.
    seconds : float
        Time spent before this process.
    """

    folder: Path
    scored: int = 0
    cut: int = 0
    layout: dict[str, Any] | None = None
    layers: list[dict[str, Any]] = field(default_factory=list)
    refits: list[dict[str, Any]] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @property
    def checkpoint(self) -> Path:
        """Folder in which the result grows."""
        return self.folder / CHECKPOINT

    @property
    def streams(self) -> Path:
        """Folder of what flows between layers."""
        return self.folder / STREAMS

    def scores(self, layer: int) -> Path:
        """File of the scores of a layer."""
        return self.folder / "scores" / f"layer-{layer:05d}.npz"

    def elapsed(self) -> float:
        """Seconds of work, those before an interruption included."""
        return self.seconds + time.perf_counter() - self.started

    def save(self) -> None:
        """Record what is done."""
        names = ("scored", "cut", "layout", "layers", "refits", "digests")
        write_json(
            self.folder / STATE, {name: getattr(self, name) for name in names} | {"seconds": self.elapsed()}
        )


def resume_or_start(folder: Path, settings: dict[str, Any]) -> Progress:
    """Open the folder of an interrupted cut, or begin a new one.

    Parameters
    ----------
    folder : Path
        Where unfinished work lies.
    settings : dict
        All that the result depends on, as JSON values.

    Raises
    ------
    ConfigError
        If the folder holds work with other settings, of which the message names the first.
    CheckpointError
        If what was recorded is damaged.
    """
    folder = Path(folder)
    wanted = to_jsonable(settings)
    if not (folder / SETTINGS).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SETTINGS, wanted)
    found = read_json(folder / SETTINGS)
    if not isinstance(found, dict):
        raise CheckpointError(f"{folder / SETTINGS} is damaged; remove {folder} to begin anew.")
    if found.keys() != wanted.keys():
        raise ConfigError(
            f"{folder} holds a cut that another version of secateur began; finish it with that version, or "
            "remove the folder to begin anew."
        )
    different = sorted(name for name in wanted if wanted[name] != found[name])
    if different:
        name = different[0]
        raise ConfigError(
            f"{folder} holds an interrupted cut with another {name} ({found[name]!r}, now "
            f"{wanted[name]!r}). Repeat that command to go on with it, or remove the folder."
        )
    if not (folder / STATE).is_file():
        return Progress(folder=folder)
    try:
        return Progress(folder=folder, **read_json(folder / STATE))
    except TypeError:
        raise CheckpointError(f"{folder / STATE} is damaged; remove {folder} to begin anew.") from None
