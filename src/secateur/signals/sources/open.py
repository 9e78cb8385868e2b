"""One waveform file of any supported format."""

from __future__ import annotations

from pathlib import Path

from secateur.core.errors import DataError
from secateur.signals.recording import WaveformSource
from secateur.signals.sources.text_format import DEFAULT_TEXT, TextFormat

DELIMITED_SUFFIXES = (".csv", ".tsv", ".txt")
SUFFIXES = (*DELIMITED_SUFFIXES, ".wav", ".flac", ".mat", ".npy", ".npz", ".parquet")


def open_source(
    path: Path, columns: tuple[str, ...] = (), text: TextFormat = DEFAULT_TEXT
) -> tuple[WaveformSource, tuple[str, ...]]:
    """Open a waveform file by its ending.

    Parameters
    ----------
    path : Path
        A file with one of ``SUFFIXES``.
    columns : tuple of str
        Columns (CSV, Parquet), arrays (NPZ) or variables (MAT) that are the channels. May be empty where
        the file leaves no choice. WAV and NPY have no names: there ``columns`` name the channels in order.
    text : TextFormat
        How numbers are written, for delimited text.

    Returns
    -------
    source : WaveformSource
    channels : tuple of str
        A name for each channel.

    Raises
    ------
    DataError
        If the format is not supported, the file is damaged or the columns do not fit.
    """
    suffix = path.suffix.lower()
    # each reader brings a library of its own; a device that reads WAV need not load the rest
    if suffix in DELIMITED_SUFFIXES:
        from secateur.signals.sources.delimited import DelimitedSource

        lines = DelimitedSource(path, columns, text)
        return lines, lines.channels
    if suffix == ".parquet":
        from secateur.signals.sources.parquet import ParquetSource

        table = ParquetSource(path, columns)
        return table, table.channels
    if suffix in (".wav", ".flac"):
        from secateur.signals.sources.wav import WavSource

        return _unnamed(WavSource(path), columns, path)
    if suffix == ".npy":
        from secateur.signals.sources.npy import NpySource

        return _unnamed(NpySource(path), columns, path)
    if suffix == ".npz":
        from secateur.signals.sources.npz import NpzSource, npz_members

        names = columns or _only([n for n in npz_members(path) if not n.startswith("scale_")], path)
        return _named(NpzSource(path, names), names)
    if suffix == ".mat":
        from secateur.signals.sources.mat import MatSource, mat_variables

        names = columns or _only([n for n, shape in mat_variables(path).items() if max(shape) > 1], path)
        return _named(MatSource(path, names), names)
    raise DataError(f"{path}: files ending in '{path.suffix}' are not read; allowed: {', '.join(SUFFIXES)}.")


def _only(names: list[str], path: Path) -> tuple[str, ...]:
    if len(names) != 1:
        raise DataError(
            f"{path} holds {len(names)} arrays ({', '.join(names)}); "
            "say with 'columns' which are the channels."
        )
    return tuple(names)


def _named(source: WaveformSource, names: tuple[str, ...]) -> tuple[WaveformSource, tuple[str, ...]]:
    if source.n_channels == len(names):
        return source, names
    return source, tuple(str(number) for number in range(source.n_channels))


def _unnamed(
    source: WaveformSource, names: tuple[str, ...], path: Path
) -> tuple[WaveformSource, tuple[str, ...]]:
    if names and len(names) != source.n_channels:
        raise DataError(
            f"{path} has {source.n_channels} channels and 'columns' names {len(names)} ({', '.join(names)})."
        )
    return source, names or tuple(str(number) for number in range(source.n_channels))
