"""Diagnose recordings of any length with a bundle: a table of windows, a summary and a picture each."""

from __future__ import annotations

import csv
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.errors import DataError
from secateur.core.files import folder_aside, require_replaceable, sha256_of
from secateur.core.progress import progress
from secateur.core.provenance import provenance
from secateur.core.records import write_json
from secateur.edge.inputs import require_hop
from secateur.edge.runtime import Runtime
from secateur.edge.speed_by_lines import speed_by_lines
from secateur.edge.window_diagnoses import root_mean_square
from secateur.signals.checks.run import doubts
from secateur.workflow.diagnosis_folders import SUMMARY, WINDOWS
from secateur.workflow.diagnosis_overview import folder_names, write_overview
from secateur.workflow.diagnosis_stretch import StretchFinder
from secateur.workflow.diagnosis_subjects import Subject, Unreadable

TIMELINE, SPECTRUM = "timeline.svg", "envelope_spectrum.svg"
MOST_BINS = 450


def diagnose(
    subjects: Sequence[Subject],
    runtime: Runtime,
    out: Path,
    *,
    hop_s: float | None = None,
    unreadable: Sequence[Unreadable] = (),
) -> dict[str, Any]:
    """Diagnose recordings window by window, in memory that does not grow with their length.

    For one recording ``out`` receives ``windows.csv`` (one line a window), ``timeline.svg``,
    ``diagnosis.json`` and, where bearing and speed are known, ``envelope_spectrum.svg``. For several each has
    a folder of its own with these, beside a common ``diagnosis.json``, ``recordings.csv`` and
    ``recordings.svg``.

    Parameters
    ----------
    subjects : sequence of Subject
    runtime : Runtime
    out : Path
        Folder; a former diagnosis there is replaced, anything else is refused.
    hop_s : float, optional
        See :meth:`Runtime.stream`.
    unreadable : sequence of Unreadable
        Files that were passed over; they are named in the result of the others.

    Returns
    -------
    dict
        Content of ``diagnosis.json``.

    Raises
    ------
    DataError
        If no recording has a usable window; of several, those without are named in the result.
    ConfigError
        If ``out`` holds something else.
    """
    require_replaceable(out, SUMMARY)
    with folder_aside(out) as aside:
        if len(subjects) == 1 and not unreadable:
            return _diagnose_one(subjects[0], runtime, aside, hop_s)
        results = []
        for subject, name in zip(subjects, folder_names(subjects), strict=True):
            folder = aside / name
            folder.mkdir(parents=True)
            try:
                results.append({"folder": name, **_diagnose_one(subject, runtime, folder, hop_s)})
            except DataError as error:
                shutil.rmtree(folder)
                results.append({"folder": None, **_identity(subject), "label": None, "error": str(error)})
        results += [
            {"folder": None, "file": each.path.name, "recording": each.name, "channel": "", "label": None,
             "error": each.reason}
            for each in unreadable
        ]  # fmt: skip
        if all(result["label"] is None for result in results):
            raise DataError(f"no recording can be diagnosed; the first: {results[0]['error']}")
        summary = {
            "recordings": results,
            "answers": _answers(results, runtime.labels),
            "without_diagnosis": sum(result["label"] is None for result in results),
            "model": runtime.manifest.name,
            "version": runtime.version,
            "signature": runtime.signature.state,
            "provenance": provenance(),
        }
        write_overview(aside, results, runtime.labels)
        write_json(aside / SUMMARY, summary)
    return summary


def _answers(results: Sequence[dict[str, Any]], labels: Sequence[str]) -> dict[str, int]:
    """Count what was answered; of how many recordings nothing can be said stands there too."""
    answered = [result["judgement"]["answer"] for result in results if result["label"] is not None]
    return {**{label: answered.count(label) for label in labels}, "cannot_say": answered.count(None)}


def _identity(subject: Subject) -> dict[str, Any]:
    """Say which recording and channel was read, and what was known about it."""
    recording = subject.recording
    return {
        "file": recording.path.name if recording.path else recording.recording_id,
        "recording": recording.recording_id,
        "layout": subject.layout or None,
        "channel": subject.channel_name,
        "channel_chosen_by": subject.chosen_by,
        "unit": recording.unit,
        "duration_s": recording.duration_s,
        "sampling_rate_hz": recording.sampling_rate_hz,
        "shaft_speed_rpm": subject.shaft_speed_rpm,
    }


