"""Find files below a folder, and keep the files that a description names inside its own."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from secateur.core.errors import DataError


def files_below(path: Path, ending: str) -> list[Path]:
    """Return the regular files below a folder with an ending, in order of their names; a file is itself."""
    if not path.is_dir():
        return [path] if path.suffix.lower() == ending else []
    return sorted(file for file in path.rglob("*") if file.suffix.lower() == ending and file.is_file())


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
