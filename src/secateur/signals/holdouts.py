"""What each split protocol holds out for test, in whole recordings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from secateur.core.errors import DataError
from secateur.core.registry import Registry
from secateur.core.seeds import generator
from secateur.signals.recording import Recording
from secateur.signals.selection import (
    by_location,
    complete_sizes,
    drawn_evenly,
    faults,
    fine_classes,
    kinds_of_machines,
    normals,
    one_rate_each,
    specimen_of,
    without_odd_sizes,
)

TEST_SHARE_OF_SPECIMENS = 0.25


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """Recordings of the two sides.

    Parameters
    ----------
    protocol : str
        Name and argument.
    class_of : dict
        Class name by recording id.
    train, test : sequence of Recording
    specimens_shared : bool
        Whether the protocol admits one specimen on both sides (and then says that it leaks).
    normals_shared : bool
        Whether it admits one healthy bearing on both sides, at different loads (a caveat).
    """

    protocol: str
    class_of: dict[str, str]
    train: Sequence[Recording]
    test: Sequence[Recording]
    specimens_shared: bool
    normals_shared: bool = False


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a protocol is asked for.

    Parameters
    ----------
    recordings : sequence of Recording
        Labelled ones.
    argument : str or None
        What stands behind the colon.
    seed : int
        Decides which specimens are held out where any would do.
    extra_sizes_in_training : bool
        Whether to train also on defect sizes at which not every location was recorded.
    """

    recordings: Sequence[Recording]
    argument: str | None
    seed: int
    extra_sizes_in_training: bool


holdouts: Registry[Callable[[Request], list[Holdout]]] = Registry("hold-out protocol")


