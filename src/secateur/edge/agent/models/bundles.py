"""All bundles of an agent: those that sensors name are at work, others lie ready."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.core.errors import ConfigError, SecateurError
from secateur.edge.agent.config.settings import AgentConfig, Models
from secateur.edge.agent.models.fit import misfits
from secateur.edge.agent.models.slot import ModelSlot, described
from secateur.edge.agent.models.store import Choice, ModelStore
from secateur.edge.foundation import SHIPPED
from secateur.edge.runtime import Runtime

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
        slots: dict[str, ModelSlot] = {}
        for name in names:
            if name not in self.slots:
                self._install_shipped(name)
            slots[name] = self.slots.get(name) or ModelSlot(name, self.store, self.settings)
        self.slots = slots

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


@dataclass(frozen=True, kw_only=True)
class TriedBundle:
    """A bundle that sensors name, loaded as an agent would if it started now.

    Attributes
    ----------
    name : str
    runtime : Runtime or None
        Of the version that would be at work; None if there is none.
    refused : list of str
        Why versions before it are not used.
    trouble : str
        Why none can be used; empty if one can.
    """

    name: str
    runtime: Runtime | None
    refused: list[str]
    trouble: str = ""


def tried_bundle(store: ModelStore, name: str) -> TriedBundle:
    """Load the bundle of a name; nothing is changed."""
    try:
        if name == SHIPPED_NAME and not store.versions(name):
            return TriedBundle(name=name, runtime=store.loaded(SHIPPED), refused=[])
        runtime, refused = store.best(name)
    except SecateurError as error:
        return TriedBundle(name=name, runtime=None, refused=[], trouble=str(error))
    return TriedBundle(name=name, runtime=runtime, refused=refused)


def bundle_troubles(config: AgentConfig, bundles: Iterable[TriedBundle]) -> Iterator[str]:
    """Yield for each sensor why the bundle that it names can say nothing about it."""
    tried = {bundle.name: bundle for bundle in bundles}
    for (machine, name), (_, sensor) in config.places().items():
        if sensor.bundle is None:
            continue
        runtime, label = tried[sensor.bundle].runtime, f"sensor {machine}/{name}, bundle {sensor.bundle}"
        if runtime is None:
            yield (
                f"{label}: {tried[sensor.bundle].trouble} Use 'secateur models install', or leave 'bundle' "
                "out to watch by limits alone"
            )
        else:
            yield from (f"{label}: {reason}" for reason in misfits(runtime.manifest, sensor))


def _seen(store: ModelStore, name: str) -> dict[str, Any]:
    choice, tried = store.choice(name), tried_bundle(store, name)
    return {
        "name": name,
        "active": None if tried.runtime is None else described(tried.runtime),
        "former": choice.former[0] if choice.former else None,
        "versions": store.versions(name),
        "trouble": tried.trouble,
        "rolled_back": tried.refused,
        "shadow": None,
        "candidate": choice.candidate,
    }
