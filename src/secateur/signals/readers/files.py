"""Find the files of one ending below a folder, or take the one that was named."""

from __future__ import annotations

from pathlib import Path


def files_below(path: Path, ending: str) -> list[Path]:
    """Return the regular files below a folder with an ending, in order of their names; a file is itself."""
    if not path.is_dir():
        return [path] if path.suffix.lower() == ending else []
    return sorted(file for file in path.rglob("*") if file.suffix.lower() == ending and file.is_file())
