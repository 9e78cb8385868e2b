"""Rigs as lists of recordings: one channel each, with speed, bearing and physical specimen known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from foundation_rigs import SUBJECTS, Subject

from secateur.signals.recording import ArraySource, Recording
from secateur.signals.resample import resample
from secateur.signals.selection import specimen_of
from secateur.signals.simulator.collection import simulated_recordings

RATE_HZ = 12_000.0


def _one_channel(subject: Subject, rig: str) -> Recording:
    """Return the channel of a subject at 12 kHz as a recording of its own, the rig in all its names."""
    recording = subject.recording
    waveform = resample(recording.read()[subject.channel], recording.sampling_rate_hz, RATE_HZ)
    return replace(
        recording,
        recording_id=f"{rig}: {recording.recording_id}",
        source=ArraySource(np.ascontiguousarray(waveform, dtype=np.float32)[None]),
        channels=("acceleration",),
        sampling_rate_hz=RATE_HZ,
        group_id=f"{rig}: {specimen_of(recording)}",
        dataset=rig,
        shaft_speed_rpm=60.0 * subject.shaft_rate_hz,
        fault_orders=subject.orders,
        path=None,
        sha256=None,
        subset="",
        specimens_documented=True,
    )


def _of_subjects(subjects: Callable[[Path], Iterator[Subject]], rig: str, data: Path) -> list[Recording]:
    return [_one_channel(subject, rig) for subject in subjects(data)]


def _simulated(rig: str, data: Path) -> list[Recording]:
    del data
    return [replace(recording, dataset=rig) for recording in simulated_recordings(0)]


SIMULATED = "simulated rigs"

RIGS: dict[str, Callable[[Path], list[Recording]]] = {
    **{rig: partial(_of_subjects, subjects, rig) for rig, subjects in SUBJECTS.items()},
    SIMULATED: partial(_simulated, SIMULATED),
}
"""Reader of each rig; it takes the folder that holds ``cwru``, ``cwru_fan_end`` and ``uestc``.

The healthy recordings of Case Western's two ends are the same runs, heard at either end. UESTC has one
specimen of each class.
"""


def only(recordings: Sequence[Recording], locations: Sequence[str]) -> list[Recording]:
    """Return the recordings with a fault at one of these locations."""
    return [recording for recording in recordings if recording.fault_location in locations]
