"""Which recordings belong to a task, and what their classes are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from secateur.core.errors import DataError
from secateur.signals.recording import FAULT_LOCATIONS, Recording

CASE_WESTERN = "cwru"
LOAD_ZONE = "6:00"


def labelled(recordings: Iterable[Recording]) -> list[Recording]:
    """Return those whose fault location is known.

    Raises
    ------
    DataError
        If there are none.
    """
    found = [recording for recording in recordings if recording.fault_location is not None]
    if not found:
        raise DataError("none of the recordings has a label; a split needs labelled recordings.")
    return found


def one_rate_each(recordings: Sequence[Recording]) -> list[Recording]:
    """Leave out what the Case Western collection holds twice.

    Its drive-end faults were recorded at 12 kHz and again at 48 kHz; where both are given only the
    12 kHz ones are kept, and of the normals (48 kHz) the copies at the lower rate if there are any.
    Faults at the fan end, another bearing, are left out where there are faults at the drive end.
    Recordings of other collections are all kept.
    """
    drive_end = any(_case_western(recording) and "drive_end" in recording.subset for recording in recordings)
    recordings = [
        recording
        for recording in recordings
        if not (drive_end and _case_western(recording) and "fan_end" in recording.subset)
    ]
    kept = []
    for is_normal in (False, True):
        rates = [
            recording.sampling_rate_hz
            for recording in recordings
            if _case_western(recording) and (recording.fault_location == "normal") == is_normal
        ]
        lowest = min(rates, default=0.0)
        kept += [
            recording.recording_id
            for recording in recordings
            if (recording.fault_location == "normal") == is_normal
            and (not _case_western(recording) or recording.sampling_rate_hz == lowest)
        ]
    names = set(kept)
    return [recording for recording in recordings if recording.recording_id in names]


def _case_western(recording: Recording) -> bool:
    return recording.dataset.lower().startswith(CASE_WESTERN)


def specimen_of(recording: Recording) -> str:
    """Return the physical bearing, or what must count as one.

    Where specimens are not documented, all recordings of one condition (location and size of the defect)
    may be of one bearing. At Case Western the outer-race defects of one size at several positions may be
    one ring, turned.
    """
    if not recording.specimens_documented and recording.fault_location is not None:
        size = "" if recording.fault_size_mil is None else f"_{recording.fault_size_mil:03g}"
        return f"{recording.dataset.lower()}_{recording.fault_location}{size}"
    if _case_western(recording):
        return recording.group_id.partition("_at")[0]
    return recording.group_id


def kinds_of_machines(recordings: Iterable[Recording]) -> dict[str, Hashable]:
    """Return the kind of machine of each specimen: the data set and the geometry of the bearing tell it."""
    return {specimen_of(recording): (recording.dataset, recording.fault_orders) for recording in recordings}


def drawn_evenly(
    specimens: Iterable[str], kind_of: Mapping[str, Hashable], rng: np.random.Generator
) -> Iterator[str]:
    """Yield specimens in random order, each time one of the kind of machine of which most are left.

    Whoever takes the first of them leaves specimens of every kind as long as there are any: a model that
    knows a kind of machine with damages alone takes the machine for the damage.

    Parameters
    ----------
    specimens : iterable of str
        Of one class.
    kind_of : mapping
        Kind of machine of each specimen.
    rng : Generator
    """
    names = sorted(specimens)
    waiting = [names[number] for number in rng.permutation(len(names))]
    left = Counter(kind_of[name] for name in names)
    while waiting:
        most = max(left.values())
        name = next(name for name in waiting if left[kind_of[name]] == most)
        waiting.remove(name)
        left[kind_of[name]] -= 1
        yield name


def normals(recordings: Iterable[Recording]) -> list[Recording]:
    """Return the healthy ones."""
    return [recording for recording in recordings if recording.fault_location == "normal"]


def faults(recordings: Iterable[Recording]) -> list[Recording]:
    """Return the damaged ones."""
    return [recording for recording in recordings if recording.fault_location not in (None, "normal")]


def complete_sizes(recordings: Sequence[Recording]) -> list[float]:
    """Return the defect sizes in mil at which every fault location that occurs at all was recorded."""
    damaged = faults(recordings)
    locations = {recording.fault_location for recording in damaged}
    sizes = {recording.fault_size_mil for recording in damaged if recording.fault_size_mil is not None}

    def locations_at(size: float) -> set[str | None]:
        return {recording.fault_location for recording in damaged if recording.fault_size_mil == size}

    return sorted(size for size in sizes if locations_at(size) == locations)


def without_odd_sizes(recordings: Sequence[Recording]) -> list[Recording]:
    """Leave out defects of a size at which not every location was recorded, data set by data set.

    A data set in which no size is complete, or none is known, is kept whole.
    """
    kept = []
    for dataset in dict.fromkeys(recording.dataset for recording in recordings):
        members = [recording for recording in recordings if recording.dataset == dataset]
        sizes = complete_sizes(members)
        kept += [
            recording
            for recording in members
            if recording.fault_location == "normal" or not sizes or recording.fault_size_mil in sizes
        ]
    return kept


def by_location(recordings: Iterable[Recording]) -> dict[str, str]:
    """Return the class of each recording, by id: where the fault is."""
    return {recording.recording_id: str(recording.fault_location) for recording in recordings}


def class_with_size(recording: Recording) -> str:
    """Return where the fault is and its size ("ball_014"); the location alone where no size is known."""
    if recording.fault_location == "normal" or recording.fault_size_mil is None:
        return str(recording.fault_location)
    return f"{recording.fault_location}_{recording.fault_size_mil:03g}"


def by_location_and_size(recordings: Iterable[Recording]) -> dict[str, str]:
    """Return the class of each recording, by id: where the fault is and its size ("ball_014")."""
    return {recording.recording_id: class_with_size(recording) for recording in recordings}


def fine_classes(recordings: Sequence[Recording]) -> tuple[list[Recording], dict[str, str]]:
    """Return recordings and classes of the usual task: location times size where sizes are known.

    Only outer-race defects in the load zone (6:00) are taken where there are several positions, and
    only sizes at which every location was recorded. Without two such sizes the classes are locations.
    """
    in_load_zone = any(
        recording.fault_location == "outer_race" and recording.position == LOAD_ZONE
        for recording in recordings
    )
    kept = [
        recording
        for recording in recordings
        if not in_load_zone
        or recording.fault_location != "outer_race"
        or recording.position in (None, LOAD_ZONE)
    ]
    sizes = complete_sizes(kept)
    if len(sizes) < 2:
        return kept, by_location(kept)
    kept = [
        recording
        for recording in kept
        if recording.fault_location == "normal" or recording.fault_size_mil in sizes
    ]
    return kept, by_location_and_size(kept)


def ordered_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Return class names without repetition: normal first, then by location, then by size."""

    def place(name: str) -> tuple[int, str]:
        return next(
            (number for number, location in enumerate(FAULT_LOCATIONS) if name.startswith(location)),
            len(FAULT_LOCATIONS),
        ), name

    return tuple(sorted(set(names), key=place))
