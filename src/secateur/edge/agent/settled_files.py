"""Files that people put into a watched folder: taken once they no longer change, and put away after that."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

_Stamp = tuple[int, int, int]


class SettledFiles:
    """Tells files that are whole from those that somebody still writes.

    A file is settled when it is the same at two looks in a row. It is given once: one that could not be put
    away afterwards is passed over until it changes.
    """

    def __init__(self) -> None:
        self._seen: dict[Path, _Stamp] = {}
        self._given: dict[Path, _Stamp] = {}

    def among(self, paths: Iterable[Path]) -> list[Path]:
        """Return the settled files among these, ``9`` before ``10``; hidden files and links never are."""
        now = {path: stamp for path in sorted(paths, key=_place) if (stamp := _stamp(path)) is not None}
        settled = [
            path for path, stamp in now.items() if self._seen.get(path) == stamp != self._given.get(path)
        ]
        self._given = {path: stamp for path, stamp in self._given.items() if path in now}
        self._given |= {path: now[path] for path in settled}
        self._seen = now
        return settled

    def give_again(self, path: Path) -> None:
        """Give a file once more that could not be taken now."""
        self._given.pop(path, None)


def _place(path: Path) -> tuple[Path, list[str | int], str]:
    """Return by what files are ordered: numbers in names count as numbers, however they are written."""
    parts = re.split(r"([0-9]+)", path.name)
    return path.parent, [int(part) if place % 2 else part for place, part in enumerate(parts)], path.name


def _stamp(path: Path) -> _Stamp | None:
    try:
        if path.name.startswith(".") or path.is_symlink() or not path.is_file():
            return None
        status = path.stat()
    except OSError:  # gone meanwhile
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def put_away(path: Path, folder: str) -> None:
    """Move a file into a folder beside it, over no other; where that fails it stays, and the log tells.

    A folder that is a link is not followed: whoever may write here could have any file replaced by it.
    """
    target = path.parent / folder
    try:
        target.mkdir(exist_ok=True)
        place = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.rename(path, _free_name(path, place), dst_dir_fd=place)
        finally:
            os.close(place)
    except OSError as error:
        log.error("%s could not be moved to %s: %s", path, target, error.strerror)


def keep_latest(folder: Path, most: int) -> None:
    """Remove the oldest files of a folder beyond a number: what is refused all day must not fill the disk.

    A folder that is a link is not followed, as by :func:`put_away`.
    """
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            with os.scandir(place) as entries:
                files = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
            files.sort(key=lambda entry: entry.stat(follow_symlinks=False).st_ctime_ns)
            for entry in files[:-most]:
                os.unlink(entry.name, dir_fd=place)
        finally:
            os.close(place)
    except OSError as error:
        log.error("old files of %s could not be removed: %s", folder, error.strerror)


def _free_name(path: Path, folder: int) -> str:
    """Return the name of a file, with the time where an earlier file has that name."""
    try:
        os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return path.name
    return f"{path.stem}.{time.time_ns()}{path.suffix}"
