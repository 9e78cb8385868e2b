"""Look at labels, groups, rates, speeds and levels of a whole set of recordings."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from secateur.core.errors import DataError
from secateur.signals.findings import Finding, error, note, warning
from secateur.signals.plausibility import size_findings
from secateur.signals.recording import Recording
from secateur.signals.selection import specimen_of
from secateur.signals.sources.quantities import UNITS, VIBRATION

LEVEL_RATIO = 5.0
OTHER_UNIT_RATIO = 50.0
SECONDS_RATIO = 10.0


def check_set(recordings: Iterable[Recording]) -> Iterator[Finding]:
    """Look at labels, groups, rates and speeds of a whole set; no waveform is read."""
    by_data_set: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        by_data_set[recording.dataset].append(recording)
    yield from _quantity_findings(by_data_set)
    for dataset, members in by_data_set.items():
        yield from _group_findings(dataset, members)
        yield from _class_findings(dataset, members)
        yield from _rate_findings(dataset, members)
        yield from _gap_findings(dataset, members)


def check_levels(recordings: Iterable[Recording], level: Mapping[str, float]) -> Iterator[Finding]:
    """Tell where the level alone separates healthy from damaged recordings.

    Parameters
    ----------
    recordings : iterable of Recording
    level : mapping
        Root mean square of the channel that is used, by recording id.
    """
    by_data_set: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        if recording.fault_location is not None and level.get(recording.recording_id, 0.0) > 0.0:
            by_data_set[recording.dataset].append(recording)
    for dataset, members in by_data_set.items():
        normal, faulty = (
            [math.log(level[r.recording_id]) for r in members if (r.fault_location == "normal") == healthy]
            for healthy in (True, False)
        )
        if not normal or not faulty:
            continue
        apart = max(min(faulty) - max(normal), min(normal) - max(faulty))
        ratio = math.exp(sum(faulty) / len(faulty) - sum(normal) / len(normal))
        times = max(ratio, 1.0 / ratio)
        if apart > 0.0 and times >= LEVEL_RATIO:
            unit = " So large a ratio may mean another unit or gain." * (times >= OTHER_UNIT_RATIO)
            yield warning(
                "level",
                dataset,
                f"the level alone tells normals from faults: normals are {times:.3g} times "
                f"{'quieter' if ratio > 1 else 'louder'}, and no recording lies between. Windows are brought "
                f"to one level, but noise and resolution still follow it; record both with one gain.{unit}",
            )


def _group_findings(dataset: str, members: list[Recording]) -> Iterator[Finding]:
    labels: dict[str, set[str | None]] = defaultdict(set)
    specimens: dict[str, set[str]] = defaultdict(set)
    for recording in members:
        labels[recording.group_id].add(recording.fault_location)
        if recording.fault_location is not None:
            specimens[recording.fault_location].add(specimen_of(recording))
    for group, found in labels.items():
        if len(found) > 1:
            yield error(
                "group_labels",
                group,
                f"the group holds the labels {', '.join(sorted(map(str, found)))}; one specimen has one "
                "condition. Give each its own group.",
            )
    yield from _spelling_findings(dataset, labels)
    undocumented = [r for r in members if r.fault_location is not None and not r.specimens_documented]
    if undocumented:
        yield warning(
            "no_group",
            dataset,
            f"the specimens of {len(undocumented)} of {len(members)} recordings are not documented (first: "
            f"{undocumented[0].recording_id}); all recordings of one condition may be of one bearing, and a "
            "test on another one cannot be made. Give the physical bearing of each ('group').",
        )
    for label, found_specimens in specimens.items():
        if len(found_specimens) == 1 and not undocumented:
            yield warning(
                "single_group",
                label,
                f"all recordings of class {label} in {dataset} are of one specimen "
                f"({next(iter(found_specimens))}); no split can test this class on a specimen it was not "
                "trained on.",
            )


def _spelling_findings(dataset: str, groups: Iterable[str]) -> Iterator[Finding]:
    """Tell groups that may be one, written in two ways: a split would put it on both sides."""
    written: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        written[re.sub(r"[\s_-]+", " ", group).casefold()].append(group)
    for alike in written.values():
        if len(alike) > 1:
            yield warning(
                "group_spelling",
                dataset,
                f"the groups {', '.join(map(repr, sorted(alike)))} differ in their writing alone and count "
                f"as {len(alike)} specimens; write them alike if they are one.",
            )


def _class_findings(dataset: str, members: list[Recording]) -> Iterator[Finding]:
    seconds: dict[str, float] = defaultdict(float)
    for recording in members:
        if recording.fault_location is not None:
            seconds[recording.fault_location] += readable_duration_s(recording)
    if len(seconds) == 1:
        yield warning(
            "one_class",
            dataset,
            f"all labelled recordings are of class {next(iter(seconds))}; a model can be scored on them, but "
            "training needs two classes.",
        )
    elif seconds and min(seconds.values()) * SECONDS_RATIO < max(seconds.values()):
        least, most = min(seconds, key=seconds.__getitem__), max(seconds, key=seconds.__getitem__)
        yield warning(
            "imbalance",
            dataset,
            f"class {least} has {seconds[least]:.3g} s and class {most} {seconds[most]:.3g} s; record more "
            "of the rare one.",
        )
    yield from size_findings(dataset, [r.fault_size_mil for r in members if r.fault_size_mil is not None])
    if seconds and "normal" not in seconds:
        yield warning("no_normal", dataset, "there is no normal recording; false alarms cannot be measured.")


def _quantity_findings(by_data_set: Mapping[str, list[Recording]]) -> Iterator[Finding]:
    """Refuse velocities among accelerations: their spectra fall in other ways, whatever the bearing does."""
    held: dict[str, list[Recording]] = defaultdict(list)
    for recording in chain.from_iterable(by_data_set.values()):
        quantity = UNITS.get((recording.unit or "").lower())
        if recording.fault_location is not None and quantity in VIBRATION:
            held[quantity].append(recording)
    if len(held) > 1:
        told = "; ".join(f"{name}: {len(of)}, first {of[0].recording_id}" for name, of in held.items())
        yield error(
            "mixed_quantities",
            ", ".join(by_data_set),
            f"the recordings hold unlike quantities by their units ({told}), which alone may tell them "
            "apart; keep those of one.",
        )


def _rate_findings(dataset: str, members: list[Recording]) -> Iterator[Finding]:
    rates: dict[str, set[float]] = defaultdict(set)
    for recording in members:
        if recording.fault_location is not None:
            rates[recording.fault_location].add(recording.sampling_rate_hz)
    normal = rates.get("normal", set())
    faulty = set().union(*(found for label, found in rates.items() if label != "normal"))
    if normal and faulty - normal:
        yield warning(
            "normal_rate",
            dataset,
            f"faults are recorded at {_rates(faulty)} and normals at {_rates(normal)}; unless all are "
            "resampled to one rate, the rate alone tells them apart.",
        )
    elif len(faulty | normal) > 1:
        yield note(
            "mixed_rates",
            dataset,
            f"recordings are at {_rates(faulty | normal)}; all are brought to the lowest, at most 12000 Hz.",
        )


def _gap_findings(dataset: str, members: list[Recording]) -> Iterator[Finding]:
    gaps = (
        (
            "no_speed",
            warning,
            [r for r in members if r.shaft_speed_rpm is None],
            "no shaft speed; fault lines cannot be placed",
        ),
        (
            "no_bearing",
            note,
            [r for r in members if r.fault_orders is None and not r.bearing],
            "no bearing geometry; fault lines cannot be placed",
        ),
        (
            "unlabelled",
            note,
            [r for r in members if r.fault_location is None],
            "no label; they can be diagnosed but not trained or tested on",
        ),
    )
    for code, grave, lacking, meaning in gaps:
        if lacking:
            yield grave(
                code,
                dataset,
                f"{len(lacking)} of {len(members)} recordings have {meaning} "
                f"(first: {lacking[0].recording_id}).",
            )


def readable_duration_s(recording: Recording) -> float:
    """Return the length of a recording in seconds; 0 if its file cannot be read."""
    try:
        return recording.duration_s
    except DataError:
        return 0.0


def _rates(rates: set[float]) -> str:
    return ", ".join(f"{rate:g} Hz" for rate in sorted(rates))
