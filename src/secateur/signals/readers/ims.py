"""Text files of the IMS bearing data set (NASA, run to failure)."""

from __future__ import annotations

import re
from pathlib import Path

from secateur.core.errors import DataError
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.recording import Recording
from secateur.signals.sources.delimited import DelimitedSource

SAMPLING_RATE_HZ = 20_000.0
SPEED_RPM = 2000.0
LOAD_LBF = 6000.0
ROWS = 20_480
NAME = re.compile(r"^\d{4}\.\d\d\.\d\d\.\d\d\.\d\d\.\d\d$")
_CHANNELS = {
    8: tuple(f"bearing{bearing}_{axis}" for bearing in (1, 2, 3, 4) for axis in "xy"),
    4: tuple(f"bearing{bearing}" for bearing in (1, 2, 3, 4)),
}


def ims_files(path: Path) -> list[Path]:
    """Return the snapshots below a folder, in order of their time; a snapshot is itself."""
    if not path.is_dir():
        return [path] if NAME.match(path.name) else []
    return sorted(file for file in path.rglob("*") if NAME.match(file.name) and file.is_file())


def is_ims(path: Path) -> bool:
    """Say whether there are snapshots, judged by the name and the shape of the first."""
    first = next(iter(ims_files(path)), None)
    if first is None:
        return False
    try:
        source = DelimitedSource(first)
        return _has_no_header(source) and source.n_channels in _CHANNELS and source.n_samples == ROWS
    except DataError:
        return False


def _has_no_header(source: DelimitedSource) -> bool:
    return source.channels == tuple(map(str, range(source.n_channels)))


def load_ims(folder: Path) -> list[Recording]:
    """Read every snapshot below a folder: files named by their time, such as ``2003.10.22.12.06.24``.

    Each holds a second of four bearings on one shaft: eight columns in the first test, four in the others.
    A test (its folder) is a group. Nothing is labelled: which bearing failed at the end is documented, when
    its fault began is not. Source: J. Lee, H. Qiu, G. Yu, J. Lin, Rexnord Technical Services, IMS, University
    of Cincinnati, Bearing Data Set, NASA Prognostics Data Repository, 2007.

    Raises
    ------
    DataError
        If there is no such file, or one has another number of columns.
    """
    recordings = []
    for path in ims_files(folder):
        source = DelimitedSource(path)
        if source.n_channels not in _CHANNELS or source.n_samples != ROWS:
            raise DataError(
                f"{path} has {source.n_samples} rows and {source.n_channels} columns; an IMS snapshot has "
                f"{ROWS} rows and 4 or 8 columns. Copy it again, or describe files of your own by a YAML."
            )
        test = path.parent.name
        recordings.append(
            Recording(
                recording_id=f"ims_{test}_{path.name}",
                source=source,
                channels=_CHANNELS[source.n_channels],
                sampling_rate_hz=SAMPLING_RATE_HZ,
                group_id=f"ims_{test}",
                dataset="IMS",
                shaft_speed_rpm=SPEED_RPM,
                nominal_speed_rpm=SPEED_RPM,
                load=LOAD_LBF,
                fault_orders=known_bearing("ZA-2115"),
                bearing="ZA-2115",
                path=path,
                subset=test,
                notes="load in pound-force; run to failure, not labelled",
            )
        )
    if not recordings:
        raise DataError(f"{folder} holds no IMS snapshot (2003.10.22.12.06.24, ...).")
    return recordings
