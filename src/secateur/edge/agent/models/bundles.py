"""All bundles of an agent: those that sensors name are at work, others lie ready."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from secateur.core.errors import ConfigError, SecateurError
from secateur.edge.agent.config.file import AgentConfig, Models
from secateur.edge.agent.models.slot import ModelSlot, described
from secateur.edge.agent.models.store import Choice, ModelStore
from secateur.edge.foundation import SHIPPED

log = logging.getLogger(__name__)

MODELS_FOLDER = "models"
SHIPPED_NAME = "foundation"
"""By this name sensors ask for the diagnoser that comes with the package."""


class UnknownBundle(ConfigError):
    """No sensor names a bundle like that."""


class Bundles:
    """What is installed, and what of it is loaded.

    Parameters
    ----------
    state_folder : Path
        Of the agent.
    settings : Models

    Attributes
    ----------
    store : ModelStore
    slots : dict
        Bundles at work, by the name that sensors give.
    """

    def __init__(self, state_folder: Path, settings: Models) -> None:
        self.settings = settings
        self.store = store_of(state_folder, settings)
        self.slots: dict[str, ModelSlot] = {}

    def load(self, names: Iterable[str]) -> None:
        """Put the bundles that sensors name to work; one of which no version can be used says so itself."""
        for name in names:
            if name not in self.slots:
                self._install_shipped(name)
                self.slots[name] = ModelSlot(name, self.store, self.settings)

    def _install_shipped(self, name: str) -> None:
        """Install the diagnoser that comes with the package, where a sensor asks for it the first time."""
        if name != SHIPPED_NAME or self.store.versions(name):
            return
        try:
            installed = self.store.install(SHIPPED, name=name)
        except SecateurError as error:
            log.error("the diagnoser that comes with the package is not used: %s", error)
            return
        self.store.choose(name, Choice(active=installed.version))

    def slot(self, name: str) -> ModelSlot:
        """Return the bundle of a name.

        Raises
        ------
        UnknownBundle
            If no sensor names one like that.
        """
        if name not in self.slots:
            known = ", ".join(sorted(self.slots)) or "none"
            raise UnknownBundle(f"no sensor uses a bundle '{name[:64]}'; sensors use {known}.")
        return self.slots[name]

    def install(self, bundle: Path, *, name: str | None = None) -> dict[str, str]:
        """Check, try and install a bundle, and let it run in the shadow, or work where none does.

        Parameters
        ----------
        bundle : Path
            Folder or archive.
        name : str, optional
            By which sensors name it; default: that of its manifest.

        Returns
        -------
        dict
            Its ``name``, its ``version``, and its ``state``: ``active``, ``candidate``, or ``installed`` if
            no sensor names it.

        Raises
        ------
        SecateurError
            If it is refused; nothing has changed.
        """
        installed = self.store.install(bundle, name=name)
        slot = self.slots.get(installed.name)
        state = "installed" if slot is None else slot.add(installed)
        return {"name": installed.name, "version": installed.version, "state": state}

    def status(self) -> dict[str, Any]:
        """Return all bundles: those that sensors name, and others that are installed."""
        return _overview([slot.status() for slot in self.slots.values()], self.store)


def store_of(state_folder: Path, settings: Models) -> ModelStore:
    """Return the store of an agent's bundles."""
    return ModelStore(
        state_folder / MODELS_FOLDER, trusted=settings.trusted_keys, accept_unfit=settings.accept_unfit
    )


def named_bundles(config: AgentConfig) -> list[str]:
    """Return the names of the bundles that sensors ask for, each once."""
    names = [sensor.bundle for _, sensor in config.places().values() if sensor.bundle is not None]
    return list(dict.fromkeys(names))


def seen_from_outside(config: AgentConfig) -> dict[str, Any]:
    """Return what an agent would load if it started now, like :meth:`Bundles.status`; nothing is changed."""
    store = store_of(config.state_folder, config.models)
    return _overview([_seen(store, name) for name in named_bundles(config)], store)


def _overview(models: list[dict[str, Any]], store: ModelStore) -> dict[str, Any]:
    named = {model["name"] for model in models}
    return {
        "models": models,
        "unused": [
            {"name": name, "versions": store.versions(name)} for name in store.names() if name not in named
        ],
        "installable": bool(store.trusted),
    }


def require_bundles(config: AgentConfig) -> dict[str, str]:
    """Return the version of each bundle that an agent would put to work if it started now.

    Raises
    ------
    ConfigError
        If a sensor names a bundle of which no version can be used.
    """
    found = {}
    for model in seen_from_outside(config)["models"]:
        name, active = model["name"], model["active"]
        if active is None:
            user = next(
                f"{machine}/{sensor}"
                for (machine, sensor), (_, settings) in config.places().items()
                if settings.bundle == name
            )
            raise ConfigError(
                f"sensor {user}: {model['trouble']} Use 'secateur models install', or leave 'bundle' out to "
                "watch by limits alone."
            )
        found[name] = active["version"]
    return found


def _seen(store: ModelStore, name: str) -> dict[str, Any]:
    choice = store.choice(name)
    active, trouble, refused = None, "", []
    if name == SHIPPED_NAME and not store.versions(name):
        active = described(store.loaded(SHIPPED))
    else:
        try:
            runtime, refused = store.best(name)
            active = described(runtime)
        except SecateurError as error:
            trouble = str(error)
    return {
        "name": name,
        "active": active,
        "former": choice.former[0] if choice.former else None,
        "versions": store.versions(name),
        "trouble": trouble,
        "rolled_back": refused,
        "shadow": None,
        "candidate": choice.candidate,
    }
