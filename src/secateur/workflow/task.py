"""From a path and a protocol to windows on three sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.errors import ConfigError, DataError
from secateur.core.files import sha256_of
from secateur.core.progress import console
from secateur.models.front_end.settings import FrontEndSettings, front_end_for
from secateur.signals.checks.run import condensed, require_sound
from secateur.signals.readers.open import load_recordings
from secateur.signals.recording import Recording
from secateur.signals.simulator.collection import simulated_recordings
from secateur.signals.simulator.machine_collection import DATASET as MACHINES
from secateur.signals.simulator.machine_collection import machine_split
from secateur.signals.split_windows import windows_of
from secateur.signals.splits import Split, make_splits, piece_of, whole_test
from secateur.signals.windows import HIGHEST_RATE_HZ, Windows, WindowSpec, common_rate_hz
from secateur.workflow.settings import TaskSettings

SIMULATED = "simulated"
WINDOWS_READ_AT_ONCE = 128


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """A task ready to be learnt.

    Parameters
    ----------
    split : Split
    front_end : FrontEndSettings
        Front end for the rate and length of the windows.
    train, validation, test : Windows
    data_sha256 : str
        Of all recordings of the split.
    everything : Windows or None
        Training and validation side together, where the split asks for a last fit on all specimens.
    """

    split: Split
    front_end: FrontEndSettings
    train: Windows
    validation: Windows
    test: Windows
    data_sha256: str
    everything: Windows | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return self.split.classes


@dataclass(frozen=True, kw_only=True)
class Everything:
    """A whole set as test material.

    Parameters
    ----------
    split : Split
        With a test side alone.
    test : Windows
    data_sha256 : str
        Of all recordings that are scored.
    absent : tuple of str
        Classes of the model of which there is no window.
    unknown : dict
        Recordings by label that the model does not know; they are not scored.
    """

    split: Split
    test: Windows
    data_sha256: str
    absent: tuple[str, ...]
    unknown: dict[str, int]


def open_recordings(data: str, *, seed: int) -> list[Recording]:
    """Read recordings from a path, or simulate them for the name ``simulated``.

    Raises
    ------
    DataError
        If there is nothing to read there.
    """
    return simulated_recordings(seed) if data == SIMULATED else load_recordings(Path(data))


def prepare(settings: TaskSettings) -> list[Preparation]:
    """Split and window the recordings; one preparation for each fold of the protocol.

    For the data ``machines`` random machines are simulated, each of another kind, whatever the protocol.

    Raises
    ------
    ConfigError
        If the protocol is unknown.
    DataError
        If the recordings cannot be read or cannot be split that way, or a check finds an error in them.
    """
    if settings.data == MACHINES:
        machines = machine_split(
            settings.seed, length=settings.window_length, sampling_rate_hz=HIGHEST_RATE_HZ
        )
        return [_windowed(machines, settings)]
    recordings = open_recordings(settings.data, seed=settings.seed)
    splits = make_splits(recordings, settings.split, settings.seed, piece_s=piece_of(settings.window_length))
    _require_sound(splits, settings)
    return [_windowed(split, settings) for split in splits]


def prepare_everything(
    settings: TaskSettings, *, classes: Sequence[str], sampling_rate_hz: float
) -> Everything:
    """Window every labelled recording as test material for a model that is trained already.

    Parameters
    ----------
    settings : TaskSettings
        Its split plays no part.
    classes : sequence of str
        Those of the model.
    sampling_rate_hz : float
        At which the model takes windows.

    Raises
    ------
    DataError
        If nothing there can be scored, or a check finds an error.
    """
    recordings = open_recordings(settings.data, seed=settings.seed)
    split, unknown = whole_test(recordings, classes)
    _require_sound([split], settings)
    spec = WindowSpec(sampling_rate_hz=sampling_rate_hz, length=settings.window_length)
    channel = 0 if settings.channel is None else settings.channel
    scored = [segment.recording for segment in split.test]
    slow = [recording for recording in scored if recording.sampling_rate_hz < sampling_rate_hz]
    if slow:
        raise DataError(
            f"{len(slow)} recordings are sampled more slowly than the {sampling_rate_hz:g} Hz that the model "
            f"takes (first: {slow[0].recording_id}, {slow[0].sampling_rate_hz:g} Hz); what it listens to is "
            "not in them."
        )
    test = Windows(split.test, spec, settings.test_hop, channel)
    _require_usable(test)
    present = set(test.labels.tolist())
    return Everything(
        split=split,
        test=test,
        data_sha256=digest_of(scored),
        absent=tuple(name for number, name in enumerate(classes) if number not in present),
        unknown=unknown,
    )


def _require_sound(splits: Sequence[Split], settings: TaskSettings) -> None:
    """Refuse what 'secateur data check' calls an error, and say what it warns of."""
    used = {
        segment.recording.recording_id: segment.recording
        for split in splits
        for segment in (*split.train, *split.validation, *split.test)
    }
    findings = require_sound(
        list(used.values()), window_length=settings.window_length, channel=settings.channel
    )
    for finding in condensed(finding for finding in findings if finding.severity == "warning"):
        console.print(f"warning: {finding}", markup=False)


def prepare_one(settings: TaskSettings) -> Preparation:
    """Prepare a protocol that is one split.

    Raises
    ------
    ConfigError
        If the protocol has several folds.
    """
    prepared = prepare(settings)
    if len(prepared) > 1:
        folds = ", ".join(fold.split.protocol for fold in prepared)
        raise ConfigError(f"split '{settings.split}' has several folds; name one of {folds}.")
    return prepared[0]


def _windowed(split: Split, settings: TaskSettings) -> Preparation:
    segments = (*split.train, *split.validation, *split.test)
    rate_hz = common_rate_hz(segment.recording for segment in segments)
    spec = WindowSpec(sampling_rate_hz=rate_hz, length=settings.window_length)
    channel = 0 if settings.channel is None else settings.channel
    train, validation, test = windows_of(
        split, spec, train_hop=settings.train_hop, test_hop=settings.test_hop, channel=channel
    )
    _require_usable(train, validation, test)
    return Preparation(
        split=split,
        front_end=front_end_for(rate_hz, settings.window_length, lines_alone=_lines_alone(split)),
        train=train,
        validation=validation,
        test=test,
        data_sha256=digest_of(
            {segment.recording.recording_id: segment.recording for segment in segments}.values()
        ),
        everything=Windows((*split.train, *split.validation), spec, settings.train_hop, channel)
        if split.last_fit
        else None,
    )


def _lines_alone(split: Split) -> bool:
    """Whether the model sees lines alone: of a class with one specimen the spectrum tells the specimen.

    Not where that specimen is in the test too, nor where speed or bearing are unknown: then there is
    nothing but the spectrum.
    """
    in_test = {segment.group_id for segment in split.test}
    lone = {split.classes.index(name) for name in split.lone_classes}
    confounded = any(segment.label in lone and segment.group_id not in in_test for segment in split.train)
    return confounded and all(
        segment.recording.shaft_rate_hz and segment.recording.fault_orders is not None
        for segment in (*split.train, *split.validation)
    )


def _require_usable(*sides: Windows) -> None:
    """Read every window once: an unusable one must not show after an hour of training."""
    for windows in sides:
        for _ in windows.batches(WINDOWS_READ_AT_ONCE):
            pass


def split_record(split: Split) -> dict[str, Any]:
    """Return what a result says about its split: protocol, whether and why it leaks, specimens."""
    return {
        "protocol": split.protocol,
        "leaks": split.leaks,
        "leak_reason": split.leak_reason,
        "caveat": split.caveat,
        "groups": split.groups(),
        "lone_classes": list(split.lone_classes),
        "lone_test_classes": list(split.lone_test_classes),
        "last_fit": split.last_fit,
    }


def digest_of(recordings: Iterable[Recording]) -> str:
    """Return one SHA-256 for recordings in any order: of their files, or of samples that have no file."""
    lines = sorted(f"{recording.recording_id} {_sha256(recording)}" for recording in recordings)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _sha256(recording: Recording) -> str:
    if recording.sha256:
        return recording.sha256
    if recording.path is not None:
        return sha256_of(recording.path)
    return hashlib.sha256(np.ascontiguousarray(recording.read()).data).hexdigest()
