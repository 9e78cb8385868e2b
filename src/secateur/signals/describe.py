"""Counts of a set of recordings, as data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from secateur.signals.recording import FAULT_LOCATIONS, Recording

UNLABELLED = "unlabelled"


@dataclass(frozen=True, kw_only=True)
class ClassSummary:
    """What there is of one class in one data set.

    Parameters
    ----------
    dataset : str
    label : str
        Fault location, or "unlabelled".
    recordings : int
    duration_s : float
        All recordings together.
    groups : tuple of str
        Specimens (or uninterrupted recordings).
    subsets : tuple of str
    sampling_rates_hz, speeds_rpm, loads, fault_sizes_mil : tuple of float
        Every value that occurs, in ascending order; speeds as set, not as measured.
    """

    dataset: str
    label: str
    recordings: int
    duration_s: float
    groups: tuple[str, ...]
    subsets: tuple[str, ...]
    sampling_rates_hz: tuple[float, ...]
    speeds_rpm: tuple[float, ...]
    loads: tuple[float, ...]
    fault_sizes_mil: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What there is in a set of recordings.

    Parameters
    ----------
    recordings : int
    groups : int
    duration_s : float
    channels : tuple of str
        Every channel name that occurs.
    classes : tuple of ClassSummary
        By data set, then in the order normal, inner race, outer race, ball, unlabelled.
    """

    recordings: int
    groups: int
    duration_s: float
    channels: tuple[str, ...]
    classes: tuple[ClassSummary, ...]


def describe(recordings: Sequence[Recording]) -> Summary:
    """Count recordings, groups and seconds, as a whole and by class.

    Raises
    ------
    DataError
        If a file that must be opened to know its length cannot be read.
    """
    members: dict[tuple[str, str], list[Recording]] = defaultdict(list)
    for recording in recordings:
        members[recording.dataset, recording.fault_location or UNLABELLED].append(recording)
    order = (*FAULT_LOCATIONS, UNLABELLED)
    keys = sorted(members, key=lambda key: (key[0], order.index(key[1])))
    return Summary(
        recordings=len(recordings),
        groups=len({recording.group_id for recording in recordings}),
        duration_s=sum(recording.duration_s for recording in recordings),
        channels=tuple(sorted({channel for recording in recordings for channel in recording.channels})),
        classes=tuple(_class_summary(*key, members[key]) for key in keys),
    )


def _class_summary(dataset: str, label: str, members: list[Recording]) -> ClassSummary:
    return ClassSummary(
        dataset=dataset,
        label=label,
        recordings=len(members),
        duration_s=sum(recording.duration_s for recording in members),
        groups=tuple(sorted({recording.group_id for recording in members})),
        subsets=tuple(sorted({recording.subset for recording in members if recording.subset})),
        sampling_rates_hz=_values([recording.sampling_rate_hz for recording in members]),
        speeds_rpm=_values([recording.nominal_speed_rpm for recording in members]),
        loads=_values([recording.load for recording in members]),
        fault_sizes_mil=_values([recording.fault_size_mil for recording in members]),
    )


def _values(found: list[float | None]) -> tuple[float, ...]:
    return tuple(sorted({value for value in found if value is not None}))
