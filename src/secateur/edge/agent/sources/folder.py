"""Bursts as files in a watched folder: ``MACHINE/SENSOR/NAME.npy``, ``.wav``, ``.json`` or ``.raw``."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from secateur.core.errors import DataError, SecateurError
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.connections import FolderSource as FolderSettings
from secateur.edge.agent.intake import IntakeFull, Submission
from secateur.edge.agent.settled_files import SettledFiles, keep_latest, put_away
from secateur.edge.agent.sources.assembly import burst_of
from secateur.edge.agent.sources.base import Inlet, SourceStatus, ThreadedSource
from secateur.edge.agent.sources.payloads import Piece, from_json, from_raw, require_few
from secateur.edge.agent.sources.recording import DAMAGED
from secateur.edge.agent.sources.wav import read_wav

log = logging.getLogger(__name__)

DONE, REFUSED = "done", "refused"
REFUSED_KEPT = 100
"""Of each sensor, where files are not kept anyway."""

_BYTES_OF_A_SAMPLE, _BYTES_BESIDE = 64, 1 << 20
"""A file of numbers takes less, in digits too."""

LATE_S = 30.0
"""A look that takes longer than this beyond its turn waits for a network share that does not answer."""

MOST_STRANGE = 100
"""Folders of no sensor that are told of."""


class FolderSource(ThreadedSource):
    """Looks into the folder now and then, and takes whole files in the order of their names.

    Parameters
    ----------
    settings : FolderSettings
    inlet : Inlet
    """

    def __init__(self, settings: FolderSettings, inlet: Inlet) -> None:
        super().__init__(f"folder {settings.folder}", thread="source-folder")
        self.trouble = self.last_refusal = ""
        self._alive_s = time.monotonic()
        self._settings, self._inlet = settings, inlet
        self._files, self._others = SettledFiles(), SettledFiles()
        self._strange: set[Path] = set()

    @property
    def _late_s(self) -> float:
        """For how long the folder has not answered; 0 while it is not late."""
        late_s = time.monotonic() - self._alive_s
        return late_s if late_s > self._settings.every_s + LATE_S else 0.0

    def stop(self) -> None:
        """Stop after the file at hand; a share that hangs is not waited for."""
        if self._late_s:
            self._stopping.set()
        else:
            super().stop()

    def status(self) -> SourceStatus:
        """Return its state, for people; the folder is not asked, which may be a share that hangs."""
        late_s = self._late_s
        trouble = f"the folder has not answered for {late_s:.0f} s" if late_s else self.trouble
        return {
            "name": self.name,
            "connected": not trouble,
            "trouble": trouble,
            "last_refusal": self.last_refusal,
            "counts": dict(self.counts),
        }

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # one that cannot be made may be made by others
            self._settings.folder.mkdir(parents=True, exist_ok=True)
        while not self._stopping.is_set():
            try:
                self.look()
            except OSError as error:
                log.warning("%s: %s", self.name, error)
            self._stopping.wait(self._settings.every_s)

    def look(self) -> int:
        """Take all files that have not changed since the last look, in order; return how many."""
        self._require_folder()
        folders = {
            self._settings.folder / machine / sensor: (machine, sensor)
            for machine, sensor in self._inlet.places
        }
        found = [path for folder in folders for path in self._entries(folder)]
        with contextlib.suppress(OSError):  # what may not be looked at is no burst
            self._tell_of_others(folders, [path for path in found if not _is_burst(path)])
        waiting = self._files.among(path for path in found if _is_burst(path))
        taken = 0
        for place, path in enumerate(waiting):
            if self._stopping.is_set():  # perhaps while the share hung: another source may be at work here
                break
            try:
                taken += self._take(*folders[path.parent], path)
            except IntakeFull:  # those after it would overtake it
                for later in waiting[place:]:
                    self._files.give_again(later)
                break
        return taken

    def _require_folder(self) -> None:
        is_there = self._settings.folder.is_dir()
        trouble = "" if is_there else "the folder is not there; it is looked for again and again"
        if trouble != self.trouble:
            log.warning("%s: %s", self.name, trouble or "the folder is back")
        self.trouble, self._alive_s = trouble, time.monotonic()

    def _entries(self, folder: Path) -> list[Path]:
        """Return what lies in a folder; one that may not be looked at ends no watch over the others.

        Links are not followed, neither of the sensor nor of its machine: they may lead anywhere.
        """
        try:
            linked = folder.is_symlink() or folder.parent.is_symlink()
            return list(folder.iterdir()) if folder.is_dir() and not linked else []
        except OSError as error:
            self.last_refusal = f"{folder}: {error.strerror}"
            return []

    def _tell_of_others(self, folders: Collection[Path], files: list[Path]) -> None:
        """Say once what lies there in vain: files of another kind, and folders of no sensor."""
        places = [path for path in self._settings.folder.glob("[!.]*/[!.]*") if path.is_dir()]
        strange = [path for path in places if path not in folders and path not in self._strange]
        for path in strange[: MOST_STRANGE - len(self._strange)]:
            self._strange.add(path)
            log.warning("%s: %s/%s is no sensor of the configuration", self.name, path.parent.name, path.name)
        for path in self._others.among(files):
            self.counts["of another kind"] += 1
            log.warning("%s: %s stays; taken are %s", self.name, path.name, ", ".join(SUFFIXES))

    def _take(self, machine: str, sensor: str, path: Path) -> bool:
        stored = threading.Event()
        reasons: list[str | None] = []

        def done(reason: str | None) -> None:
            reasons.append(reason)
            stored.set()

        try:
            burst = read_burst_file(machine, sensor, path, self._inlet.most_samples(machine, sensor))
            self._inlet.submit(Submission(burst=burst, done=done))
        except IntakeFull:
            raise
        except SecateurError as error:
            self._refuse(path, str(error))
            return False
        except OSError as error:
            log.warning("%s: %s cannot be read: %s", self.name, path.name, error.strerror)
            self._files.give_again(path)
            return False
        except Exception:  # one strange file must not end the watch over the folder
            log.exception("%s: %s failed", self.name, path.name)
            self._refuse(path, "it could not be read; see the log of the agent.")
            return False
        while not stored.wait(0.5):
            self._alive_s = time.monotonic()
            if self._stopping.is_set() and not stored.wait(10.0):
                return False  # the file stays, and is taken again at the next start
        if reasons[0] is not None:
            self._refuse(path, reasons[0])
            return False
        self._alive_s = time.monotonic()
        self.counts["bursts"] += 1
        if self._settings.done == "delete":
            path.unlink(missing_ok=True)
        else:
            put_away(path, DONE)
        return True

    def _refuse(self, path: Path, reason: str) -> None:
        self.counts["refused"] += 1
        self.last_refusal = f"{path.name}: {reason}"
        log.warning("%s: %s refused: %s", self.name, path.name, reason)
        put_away(path, REFUSED)
        if self._settings.done == "delete":
            keep_latest(path.parent / REFUSED, REFUSED_KEPT)


def read_burst_file(machine: str, sensor: str, path: Path, most: int) -> Burst:
    """Read one burst of at most so many samples from a file.

    Raises
    ------
    DataError
        If it holds none.
    """
    size, largest = path.stat().st_size, _BYTES_OF_A_SAMPLE * most + _BYTES_BESIDE
    if size > largest:
        raise DataError(f"{path.name} has {size} bytes; a burst of this sensor has less than {largest}.")
    piece = _READERS[path.suffix.lower()](path, most)
    if piece.parts != 1:
        raise DataError(f"{path.name} is part of a burst; a file holds a whole one.")
    return burst_of(machine, sensor, piece, piece.samples, arrived_unix_s=path.stat().st_mtime)


def _from_npy(path: Path, most: int) -> Piece:
    content = path.read_bytes()
    if not content.startswith(np.lib.format.MAGIC_PREFIX):
        raise DataError(f"{path.name} is no NPY file.")
    try:
        samples = np.load(io.BytesIO(content), allow_pickle=False)
    except DAMAGED as error:
        raise DataError(
            f"{path.name} is no NPY file of numbers ({' '.join(str(error).split())[:120]})."
        ) from None
    if not isinstance(samples, np.ndarray) or samples.ndim != 1 or samples.dtype.kind not in "fiu":
        raise DataError(f"{path.name} must hold one channel of numbers, shape (samples,).")
    require_few(len(samples), most)
    with np.errstate(over="ignore"):
        return Piece(samples=samples.astype(np.float32))


def _from_wav(path: Path, most: int) -> Piece:
    found = read_wav(path)
    if found.channels != 1:
        raise DataError(f"{path.name} has {found.channels} channels; a file holds those of one sensor, one.")
    require_few(len(found.samples), most)
    with np.errstate(over="ignore", invalid="ignore"):
        samples = (found.samples * found.scale).astype(np.float32)
    return Piece(samples=samples, sampling_rate_hz=found.sampling_rate_hz)


_READERS: dict[str, Callable[[Path, int], Piece]] = {
    ".npy": _from_npy,
    ".wav": _from_wav,
    ".json": lambda path, most: from_json(path.read_bytes(), most),
    ".raw": lambda path, most: from_raw(path.read_bytes(), most),
}
SUFFIXES = tuple(_READERS)


def _is_burst(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES
