"""Draft a ``recordings.yaml`` from the files of a folder, with a mark where a person must say something."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from secateur.core.errors import ConfigError, DataError
from secateur.signals.readers.description import TO_FILL_IN
from secateur.signals.recording import FAULT_LOCATIONS
from secateur.signals.sources.candidates import Candidates, look_at
from secateur.signals.sources.open import SUFFIXES

MOST_FILES = 20_000


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A description to complete.

    Attributes
    ----------
    text : str
        YAML.
    files : int
        Recordings that it lists.
    unreadable : tuple of str
        Why other files were left out.
    to_fill_in : int
        Marks that are left.
    """

    text: str
    files: int
    unreadable: tuple[str, ...]
    to_fill_in: int


def draft_description(folder: Path) -> Draft:
    """Look at every waveform file below a folder and write down what the files themselves say.

    The rate is taken from headers, fields and time axes; channels are those that may be vibration. Label,
    specimen, speed and bearing are never guessed.

    Raises
    ------
    ConfigError
        If the folder is none, or holds no waveform file or too many.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; give the folder that holds the recordings.")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise ConfigError(f"{folder} holds no waveform file; formats that are read: {', '.join(SUFFIXES)}.")
    if len(files) > MOST_FILES:
        raise ConfigError(
            f"{folder} holds {len(files)} files; describe them with patterns, see docs/data.md."
        )
    found: list[tuple[Path, Candidates]] = []
    unreadable = []
    for file in files:
        try:
            found.append((file, look_at(file)))
        except (DataError, ConfigError) as error:
            unreadable.append(str(error))
    if not found:
        raise DataError(f"{folder} holds no file that can be read; the first: {unreadable[0]}")
    text = "\n".join([*_top(folder, found), *_entries(folder, found), *_left_out(unreadable)]) + "\n"
    marks = sum(line.partition("#")[0].count(TO_FILL_IN) for line in text.splitlines())
    return Draft(text=text, files=len(found), unreadable=tuple(unreadable), to_fill_in=marks)


def _top(folder: Path, found: list[tuple[Path, Candidates]]) -> list[str]:
    lines = [
        f"# Replace every {TO_FILL_IN}, or remove its line where it is not known; 'secateur data check' "
        "names",
        "# those that are left.",
        f"dataset: {json.dumps(folder.resolve().name or 'recordings', ensure_ascii=False)}",
    ]
    if any(each.sampling_rate_hz is None for _, each in found):
        lines.append(f"sampling_rate_hz: {TO_FILL_IN}  # of the files that do not state it")
    lines.append(f"bearing: {TO_FILL_IN}  # such as 6205, or {{bpfo: 3.585, bpfi: 5.415}}")
    return [*lines, "recordings:"]


def _entries(folder: Path, found: Iterable[tuple[Path, Candidates]]) -> Iterable[str]:
    for file, each in found:
        name = json.dumps(file.relative_to(folder).as_posix(), ensure_ascii=False)
        yield f"  - file: {name}  # {each.in_words}"
        if len(each.possible) > 1:
            listed = ", ".join(json.dumps(column, ensure_ascii=False) for column in each.possible)
            yield f"    columns: [{TO_FILL_IN}]  # of {listed}"
        elif each.possible and not each.is_unnamed:
            yield f"    columns: [{json.dumps(each.possible[0], ensure_ascii=False)}]"
        yield f"    label: {TO_FILL_IN}  # {', '.join(FAULT_LOCATIONS)}"
        yield f"    group: {TO_FILL_IN}  # the bearing that was measured: one name for all its recordings"
        if each.speed_rpm is None:
            yield f"    speed_rpm: {TO_FILL_IN}  # turns a minute"
        else:
            yield f"    speed_rpm: {each.speed_rpm:g}  # as the file says"


def _left_out(unreadable: Iterable[str]) -> Iterable[str]:
    for reason in unreadable:
        yield f"# left out: {' '.join(reason.split())}"
