"""Recordings from a path, whatever the layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from secateur.core.errors import DataError
from secateur.signals.readers import jnu, mfpt, paderborn, uestc
from secateur.signals.readers.archive import INDEX_NAME, is_archive, load_archive
from secateur.signals.readers.bearing_datasets import METADATA, SIGNALS, is_built_set, load_built_set
from secateur.signals.readers.cwru import file_number, load_cwru
from secateur.signals.readers.described import DESCRIPTION_NAMES, load_described
from secateur.signals.readers.files import files_below
from secateur.signals.readers.ims import is_ims, load_ims
from secateur.signals.readers.jnu import load_jnu
from secateur.signals.readers.mfpt import load_mfpt
from secateur.signals.readers.paderborn import load_paderborn
from secateur.signals.readers.uestc import load_uestc
from secateur.signals.recording import Recording
from secateur.signals.sources.mat import mat_variables


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A way in which recordings lie on disk.

    Parameters
    ----------
    name : str
        Short name.
    looks_like : str
        What such a path holds, in words for messages.
    recognises : callable
        Whether a path is of this layout, judged by names.
    load : callable
        Reader of such a path.
    """

    name: str
    looks_like: str
    recognises: Callable[[Path], bool]
    load: Callable[[Path], list[Recording]]


def _description_in(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix.lower() in (".yaml", ".yml") else None
    return next((path / name for name in DESCRIPTION_NAMES if (path / name).is_file()), None)


def _any_file(path: Path, ending: str, fits: Callable[[Path], object]) -> bool:
    return any(fits(file) for file in files_below(path, ending))


def _has_variable(file: Path, name: str) -> bool:
    try:
        return name in mat_variables(file)
    except DataError:
        return True  # told when it is read


def _is_cwru(file: Path) -> bool:
    try:
        return file_number(file) is not None
    except DataError:  # damaged, or no MATLAB file: another layout, or told when it is read
        return False


LAYOUTS = (
    Layout(
        name="archive",
        looks_like=f"a folder with {INDEX_NAME} and one npz file a recording",
        recognises=is_archive,
        load=load_archive,
    ),
    Layout(
        name="described",
        looks_like=f"a YAML description, or a folder with {DESCRIPTION_NAMES[0]} "
        "beside CSV, WAV, MAT, NPY, NPZ or Parquet files",
        recognises=lambda path: _description_in(path) is not None,
        load=lambda path: load_described(_description_in(path) or path),
    ),
    Layout(
        name="bearing-datasets",
        looks_like=f"a set that the package bearing-datasets built ({METADATA} and {SIGNALS}/)",
        recognises=is_built_set,
        load=load_built_set,
    ),
    Layout(
        name="mfpt",
        looks_like="MFPT's mat files (baseline_1.mat, OuterRaceFault_1.mat, ...)",
        recognises=lambda path: _any_file(
            path, ".mat", lambda file: mfpt.NAME.match(file.stem) and _has_variable(file, "bearing")
        ),
        load=load_mfpt,
    ),
    Layout(
        name="uestc",
        looks_like="UESTC's mat files (B_1000_1.mat, ...)",
        recognises=lambda path: _any_file(
            path, ".mat", lambda file: uestc.NAME.match(file.stem) and _has_variable(file, "Data")
        ),
        load=load_uestc,
    ),
    Layout(
        name="jnu",
        looks_like="JNU's csv files (ib600_2.csv, n1000_3_2.csv, ...)",
        recognises=lambda path: _any_file(path, ".csv", jnu.is_jnu),
        load=load_jnu,
    ),
    Layout(
        name="paderborn",
        looks_like="Paderborn's mat files (N15_M07_F10_KA01_1.mat, ...)",
        recognises=lambda path: _any_file(
            path, ".mat", lambda file: paderborn.NAME.match(file.stem) and _has_variable(file, file.stem)
        ),
        load=load_paderborn,
    ),
    Layout(
        name="ims",
        looks_like="IMS's text files without ending (2003.10.22.12.06.24, ...)",
        recognises=is_ims,
        load=load_ims,
    ),
    Layout(
        name="cwru",
        looks_like="original CWRU mat files (97.mat, 105.mat, ...)",
        recognises=lambda path: _any_file(path, ".mat", _is_cwru),
        load=load_cwru,
    ),
)
_INDEXED = LAYOUTS[:3]


def known_layout(path: Path) -> Layout | None:
    """Return the layout of a file or folder, or None if it is of none.

    A folder whose subfolders are indexed data sets counts as described.
    """
    for layout in _INDEXED:
        if layout.recognises(path):
            return layout
    if _indexed_parts(path):
        return LAYOUTS[1]
    return next((layout for layout in LAYOUTS if layout.recognises(path)), None)


def load_recordings(path: Path) -> list[Recording]:
    """Load the recordings of a file or folder of any known layout, waveforms left on disk.

    A folder whose subfolders are indexed data sets (archive layout or described) gives all of them together.

    Parameters
    ----------
    path : Path
        See ``LAYOUTS``.

    Raises
    ------
    DataError
        If the path is missing, its layout is not known, or a file that it names is missing.
    """
    recordings = indexed_recordings(path)
    missing = [recording.path for recording in recordings if recording.path and not recording.path.is_file()]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(recordings)} files are missing, first {missing[0]}; "
            "copy or fetch them again, or run 'secateur data check'."
        )
    return recordings


def indexed_recordings(path: Path) -> list[Recording]:
    """Load what a path lists without looking whether every file is there.

    Raises
    ------
    DataError
        If the path is missing or its layout is not known; the message lists the layouts.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} does not exist; give a folder of recordings or a YAML that describes them.")
    for layout in _INDEXED:
        if layout.recognises(path):
            return layout.load(path)
    parts = _indexed_parts(path)
    if parts:
        return [recording for part in parts for recording in indexed_recordings(part)]
    for layout in LAYOUTS:
        if layout.recognises(path):
            return layout.load(path)
    known = "".join(f"\n  {layout.name}: {layout.looks_like}" for layout in LAYOUTS)
    raise DataError(
        f"{path} is of no known layout. Describe files of your own in a recordings.yaml, which "
        f"'secateur init {path if path.is_dir() else path.parent}' drafts. Known layouts:{known}"
    )


def is_indexed(path: Path) -> bool:
    """Say whether an index in a folder lists its recordings: described, archive or bearing-datasets."""
    return any(layout.recognises(path) for layout in _INDEXED)


def _indexed_parts(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    return [folder for folder in folders if is_indexed(folder)]
