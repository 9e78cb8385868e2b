"""One bundle at work: the active version answers, a candidate shadows it, a failing one is replaced."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from secateur.core.errors import ConfigError, SecateurError
from secateur.edge.agent.config.settings import Models as ModelSettings
from secateur.edge.agent.models.opinion import Opinion
from secateur.edge.agent.models.store import Choice, Installed, ModelStore
from secateur.edge.runtime import Runtime

log = logging.getLogger(__name__)

Asked = Callable[[Runtime], Opinion]


@dataclass
class _Shadow:
    """A candidate and how often it said the same as the active version; two that cannot say agree, too."""

    runtime: Runtime
    bursts: int = 0
    same: int = 0
    answered: int = 0
    active_answered: int = 0
    failures: int = 0

    @property
    def agreement(self) -> float:
        return self.share(self.same)

    def share(self, count: int) -> float:
        return count / self.bursts if self.bursts else 0.0


class ModelSlot:
    """The versions of one bundle that are loaded.

    Parameters
    ----------
    name : str
    store : ModelStore
    settings : ModelSettings

    Attributes
    ----------
    trouble : str
        Why no version can be used; empty while one is.
    """

    def __init__(self, name: str, store: ModelStore, settings: ModelSettings) -> None:
        self.name, self._store, self._settings = name, store, settings
        self._lock = threading.RLock()
        self._failures = 0
        self.trouble = ""
        self.rolled_back: list[str] = []
        self._active: Runtime | None = None
        self._former: Runtime | None = None
        self._shadow: _Shadow | None = None
        self._load()

    def _load(self) -> None:
        try:
            self._active, refused = self._store.open_best(self.name)
            self.rolled_back.extend(refused)
            for reason in refused:
                log.error("bundle %s: a version was passed over at the start: %s", self.name, reason)
        except SecateurError as error:
            self.trouble = str(error)
            log.error("%s", error)
            return
        choice = self._store.choice(self.name)
        self._former = self._open_quietly(choice.former[0]) if choice.former else None
        if choice.candidate is not None and (runtime := self._open_quietly(choice.candidate)) is not None:
            self._shadow = _Shadow(runtime=runtime)

    def _open_quietly(self, version: str) -> Runtime | None:
        try:
            return self._store.open(self.name, version)
        except SecateurError as error:
            log.warning("bundle %s version %s is not kept ready: %s", self.name, version, error)
            return None

    def ask(self, question: Asked) -> Opinion | None:
        """Return the answer of the active version, or of the former one where it fails, or None."""
        with self._lock:
            active, former, shadow = self._active, self._former, self._shadow
        if active is None:
            return None
        answer = None
        try:
            answer = question(active)
            self._failures = 0
        except Exception as error:  # whatever a model does, the burst gets an answer
            log.exception("bundle %s version %s failed", self.name, active.version)
            answer = self._after_failure(question, active, former, error)
        if shadow is not None:
            self._compare(question, shadow, answer)
        return answer

    def _after_failure(
        self, question: Asked, active: Runtime, former: Runtime | None, error: Exception
    ) -> Opinion | None:
        self._failures += 1
        answer = None
        if former is not None:
            try:
                answer = question(former)
            except Exception:
                log.exception("the former version %s failed too", former.version)
                return None
            if self._failures >= self._settings.roll_back_after:
                with self._lock:
                    if self._active is active:
                        self._roll_back(f"{active.version}: failed {self._failures} times in a row ({error})")
        return answer

    def _compare(self, question: Asked, shadow: _Shadow, answer: Opinion | None) -> None:
        shadow.bursts += 1
        shadow.active_answered += answer is not None and answer.label is not None
        try:
            other = question(shadow.runtime)
            shadow.answered += other.label is not None
            shadow.same += answer is not None and other.label == answer.label
        except Exception:
            log.exception("candidate %s of bundle %s failed", shadow.runtime.version, self.name)
            shadow.failures += 1
        enough = shadow.bursts >= self._settings.shadow_bursts
        if enough and self._settings.activate == "after_shadow" and shadow.failures == 0:
            with self._lock:
                if self._shadow is shadow and shadow.agreement >= self._settings.least_agreement:
                    self._activate(shadow.runtime)

    def add(self, installed: Installed) -> str:
        """Take a version that was just installed: into the shadow, or to work where none is active.

        Returns
        -------
        {"active", "candidate"}
        """
        with self._lock:
            if self._active is None:
                self._activate(installed.runtime)
                return "active"
            if installed.version == self._active.version:
                return "active"
            self._run_beside(installed.runtime)
            return "candidate"

    def shadow(self, version: str | None) -> None:
        """Let an installed version run beside the active one from now on; None: let none.

        Raises
        ------
        SecateurError
            If it is not installed, does not pass its tests, or is at work itself; nothing has changed.
        """
        with self._lock:
            if version is None:
                self._run_beside(None)
                return
            if self._active is None:
                raise ConfigError(
                    f"no version of bundle '{self.name}' is at work to compare {version} with; activate one."
                )
            if version == self._active.version:
                raise ConfigError(f"version {version} of bundle '{self.name}' is at work itself.")
            self._run_beside(self._store.open(self.name, version))

    def _run_beside(self, runtime: Runtime | None) -> None:
        version = None if runtime is None else runtime.version
        choice = self._store.choice(self.name)
        self._store.choose(self.name, choice.model_copy(update={"candidate": version}))
        self._shadow = None if runtime is None else _Shadow(runtime=runtime)

    def activate(self, version: str) -> None:
        """Put a version to work; the one before stays loaded, to come back.

        Raises
        ------
        SecateurError
            If it is not installed or does not pass its tests; nothing has changed.
        """
        with self._lock:
            if self._active is not None and self._active.version == version:
                return
            shadow = self._shadow
            known = shadow is not None and shadow.runtime.version == version
            runtime = shadow.runtime if shadow is not None and known else self._store.open(self.name, version)
            self._activate(runtime)

    def roll_back(self) -> None:
        """Put the former version to work again.

        Raises
        ------
        ConfigError
            If there is none.
        """
        with self._lock:
            if self._former is None:
                raise ConfigError(f"bundle '{self.name}' has no former version to go back to.")
            given_up = "none" if self._active is None else self._active.version
            self._roll_back(f"{given_up}: by hand")

    def _activate(self, runtime: Runtime) -> None:
        choice = self._store.choice(self.name)
        former = tuple(
            entry for entry in (choice.active, *choice.former) if entry not in (None, runtime.version)
        )
        candidate = None if choice.candidate == runtime.version else choice.candidate
        self._store.choose(self.name, Choice(active=runtime.version, former=former[:8], candidate=candidate))
        if self._active is not None:
            self._former = self._active
        if self._shadow is not None and self._shadow.runtime.version == runtime.version:
            self._shadow = None
        self._active, self._failures, self.trouble = runtime, 0, ""
        log.info("bundle %s: version %s is active", self.name, runtime.version)

    def _roll_back(self, reason: str) -> None:
        former = self._former
        assert former is not None
        choice = self._store.choice(self.name)
        rest = tuple(entry for entry in choice.former if entry != former.version)
        self._store.choose(self.name, Choice(active=former.version, former=rest, candidate=choice.candidate))
        self._active, self._failures = former, 0
        self._former = self._open_quietly(rest[0]) if rest else None
        self.rolled_back.append(reason)
        log.error("bundle %s: back to version %s (%s)", self.name, former.version, reason)

    def status(self) -> dict[str, Any]:
        """Return what is loaded, for people."""
        with self._lock:
            active, former, shadow = self._active, self._former, self._shadow
        return {
            "name": self.name,
            "active": None if active is None else described(active),
            "former": None if former is None else former.version,
            "versions": self._store.versions(self.name),
            "trouble": self.trouble,
            "rolled_back": self.rolled_back[-5:],
            "shadow": None
            if shadow is None
            else {
                **described(shadow.runtime),
                "bursts": shadow.bursts,
                "bursts_needed": self._settings.shadow_bursts,
                "agreement": shadow.agreement,
                "answered": shadow.share(shadow.answered),
                "active_answered": shadow.share(shadow.active_answered),
                "failures": shadow.failures,
            },
        }

    @property
    def runtime(self) -> Runtime | None:
        """The active version."""
        return self._active


def described(runtime: Runtime) -> dict[str, Any]:
    """Return what a version is, for people."""
    verdict = runtime.manifest.verdict
    return {
        "version": runtime.version,
        "fit_for_use": None if verdict is None else verdict.fit_for_use,
        "labels": list(runtime.labels),
        "window_s": runtime.window_s,
        "parameters": runtime.manifest.parameters,
        "format": runtime.manifest.format,
        "precision": runtime.manifest.precision,
        "signature": runtime.signature.state,
        "key_id": runtime.signature.key_id,
        "golden_max_abs_diff": runtime.golden_max_abs_diff,
    }
