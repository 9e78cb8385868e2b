"""Find files below a folder, and keep the files that a description names inside its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

from secateur.core.errors import DataError
from secateur.signals.sources.open import SUFFIXES


def files_below(path: Path, ending: str) -> list[Path]:
    """Return the regular files below a folder with an ending, in order of their names; a file is itself."""
    if not path.is_dir():
        return [path] if path.suffix.lower() == ending else []
    return sorted(file for file in path.rglob("*") if file.suffix.lower() == ending and file.is_file())


def recording_names(files: Sequence[PurePath]) -> list[str]:
    """Return a name for each file: its own without the ending, or with it where two would be called alike."""
    short = [(f.with_suffix("") if f.suffix.lower() in SUFFIXES else f).as_posix() for f in files]
    often = Counter(short)
    return [name if often[name] == 1 else f.as_posix() for name, f in zip(short, files, strict=True)]


def require_inside(name: str, where: str) -> None:
    """Check that a file which a description or an index names lies below its folder.

    Raises
    ------
    DataError
        If the name is absolute, climbs out with ``..``, or is no name at all.
    """
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if not name.strip() or "\0" in name:
        raise DataError(f"{where}: file {name!r} is no name; give one relative to its folder.")
    if posix.is_absolute() or windows.drive or windows.root:
        raise DataError(
            f"{where}: file '{name}' is absolute; name it relative to the folder of the description, so "
            "that both can move together."
        )
    if ".." in posix.parts or ".." in windows.parts:
        raise DataError(
            f"{where}: file '{name}' lies outside the folder of the description; put the description into a "
            "folder above all of its files."
        )
