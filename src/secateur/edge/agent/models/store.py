"""Installed bundles: versions side by side on disk, one of them active, and what is active never lost."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from secateur.bundle.archive import pack
from secateur.bundle.verify import check_bundle
from secateur.core.errors import CheckpointError, ConfigError, SecateurError
from secateur.core.records import read_json, write_json
from secateur.edge.runtime import Runtime

log = logging.getLogger(__name__)

Version = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
_STATE = "active.json"
UPLOAD_PREFIX, _INSTALL_PREFIX = ".upload-", ".install-"


class Choice(BaseModel):
    """Which versions of one bundle are used.

    Attributes
    ----------
    active : str or None
    former : tuple of str
        Versions that were active before, the latest first.
    candidate : str or None
        Runs in the shadow.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    active: Version | None = None
    former: tuple[Version, ...] = ()
    candidate: Version | None = None


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A version that has just been installed, and its loaded runtime."""

    name: str
    version: str
    runtime: Runtime


class ModelStore:
    """Bundles in ``FOLDER/NAME/VERSION.sct``, with ``active.json`` beside them.

    Parameters
    ----------
    folder : Path
    trusted : sequence of Path
        Public keys; if any is given, every bundle must be signed by one of them, whenever it is loaded.
    accept_unfit : bool
        Whether bundles are used that the run which made them found unfit for use.
    """

    def __init__(self, folder: Path, *, trusted: Sequence[Path] = (), accept_unfit: bool = False) -> None:
        self.folder, self.trusted, self._accept_unfit = Path(folder), tuple(trusted), accept_unfit

    def remove_leftovers(self) -> None:
        """Remove what an installation left that was killed; nobody else may install meanwhile."""
        for pattern in (f"{UPLOAD_PREFIX}*", f"*/{_INSTALL_PREFIX}*"):
            for leftover in self.folder.glob(pattern):
                shutil.rmtree(leftover, ignore_errors=True)

    def names(self) -> list[str]:
        """Names of all installed bundles."""
        if not self.folder.is_dir():
            return []
        return sorted(
            entry.name for entry in self.folder.iterdir() if entry.is_dir() and _NAME.match(entry.name)
        )

    def versions(self, name: str) -> list[str]:
        """Versions of a bundle, the latest installed first."""
        files = sorted(
            self._folder(name).glob("*.sct"), key=lambda path: path.stat().st_mtime_ns, reverse=True
        )
        return [path.stem for path in files]

    def choice(self, name: str) -> Choice:
        """Return which versions are used; a note that is damaged counts as none."""
        path = self._folder(name) / _STATE
        if not path.exists():
            return Choice()
        try:
            return Choice.model_validate(read_json(path))
        except (ValidationError, CheckpointError) as error:
            log.error("%s is damaged and is passed over: %s", path, error)
            return Choice()

    def choose(self, name: str, choice: Choice) -> None:
        """Note which versions are used; the note appears whole or not at all."""
        write_json(self._folder(name) / _STATE, choice.model_dump())

    def install(self, bundle: Path, *, name: str | None = None) -> Installed:
        """Check, try and copy a bundle; it is not used by that.

        Its signature and checksums are checked, it is loaded, and its golden windows are run on this machine.

        Parameters
        ----------
        bundle : Path
        name : str, optional
            By which sensors name it; default: that of its manifest, with ``-`` for whatever no name may hold.

        Raises
        ------
        SecateurError
            If it fails any of that; nothing has changed.
        """
        checked = check_bundle(bundle, trusted=self.trusted)
        version = checked.version
        name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", checked.manifest.name).strip("-._")[:64]
        folder = self._folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{version}.sct"
        aside_folder = Path(tempfile.mkdtemp(prefix=_INSTALL_PREFIX, dir=folder))
        try:
            aside = aside_folder / target.name
            if bundle.is_dir():
                pack(bundle, aside)
            else:
                shutil.copyfile(bundle, aside)
            runtime = self.loaded(aside)
            if runtime.version != version:
                raise CheckpointError(f"{bundle} changed while it was installed; try again.")
            aside.replace(target)
        finally:
            shutil.rmtree(aside_folder, ignore_errors=True)
            if not any(folder.iterdir()):
                folder.rmdir()
        return Installed(name=name, version=version, runtime=runtime)

    def open(self, name: str, version: str) -> Runtime:
        """Load an installed version, checked as at its installation.

        Raises
        ------
        SecateurError
            If it is damaged, not there, or does not find its golden windows again.
        """
        return self.loaded(self._file(name, version))

    def loaded(self, file: Path) -> Runtime:
        """Load any bundle as if it were installed.

        Raises
        ------
        SecateurError
            As :meth:`open`.
        """
        runtime = Runtime(file, trusted=self.trusted)
        verdict = runtime.manifest.verdict
        if verdict is not None and not verdict.fit_for_use and not self._accept_unfit:
            told = "; ".join(verdict.reasons) or "no reason is given"
            raise ConfigError(
                f"version {runtime.version} of {runtime.manifest.name} is not fit for use: {told}. To use it "
                "all the same, set models.accept_unfit in the configuration."
            )
        return runtime

    def self_test(self, name: str, version: str | None = None) -> list[dict[str, Any]]:
        """Check installed versions as at their installation: signature, checksums, golden windows.

        Parameters
        ----------
        name : str
        version : str, optional
            Default: all.

        Returns
        -------
        list of dict
            ``version``, whether it ``passed``, the ``reason`` if not, and ``golden_max_abs_diff`` if it did.

        Raises
        ------
        ConfigError
            If nothing like that is installed.
        """
        versions = self.versions(name) if version is None else [self._file(name, version).stem]
        if not versions:
            raise ConfigError(f"no version of bundle '{name}' is installed in {self.folder}.")
        return [self._tested(name, entry) for entry in versions]

    def _tested(self, name: str, version: str) -> dict[str, Any]:
        try:
            found = self.open(name, version)
        except SecateurError as error:
            return {"version": version, "passed": False, "reason": str(error), "golden_max_abs_diff": None}
        difference = found.golden_max_abs_diff
        return {"version": version, "passed": True, "reason": "", "golden_max_abs_diff": difference}

    def best(self, name: str) -> tuple[Runtime, list[str]]:
        """Load the active version, or where it does not load the latest former one that does.

        Returns
        -------
        runtime : Runtime
        refused : list of str
            Why others before it were not used.

        Raises
        ------
        ConfigError
            If none loads.
        """
        choice = self.choice(name)
        order = [*filter(None, [choice.active]), *choice.former]
        order += [version for version in self.versions(name) if version not in order]
        refused: list[str] = []
        for version in order:
            if version == choice.candidate:
                continue
            try:
                return self.open(name, version), refused
            except SecateurError as error:
                refused.append(f"{version}: {error}")
        told = "; ".join(reason.rstrip(".") for reason in refused) or "none is installed"
        raise ConfigError(f"no version of bundle '{name}' can be used: {told}. Install a sound one.")

    def open_best(self, name: str) -> tuple[Runtime, list[str]]:
        """Load as :meth:`best` does, and make what was found the active version."""
        runtime, refused = self.best(name)
        choice = self.choice(name)
        if runtime.version != choice.active:
            former = tuple(entry for entry in choice.former if entry != runtime.version)
            self.choose(name, Choice(active=runtime.version, former=former, candidate=choice.candidate))
        return runtime, refused

    def _folder(self, name: str) -> Path:
        if not _NAME.match(name):
            raise ConfigError(f"'{name[:80]}' is no name of a bundle.")
        return self.folder / name

    def _file(self, name: str, version: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{12}", version):
            raise ConfigError(f"'{version[:40]}' is no version; it has 12 hexadecimal digits.")
        path = self._folder(name) / f"{version}.sct"
        if not path.is_file():
            raise ConfigError(f"bundle '{name}' has no version {version} installed.")
        return path
