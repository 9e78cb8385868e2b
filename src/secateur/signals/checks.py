"""What is wrong or noteworthy about a set of recordings, before anything is trained on them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secateur.core.errors import DataError
from secateur.core.files import sha256_of
from secateur.core.progress import track
from secateur.signals.findings import Finding, error, gravest_first, warning
from secateur.signals.readers.open import indexed_recordings
from secateur.signals.recording import Recording

MIN_DURATION_S = 8192 / 12_000
CLIPPED_SHARE = 1e-4
CLIPPED_SAMPLES = 10
_BLOCK = 1 << 18


def check(path: Path) -> list[Finding]:
    """Check every recording below a path and the set as a whole.

    Parameters
    ----------
    path : Path
        Anything that ``load_recordings`` reads.

    Returns
    -------
    list of Finding
        Errors first.

    Raises
    ------
    DataError
        If nothing is there or the layout is not known. A layout that is known but damaged is a finding.
    """
    recordings = indexed_recordings(path)
    findings = list(check_set(recordings))
    content: dict[bytes, str] = {}
    for recording in track(recordings, "checking recordings"):
        findings.extend(_check_one(recording, content))
    return gravest_first(findings)


def _check_one(recording: Recording, content: dict[bytes, str]) -> Iterator[Finding]:
    name = recording.recording_id
    if recording.path is not None and not recording.path.is_file():
        yield error("missing_file", name, f"{recording.path} is missing; copy or fetch it again.")
        return
    if recording.path is not None and recording.sha256 and sha256_of(recording.path) != recording.sha256:
        yield error(
            "checksum",
            name,
            f"{recording.path} does not have the SHA-256 that the index gives; fetch it again.",
        )
    try:
        yield from check_waveform(recording, content)
    except DataError as fault:
        yield error("unreadable", name, str(fault))


@dataclass
class _Channel:
    """Running extremes of one channel and how often they are taken."""

    low: float = np.inf
    high: float = -np.inf
    at_low: int = 0
    at_high: int = 0
    not_finite: int = 0
    first_not_finite: int = -1

    def add(self, samples: np.ndarray, start: int) -> None:
        finite = np.isfinite(samples)
        if not finite.all():
            if self.first_not_finite < 0:
                self.first_not_finite = start + int(np.argmin(finite))
            self.not_finite += int(np.count_nonzero(~finite))
            samples = samples[finite]
            if samples.size == 0:
                return
        low, high = float(samples.min()), float(samples.max())
        if low < self.low:
            self.low, self.at_low = low, 0
        if high > self.high:
            self.high, self.at_high = high, 0
        self.at_low += int(np.count_nonzero(samples == self.low))
        self.at_high += int(np.count_nonzero(samples == self.high))


def check_waveform(recording: Recording, content: dict[bytes, str]) -> Iterator[Finding]:
    """Look at the samples of one recording, block by block.

    Parameters
    ----------
    recording : Recording
    content : dict
        Digests of the waveforms seen so far, by which copies are found; this recording's is added.

    Raises
    ------
    DataError
        If the waveform cannot be read.
    """
    name = recording.recording_id
    channels = [_Channel() for _ in recording.channels]
    digest = hashlib.blake2b(digest_size=16)
    for start in range(0, recording.n_samples, _BLOCK):
        block = recording.read(start, start + _BLOCK)
        digest.update(np.ascontiguousarray(block[0]).tobytes())
        for channel, samples in zip(channels, block, strict=True):
            channel.add(samples, start)
    if recording.duration_s < MIN_DURATION_S:
        yield warning(
            "too_short",
            name,
            f"{recording.duration_s:.3f} s long; a window of 8192 samples at 12 kHz takes "
            f"{MIN_DURATION_S:.3f} s.",
        )
    for label, channel in zip(recording.channels, channels, strict=True):
        yield from _channel_findings(name, label, channel, recording.n_samples)
    original = content.setdefault(digest.digest(), name)
    if original != name:
        yield error(
            "copy",
            name,
            f"the waveform is the same as that of {original}; remove one, or both sides of a split may "
            "hold it.",
        )


def _channel_findings(name: str, label: str, channel: _Channel, n_samples: int) -> Iterator[Finding]:
    if channel.not_finite:
        yield error(
            "not_finite",
            name,
            f"channel {label}: {channel.not_finite} samples are NaN or infinite, the first at "
            f"{channel.first_not_finite}; cut them out or repair them.",
        )
    if channel.high <= channel.low:
        yield error("constant", name, f"channel {label} never changes; the sensor was not connected.")
        return
    clipped = max(channel.at_low, channel.at_high)
    if clipped >= max(CLIPPED_SAMPLES, CLIPPED_SHARE * n_samples):
        yield warning(
            "clipping",
            name,
            f"channel {label}: {clipped} samples lie at the very limit; the amplifier or converter was "
            "overdriven.",
        )


def check_set(recordings: Iterable[Recording]) -> Iterator[Finding]:
    """Look at labels, groups, rates and speeds of a whole set; no waveform is read."""
    by_data_set: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        by_data_set[recording.dataset].append(recording)
    for dataset, members in by_data_set.items():
        yield from _group_findings(members)
        yield from _rate_findings(dataset, members)
        yield from _gap_findings(dataset, members)


def _group_findings(members: list[Recording]) -> Iterator[Finding]:
    labels: dict[str, set[str | None]] = defaultdict(set)
    groups: dict[str, set[str]] = defaultdict(set)
    for recording in members:
        labels[recording.group_id].add(recording.fault_location)
        if recording.fault_location is not None:
            groups[recording.fault_location].add(recording.group_id)
    for group, found in labels.items():
        if len(found) > 1:
            yield error(
                "group_labels",
                group,
                f"the group holds the labels {', '.join(sorted(map(str, found)))}; one specimen has one "
                "condition. Give each its own group.",
            )
    for label, found_groups in groups.items():
        if len(found_groups) == 1:
            yield warning(
                "single_group",
                label,
                f"all recordings of class {label} in {members[0].dataset} are of one group "
                f"({next(iter(found_groups))}); no split can test this class on a specimen it was not "
                "trained on.",
            )


def _rate_findings(dataset: str, members: list[Recording]) -> Iterator[Finding]:
    normal = {r.sampling_rate_hz for r in members if r.fault_location == "normal"}
    faulty = {r.sampling_rate_hz for r in members if r.fault_location not in ("normal", None)}
    if normal and faulty - normal:
        yield warning(
            "normal_rate",
            dataset,
            f"faults are recorded at {_rates(faulty)} and normals at {_rates(normal)}; unless all are "
            "resampled to one rate, the rate alone tells them apart.",
        )
    elif not normal and faulty:
        yield warning("no_normal", dataset, "there is no normal recording; false alarms cannot be measured.")


def _gap_findings(dataset: str, members: list[Recording]) -> Iterator[Finding]:
    gaps = (
        (
            "no_speed",
            "warning",
            [r for r in members if r.shaft_speed_rpm is None],
            "no shaft speed; fault lines cannot be placed",
        ),
        (
            "no_bearing",
            "note",
            [r for r in members if r.fault_orders is None],
            "no bearing geometry; fault lines cannot be placed",
        ),
        (
            "unlabelled",
            "note",
            [r for r in members if r.fault_location is None],
            "no label; they can be diagnosed but not trained or tested on",
        ),
    )
    for code, severity, lacking, meaning in gaps:
        if lacking:
            yield Finding(
                severity=severity,
                code=code,
                subject=dataset,
                message=f"{len(lacking)} of {len(members)} recordings have {meaning} "
                f"(first: {lacking[0].recording_id}).",
            )


def _rates(rates: set[float]) -> str:
    return ", ".join(f"{rate:g} Hz" for rate in sorted(rates))
