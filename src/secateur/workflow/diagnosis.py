"""A recording of any length diagnosed with a bundle: a table of windows, a summary, and a picture."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.errors import DataError
from secateur.core.files import folder_aside, require_replaceable, sha256_of
from secateur.core.progress import progress
from secateur.core.provenance import provenance
from secateur.core.records import write_json
from secateur.edge.runtime import Runtime
from secateur.signals.kinematics import FaultOrders
from secateur.signals.recording import WaveformSource
from secateur.signals.sources.open import open_source

SUMMARY, WINDOWS, PICTURE = "diagnosis.json", "windows.csv", "timeline.svg"
MOST_BINS = 450


@dataclass(frozen=True, kw_only=True)
class Waveform:
    """A waveform file and what must be known to diagnose it.

    Attributes
    ----------
    path : Path
    source : WaveformSource
    sampling_rate_hz : float
    channel : int
        Number of the channel to look at.
    """

    path: Path
    source: WaveformSource
    sampling_rate_hz: float
    channel: int


def open_waveform(path: Path, *, sampling_rate_hz: float | None, channel: str | None) -> Waveform:
    """Open a waveform file.

    Parameters
    ----------
    path : Path
        WAV, FLAC, NPY, NPZ, CSV, MAT or Parquet.
    sampling_rate_hz : float or None
        Needed where the file does not state its rate. It is never guessed.
    channel : str or None
        Name or number; None for the first.

    Raises
    ------
    DataError
        If the file cannot be read, its rate is unknown or contradicts the one given, or it lacks the channel.
    """
    if not path.is_file():
        raise DataError(f"{path} is not a file; give one waveform file.")
    source, names = open_source(path)
    stated = getattr(source, "sampling_rate_hz", None)
    if sampling_rate_hz is None and stated is None:
        raise DataError(f"{path} does not state its sampling rate; give it with --sampling-rate, in Hz.")
    if stated is not None and sampling_rate_hz not in (None, stated):
        raise DataError(
            f"{path} states {stated:g} Hz, but {sampling_rate_hz:g} Hz was given; leave --sampling-rate out."
        )
    rate = float(stated if stated is not None else sampling_rate_hz)
    if not rate > 0:
        raise DataError(f"a sampling rate of {rate:g} Hz was given; it must be positive.")
    if source.n_samples == 0:
        raise DataError(f"{path} is empty: it holds no sample.")
    return Waveform(path=path, source=source, sampling_rate_hz=rate, channel=_channel(channel, names, path))


def diagnose_file(
    waveform: Waveform,
    runtime: Runtime,
    out: Path,
    *,
    shaft_speed_rpm: float | None = None,
    fault_orders: FaultOrders | None = None,
    hop_s: float | None = None,
) -> dict[str, Any]:
    """Diagnose a waveform window by window; memory does not grow with its length.

    ``out`` receives ``windows.csv`` (one line a window), ``timeline.svg`` and ``diagnosis.json``.

    Parameters
    ----------
    waveform : Waveform
    runtime : Runtime
    out : Path
        Folder; a former diagnosis there is replaced, anything else is refused.
    shaft_speed_rpm, fault_orders, hop_s
        See :meth:`Runtime.stream`.

    Returns
    -------
    dict
        Content of ``diagnosis.json``.

    Raises
    ------
    DataError
        If the waveform does not fit the bundle, or not one window of it is usable.
    ConfigError
        If ``out`` holds something else.
    """
    require_replaceable(out, SUMMARY)
    duration_s = waveform.source.n_samples / waveform.sampling_rate_hz
    bins = _Bins(duration_s, runtime.window_s if hop_s is None else hop_s, len(runtime.labels))
    usabilities: Counter[str] = Counter()
    decisions: Counter[str] = Counter()
    started = time.perf_counter()
    with folder_aside(out) as aside:
        with (aside / WINDOWS).open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(["start_s", "usability", "label", *runtime.labels])
            parts = runtime.stream(
                waveform.source,
                sampling_rate_hz=waveform.sampling_rate_hz,
                channel=waveform.channel,
                shaft_rate_hz=(shaft_speed_rpm or 0.0) / 60.0,
                fault_orders=fault_orders,
                hop_s=hop_s,
            )
            with progress("diagnosing", round(duration_s)) as bar:
                seen_s = 0.0
                for part in parts:
                    labels = _labels(part.probabilities, runtime.labels)
                    rows = zip(part.starts_s, part.usability, labels, part.probabilities, strict=True)
                    for start, usability, label, row in rows:
                        shown = [f"{value:.4f}" for value in row] if label else [""] * len(row)
                        table.writerow([f"{start:.3f}", usability, label, *shown])
                    usabilities.update(part.usability)
                    decisions.update(label for label in labels if label)
                    bins.add(part.starts_s, part.probabilities)
                    bar.advance(round(part.starts_s[-1]) - round(seen_s))
                    seen_s = float(part.starts_s[-1])
        seconds = time.perf_counter() - started
        if not decisions:
            raise DataError(f"{waveform.path} has no usable window: {_told(usabilities)}. Check the sensor.")
        result = {
            "file": waveform.path.name,
            "file_sha256": sha256_of(waveform.path),
            "duration_s": duration_s,
            "sampling_rate_hz": waveform.sampling_rate_hz,
            "shaft_speed_rpm": shaft_speed_rpm,
            "model": runtime.manifest.name,
            "version": runtime.version,
            "signature": runtime.signature.state,
            "label": decisions.most_common(1)[0][0],
            "windows": sum(usabilities.values()),
            "usability": dict(usabilities),
            "decisions": {label: decisions[label] for label in runtime.labels},
            "mean_probabilities": dict(zip(runtime.labels, bins.overall().tolist(), strict=True)),
            "seconds": seconds,
            "times_real_time": duration_s / seconds,
            "provenance": provenance(),
        }
        (aside / PICTURE).write_text(bins.picture(runtime.labels, waveform.path.name), encoding="utf-8")
        write_json(aside / SUMMARY, result)
    return result


class _Bins:
    """Mean probabilities over equal stretches of time."""

    def __init__(self, duration_s: float, hop_s: float, n_classes: int) -> None:
        n_bins = max(1, min(MOST_BINS, int(duration_s / hop_s)))
        self.edges_s = np.linspace(0.0, duration_s, n_bins + 1)
        self.sums = np.zeros((n_bins, n_classes))
        self.counts = np.zeros(n_bins)

    def add(self, starts_s: np.ndarray, probabilities: np.ndarray) -> None:
        """Add windows; those that are NaN do not count."""
        usable = ~np.isnan(probabilities).any(axis=1)
        places = np.searchsorted(self.edges_s, starts_s[usable] + 1e-9, side="right") - 1
        places = np.clip(places, 0, len(self.counts) - 1)
        np.add.at(self.sums, places, probabilities[usable])
        np.add.at(self.counts, places, 1)

    def overall(self) -> np.ndarray:
        """Return the mean over all windows."""
        return self.sums.sum(axis=0) / self.counts.sum()

    def picture(self, labels: Sequence[str], name: str) -> str:
        """Return the timeline as SVG."""
        from secateur.report.figures.timeline import timeline

        with np.errstate(invalid="ignore"):
            means = self.sums / self.counts[:, None]
        return str(timeline(self.edges_s, means, labels, title=f"probability of each class, {name}"))


def _labels(probabilities: np.ndarray, labels: Sequence[str]) -> list[str]:
    """Class of each window; empty for one that is not usable."""
    return ["" if np.isnan(row).any() else labels[int(row.argmax())] for row in probabilities]


def _channel(channel: str | None, names: tuple[str, ...], path: Path) -> int:
    if channel is None:
        return 0
    if channel in names:
        return names.index(channel)
    if channel.isdecimal() and int(channel) < len(names):
        return int(channel)
    raise DataError(f"{path} has no channel '{channel}'; its channels are {', '.join(names)}.")


def _told(usabilities: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in usabilities.items())
