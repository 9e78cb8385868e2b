"""The bundles of an agent that is not running, changed through its configuration and its state folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secateur.core.locks import sole_owner
from secateur.edge.agent.config.file import read_config
from secateur.edge.agent.models.bundles import Bundles, named_bundles, seen_from_outside, store_of
from secateur.edge.agent.models.slot import ModelSlot


class StoppedAgent:
    """Looks after bundles as the agent itself would; see :class:`RunningAgent` for one that is running.

    Parameters
    ----------
    config : Path
        YAML file of the agent.

    Raises
    ------
    ConfigError
        If it cannot be used. Methods that change something raise it where the agent is running.
    """

    def __init__(self, config: Path) -> None:
        self._config = read_config(config)

    @contextmanager
    def _bundles(self) -> Iterator[Bundles]:
        with sole_owner(self._config.state_folder):
            bundles = Bundles(self._config.state_folder, self._config.models)
            bundles.load(named_bundles(self._config))
            yield bundles

    def _changed(self, name: str, change: Callable[[ModelSlot], object]) -> dict[str, Any]:
        with self._bundles() as bundles:
            slot = bundles.slot(name)
            change(slot)
            return slot.status()

    def list(self) -> dict[str, Any]:
        """Return all bundles."""
        return seen_from_outside(self._config)

    def install(self, bundle: Path, *, name: str | None) -> dict[str, Any]:
        """Install a bundle; see :meth:`Bundles.install`."""
        with self._bundles() as bundles:
            return bundles.install(bundle, name=name)

    def activate(self, name: str, version: str) -> dict[str, Any]:
        """Put an installed version to work."""
        return self._changed(name, lambda slot: slot.activate(version))

    def shadow(self, name: str, version: str | None) -> dict[str, Any]:
        """Let an installed version run beside the active one, or none."""
        return self._changed(name, lambda slot: slot.shadow(version))

    def roll_back(self, name: str) -> dict[str, Any]:
        """Put the former version to work again."""
        return self._changed(name, ModelSlot.roll_back)

    def self_test(self, name: str, version: str | None) -> dict[str, Any]:
        """Check installed versions as at their installation."""
        store = store_of(self._config.state_folder, self._config.models)
        return {"name": name, "versions": store.self_test(name, version)}
