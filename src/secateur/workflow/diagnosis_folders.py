"""Find what a folder holds to diagnose: sets that an index lists, and the files that none lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from secateur.core.errors import DataError
from secateur.signals.readers.archive import INDEX_NAME, is_archive
from secateur.signals.readers.bearing_datasets import METADATA, SIGNALS, is_built_set
from secateur.signals.readers.ims import NAME as IMS_NAME
from secateur.signals.readers.open import is_indexed
from secateur.signals.recording import Recording
from secateur.signals.sources.choice import possible_columns
from secateur.signals.sources.open import DELIMITED_SUFFIXES, SUFFIXES, open_columns

SUMMARY, WINDOWS, OVERVIEW = "diagnosis.json", "windows.csv", "recordings.svg"
"""Files of a result of ``secateur diagnose``."""


FEW_ROWS = 256
"""A text with fewer is no recording that an index could have forgotten."""


@dataclass(frozen=True, kw_only=True)
class FolderContents:
    """What lies below a folder, results of ``secateur diagnose`` left out.

    Attributes
    ----------
    sets : tuple of Path
        Folders whose recordings an index lists: described, archive, bearing-datasets.
    files : tuple of Path
        Waveform files outside of them.
    """

    sets: tuple[Path, ...]
    files: tuple[Path, ...]


def contents_of(folder: Path) -> FolderContents:
    """Look for recordings below a folder, in links to folders too."""
    sets: list[Path] = []
    files: list[Path] = []
    for below in _folders(folder, stop_at_sets=True):
        if is_indexed(below):
            sets.append(below)
        else:
            files += _waveform_files(below)
    return FolderContents(sets=tuple(sets), files=tuple(sorted(files)))


def unlisted_files(folder: Path, recordings: Sequence[Recording]) -> list[Path]:
    """Return the waveform files below a set that its index leaves out.

    Text without a column that may be vibration, or with few rows, is none: a table of tests, a list of files.
    """
    listed = {recording.path.resolve() for recording in recordings if recording.path}
    if is_archive(folder):
        listed.add((folder / INDEX_NAME).resolve())
    if is_built_set(folder):
        parts = _waveform_files(folder / SIGNALS)
        listed |= {file.resolve() for file in (folder / METADATA, *parts)}
    found = [file for below in _folders(folder, stop_at_sets=False) for file in _waveform_files(below)]
    return sorted(file for file in found if file.resolve() not in listed and not _is_table(file))


def _folders(folder: Path, *, stop_at_sets: bool) -> Iterator[Path]:
    """Yield a folder and those below it, each once, without results of a diagnosis."""
    waiting, seen = [folder], set()
    while waiting:
        below = waiting.pop()
        if below.resolve() in seen or _is_result(below):
            continue
        seen.add(below.resolve())
        yield below
        if not (stop_at_sets and is_indexed(below)):
            waiting += sorted((each for each in below.iterdir() if each.is_dir()), reverse=True)


def _is_result(folder: Path) -> bool:
    return (folder / SUMMARY).is_file() and any((folder / name).is_file() for name in (WINDOWS, OVERVIEW))


def _waveform_files(folder: Path) -> list[Path]:
    return [
        file
        for file in folder.iterdir()
        if (file.suffix.lower() in SUFFIXES or IMS_NAME.match(file.name)) and file.is_file()
    ]


def _is_table(file: Path) -> bool:
    if file.suffix.lower() not in DELIMITED_SUFFIXES:
        return False
    try:
        columns = open_columns(file)
        return not possible_columns(columns) or columns.present[0].n_samples < FEW_ROWS
    except DataError:
        return True
