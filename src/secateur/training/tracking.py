"""Curves of a training in TensorBoard, MLflow or Weights & Biases, beside the record that every run keeps."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any, Protocol

from secateur.core.errors import ConfigError, MissingPackage

PROJECT = "secateur"
FOLDER = "runs"
"""TensorBoard's own default; the others go where their environment variables say."""
TRACKERS = ("tensorboard", "mlflow", "wandb")

_chosen: ContextVar[tuple[str, ...]] = ContextVar("trackers", default=())


class Curves(Protocol):
    """Where the figures of one training go."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Add figures at a step."""


@contextmanager
def tracking(names: Sequence[str]) -> Iterator[None]:
    """Let every training inside the block show its curves in these trackers.

    Parameters
    ----------
    names : sequence of str
        Of :data:`TRACKERS`.

    Raises
    ------
    ConfigError
        If a name is unknown.
    MissingPackage
        If a tracker is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"--track: '{name}' is not known; allowed: {', '.join(TRACKERS)}.")
        if find_spec(name) is None:
            raise MissingPackage(f"--track {name}: not installed; run: pip install {name}", name=name)
    token = _chosen.set(tuple(dict.fromkeys(names)))
    try:
        yield
    finally:
        _chosen.reset(token)


def require_training(training: bool) -> None:
    """Refuse trackers where nothing will be trained.

    Raises
    ------
    ConfigError
        If some were chosen all the same.
    """
    if _chosen.get() and not training:
        raise ConfigError(
            f"--track {','.join(_chosen.get())}: nothing is trained; add --recovery-steps or "
            "--recovery-minutes, or leave it out."
        )


@contextmanager
def curves(description: str, settings: Mapping[str, Any]) -> Iterator[Curves]:
    """Open one run in each chosen tracker; it is closed at the end of the block, failed or not.

    Parameters
    ----------
    description : str
        What is trained; becomes the name of the run, with the time.
    settings : mapping
        Recorded with the run, nested mappings by dotted names.
    """
    opened = [_open(name, description, dict(_flat(settings))) for name in _chosen.get()]
    try:
        yield _All(opened)
    finally:
        for tracker in opened:
            tracker.finish()


class _All:
    def __init__(self, trackers: Sequence[Any]) -> None:
        self._trackers = trackers

    def log(self, values: Mapping[str, float], step: int) -> None:
        for tracker in self._trackers:
            tracker.log(dict(values), step=step)


def _open(name: str, description: str, settings: dict[str, Any]) -> Any:
    from accelerate.tracking import MLflowTracker, TensorBoardTracker, WandBTracker

    run = f"{re.sub(r'[^A-Za-z0-9.]+', '-', description)}-{time.strftime('%Y%m%d-%H%M%S')}"
    if name == "tensorboard":
        tracker = TensorBoardTracker(f"{PROJECT}/{run}", logging_dir=FOLDER)
    elif name == "mlflow":
        tracker = MLflowTracker(PROJECT, run_name=run)
    else:
        tracker = WandBTracker(PROJECT, name=run)
    tracker.start()
    tracker.store_init_configuration(settings)
    return tracker


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, bool | int | float | str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value if isinstance(value, (bool, int, float)) else str(value)