def _diagnose_one(subject: Subject, runtime: Runtime, folder: Path, hop_s: float | None) -> dict[str, Any]:
    recording = subject.recording
    if recording.n_samples == 0:
        raise DataError(f"{recording.recording_id} is empty: it holds no sample.")
    require_hop(hop_s, recording.sampling_rate_hz)
    stated = replace(recording, shaft_speed_rpm=subject.shaft_speed_rpm, fault_orders=subject.fault_orders)
    stated_hz = stated.shaft_rate_hz or 0.0
    if runtime.own_healthy is not None:
        runtime.own_healthy.require_comparable(
            shaft_rate_hz=stated_hz,
            fault_orders=subject.fault_orders,
            channel=subject.channel_name,
            unit=recording.unit,
        )
    speed = speed_by_lines(
        recording.source,
        channel=subject.channel,
        sampling_rate_hz=recording.sampling_rate_hz,
        shaft_rate_hz=stated_hz,
    )
    doubtful = doubts(stated, subject.channel, window_s=runtime.window_s, found=speed.found)
    as_stated = speed.shaft_rate_hz == stated_hz
    bins = _Bins(recording.duration_s, runtime.window_s, hop_s, len(runtime.labels))
    abstention = runtime.manifest.abstention
    stretches = StretchFinder(
        runtime.labels,
        window_s=runtime.window_s,
        least_confidence=None if abstention is None else abstention.least_confidence,
    )
    usabilities: Counter[str] = Counter()
    decisions: Counter[str] = Counter()
    energies: list[np.ndarray] = []
    levels: list[np.ndarray] = []
    started = time.perf_counter()
    with (folder / WINDOWS).open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["start_s", "usability", "label", *runtime.labels])
        parts = runtime.stream(
            recording.source,
            sampling_rate_hz=recording.sampling_rate_hz,
            channel=subject.channel,
            shaft_rate_hz=speed.shaft_rate_hz,
            fault_orders=subject.fault_orders,
            hop_s=hop_s,
        )
        with progress(f"diagnosing {recording.recording_id}", round(recording.duration_s)) as bar:
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
                stretches.add(part.starts_s, part.probabilities)
                energies.append(part.energies[part.usable])
                levels.append(part.rms[part.usable])
                bar.advance(round(part.starts_s[-1]) - round(seen_s))
                seen_s = float(part.starts_s[-1])
    seconds = time.perf_counter() - started
    if not decisions:
        raise DataError(
            f"{recording.path or recording.recording_id}, channel {subject.channel_name}, has no usable "
            f"window: {_told(usabilities)}. Check the sensor."
        )
    overall = bins.overall()
    stretch = stretches.within_normal(overall)
    judgement = runtime.judge(
        recording.source,
        overall,
        float(np.median(np.concatenate(energies))),
        sampling_rate_hz=recording.sampling_rate_hz,
        channel=subject.channel,
        shaft_rate_hz=speed.shaft_rate_hz,
        fault_orders=subject.fault_orders,
        doubts=speed.doubts if stretch is None else (*speed.doubts, stretch.to_reason()),
        rms=root_mean_square(np.concatenate(levels)),
    )
    verdict = runtime.manifest.verdict
    result = {
        **_identity(subject),
        "judgement": judgement.to_record(),
        "verdict": None if verdict is None else verdict.model_dump(mode="json"),
        "file_sha256": sha256_of(recording.path) if recording.path else None,
        "model": runtime.manifest.name,
        "version": runtime.version,
        "signature": runtime.signature.state,
        "label": decisions.most_common(1)[0][0],
        "windows": sum(usabilities.values()),
        "usability": dict(usabilities),
        "recorded_share_of_window": min(1.0, recording.duration_s / runtime.window_s),
        "doubts": [finding.message for finding in doubtful],
        "shaft_speed_used_rpm": stated.shaft_speed_rpm if as_stated else 60.0 * speed.shaft_rate_hz,
        "decisions": {label: decisions[label] for label in runtime.labels},
        "mean_probabilities": dict(zip(runtime.labels, overall.tolist(), strict=True)),
        "seconds": seconds,
        "times_real_time": recording.duration_s / seconds,
        "provenance": provenance(),
    }
    title = f"{result['file']}, channel {subject.channel_name}"
    (folder / TIMELINE).write_text(bins.picture(runtime.labels, title), encoding="utf-8")
    if judgement.evidence is not None:
        from secateur.report.figures.envelope_spectrum import envelope_spectrum

        picture = envelope_spectrum(judgement.evidence, title=f"envelope spectrum, {title}")
        (folder / SPECTRUM).write_text(picture, encoding="utf-8")
    write_json(folder / SUMMARY, result)
    return result


class _Bins:
    """Mean probabilities over equal stretches of time, each of whole windows."""

    def __init__(self, duration_s: float, window_s: float, hop_s: float | None, n_classes: int) -> None:
        hop_s = hop_s or window_s
        n_windows = max(1, int((duration_s - window_s) / hop_s + 1e-3) + 1)
        each = -(-n_windows // MOST_BINS)
        n_bins = -(-n_windows // each)
        self.edges_s = each * hop_s * np.arange(n_bins + 1)
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


def _told(usabilities: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in usabilities.items())