@holdouts.register("load")
def hold_out_loads(request: Request) -> list[Holdout]:
    """Train on the lower half of the loads, test on the upper half."""
    kept, class_of = fine_classes(one_rate_each(request.recordings))
    _require(kept, "load", "load", "load")
    loads = sorted({_load(recording) for recording in faults(kept)})
    if len(loads) < 2:
        raise DataError(
            f"split 'load': {_recorded_at(loads, 'load')}; it needs two or more. Use 'specimen' or "
            "'fault_size'."
        )
    lowest_of_test = loads[-(len(loads) // 2)]
    healthy = normals(kept)
    if len({specimen_of(recording) for recording in healthy}) == 1:
        healthy_train, healthy_test = _ends_of_loads(healthy, "load")
    else:
        healthy_train = [recording for recording in healthy if _load(recording) < lowest_of_test]
        healthy_test = [recording for recording in healthy if _load(recording) >= lowest_of_test]
    damaged = faults(kept)
    return [
        Holdout(
            protocol="load",
            class_of=class_of,
            train=healthy_train + [recording for recording in damaged if _load(recording) < lowest_of_test],
            test=healthy_test + [recording for recording in damaged if _load(recording) >= lowest_of_test],
            specimens_shared=True,
        )
    ]


@holdouts.register("fault_size")
def hold_out_sizes(request: Request) -> list[Holdout]:
    """Hold out every defect of one size; four classes by location."""
    recordings = one_rate_each(request.recordings)
    sizes = complete_sizes(recordings)
    if len(sizes) < 2:
        raise DataError(f"split 'fault_size': {_why_no_sizes(recordings, sizes)} Or use 'specimen'.")
    if request.argument == "all":
        return [_one_size_out(request, recordings, sizes, size) for size in sizes]
    asked = _number(request.argument, "fault_size", sizes, default=sizes[len(sizes) // 2])
    return [_one_size_out(request, recordings, sizes, asked)]


def _one_size_out(
    request: Request, recordings: Sequence[Recording], sizes: Sequence[float], size: float
) -> Holdout:
    protocol = f"fault_size:{size:g}"
    healthy = normals(recordings)
    if len({specimen_of(recording) for recording in healthy}) == 1:
        _require(healthy, protocol, "load", "load")
        healthy_train, healthy_test = _ends_of_loads(healthy, protocol)
    else:
        healthy_train, healthy_test = _specimens_out(healthy, request.seed, protocol)
    damaged = faults(recordings)
    train = [
        recording
        for recording in damaged
        if recording.fault_size_mil != size
        and (recording.fault_size_mil in sizes or request.extra_sizes_in_training)
    ]
    test = [recording for recording in damaged if recording.fault_size_mil == size]
    return Holdout(
        protocol=protocol,
        class_of=by_location(recordings),
        train=healthy_train + train,
        test=healthy_test + test,
        specimens_shared=False,
        normals_shared=True,
    )


@holdouts.register("speed")
def hold_out_speeds(request: Request) -> list[Holdout]:
    """Hold out every second nominal speed (from the second lowest on), or the one given."""
    recordings = one_rate_each(request.recordings)
    _require(recordings, "speed", "nominal_speed_rpm", "nominal speed")
    speeds = sorted({_nominal(recording) for recording in recordings})
    if len(speeds) < 2:
        raise DataError(
            f"split 'speed': all recordings were made at {_listed(speeds)} rpm; it needs two or more speeds."
        )
    held_out = speeds[1::2]
    if request.argument is not None:
        held_out = [_number(request.argument, "speed", speeds)]
    return [
        Holdout(
            protocol="speed" if request.argument is None else f"speed:{held_out[0]:g}",
            class_of=by_location(recordings),
            train=[recording for recording in recordings if recording.nominal_speed_rpm not in held_out],
            test=[recording for recording in recordings if recording.nominal_speed_rpm in held_out],
            specimens_shared=True,
        )
    ]


@holdouts.register("cross_dataset")
def hold_out_dataset(request: Request) -> list[Holdout]:
    """Hold out one data set: the second of two, or the one named."""
    recordings = one_rate_each(request.recordings)
    if not request.extra_sizes_in_training:
        recordings = without_odd_sizes(recordings)
    datasets = list(dict.fromkeys(recording.dataset for recording in recordings))
    if len(datasets) < 2:
        raise DataError(
            f"split 'cross_dataset': all recordings are of data set {_listed(datasets)}; it needs two. "
            "Give a second data set."
        )
    if request.argument is None:
        if len(datasets) > 2:
            raise DataError(
                f"split 'cross_dataset': {len(datasets)} data sets ({_listed(datasets)}); say which one is "
                f"held out: cross_dataset:{datasets[-1].lower()}."
            )
        held_out = datasets[1]
    else:
        found = [dataset for dataset in datasets if dataset.lower() == request.argument.lower()]
        if not found:
            raise DataError(
                f"split 'cross_dataset:{request.argument}': there is no such data set among the recordings; "
                f"allowed: {_listed(datasets)}."
            )
        held_out = found[0]
    return [
        Holdout(
            protocol=f"cross_dataset:{held_out.lower()}",
            class_of=by_location(recordings),
            train=[recording for recording in recordings if recording.dataset != held_out],
            test=[recording for recording in recordings if recording.dataset == held_out],
            specimens_shared=False,
        )
    ]


@holdouts.register("specimen")
def hold_out_specimens(request: Request) -> list[Holdout]:
    """Hold out a quarter of the specimens of each class, at least one."""
    recordings = one_rate_each(request.recordings)
    train, test = _specimens_out(recordings, request.seed, "specimen")
    return [
        Holdout(
            protocol="specimen",
            class_of=by_location(recordings),
            train=train,
            test=test,
            specimens_shared=False,
        )
    ]


def _specimens_out(
    recordings: Sequence[Recording], seed: int, protocol: str
) -> tuple[list[Recording], list[Recording]]:
    class_of_group: dict[str, str] = {}
    for recording in recordings:
        class_of_group.setdefault(specimen_of(recording), str(recording.fault_location))
    kind_of = kinds_of_machines(recordings)
    groups_of: dict[str, list[str]] = defaultdict(list)
    for group, name in class_of_group.items():
        groups_of[name].append(group)
    held_out: set[str] = set()
    for name in sorted(groups_of):
        groups = sorted(groups_of[name])
        if len(groups) < 2:
            raise DataError(
                f"split '{protocol}': {_lone_specimen(recordings, name, groups[0])} Or use a protocol that "
                "says that it leaks ('load', 'random_window')."
            )
        count = max(1, round(TEST_SHARE_OF_SPECIMENS * len(groups)))
        held_out.update(islice(drawn_evenly(groups, kind_of, generator(seed, "specimens", name)), count))
    train = [recording for recording in recordings if specimen_of(recording) not in held_out]
    return train, [recording for recording in recordings if specimen_of(recording) in held_out]


def _recorded_at(values: Sequence[float], what: str) -> str:
    if not values:
        return "there is no recording of a fault"
    return f"the faults were recorded at {_listed(values)} {what} only"


def _why_no_sizes(recordings: Sequence[Recording], complete: Sequence[float]) -> str:
    damaged = faults(recordings)
    if not damaged:
        return "there is no recording of a fault."
    sized = [recording for recording in damaged if recording.fault_size_mil is not None]
    if len(sized) < len(damaged):
        lacking = next(recording for recording in damaged if recording.fault_size_mil is None)
        return (
            f"the defect size of {len(damaged) - len(sized)} of {len(damaged)} faults is unknown (first: "
            f"{lacking.recording_id}). Give fault_size_mil."
        )
    sizes_of: dict[str, set[float]] = defaultdict(set)
    for recording in sized:
        sizes_of[str(recording.fault_location)].add(float(recording.fault_size_mil or 0.0))
    told = "; ".join(f"{location}: {_listed(sorted(sizes))}" for location, sizes in sorted(sizes_of.items()))
    return (
        f"it needs two sizes at which every fault location was recorded, but there "
        f"{'is' if complete else 'are'} {_listed(complete)} (sizes in mil: {told})."
    )


def _lone_specimen(recordings: Sequence[Recording], name: str, group: str) -> str:
    members = [recording for recording in recordings if recording.fault_location == name]
    if len(members) > 1 and not all(recording.specimens_documented for recording in members):
        return (
            f"the specimens of class {name} are not documented, so its {len(members)} recordings may all "
            "be of one bearing. Give the specimen of each recording ('group')."
        )
    return f"class {name} has one specimen only ({group}); it needs two. Record another one."


def _ends_of_loads(recordings: Sequence[Recording], protocol: str) -> tuple[list[Recording], list[Recording]]:
    loads = sorted({_load(recording) for recording in recordings})
    if len(loads) < 2:
        raise DataError(
            f"split '{protocol}': the normals of one specimen have load {_listed(loads)}; it needs two "
            "specimens, or one at two loads, to have normals on both sides."
        )
    lowest = [recording for recording in recordings if recording.load == loads[0]]
    return lowest, [recording for recording in recordings if recording.load == loads[-1]]


def _require(recordings: Sequence[Recording], protocol: str, attribute: str, what: str) -> None:
    lacking = [recording.recording_id for recording in recordings if getattr(recording, attribute) is None]
    if lacking:
        raise DataError(
            f"split '{protocol}': the {what} of {len(lacking)} recordings is unknown (first: {lacking[0]}); "
            f"give it for every recording, or use another protocol."
        )


def _load(recording: Recording) -> float:
    assert recording.load is not None, "loads were required"
    return recording.load


def _nominal(recording: Recording) -> float:
    assert recording.nominal_speed_rpm is not None, "nominal speeds were required"
    return recording.nominal_speed_rpm


def _number(text: str | None, protocol: str, allowed: Sequence[float], default: float | None = None) -> float:
    if text is None and default is not None:
        return default
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if value not in allowed:
        raise DataError(
            f"split '{protocol}:{text}': the recordings have no such {protocol.replace('_', ' ')}; "
            f"allowed: {_listed(allowed)}."
        )
    return value


def _listed(values: Sequence[object]) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values) or "none"
