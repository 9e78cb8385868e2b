"""Recordings that say where they come from and hold zeros: for tests of splits."""

from __future__ import annotations

import numpy as np

from secateur.signals.recording import ArraySource, Recording
from secateur.signals.selection import specimen_of


def recording(name, location, *, group=None, load=0.0, size=None, position=None, rate_hz=1_000.0, **known):
    known.setdefault("dataset", "CWRU")
    return Recording(
        recording_id=name,
        source=ArraySource(np.zeros((1, int(10 * rate_hz)), dtype=np.float32)),
        channels=("DE",),
        sampling_rate_hz=rate_hz,
        group_id=group or name,
        fault_location=location,
        load=load,
        fault_size_mil=size,
        position=position,
        nominal_speed_rpm=known.pop("speed", None),
        **known,
    )


def case_western():
    """Return the structure of the Case Western set: faults at four loads, normals at 0 and 3 only."""
    found = []
    places = [("inner_race", None), ("ball", None), ("outer_race", "6:00"), ("outer_race", "3:00")]
    for location, position in places:
        for size in (7.0, 14.0, 21.0, 28.0):
            if location == "outer_race" and (size == 28.0 or (size == 14.0 and position == "3:00")):
                continue
            group = f"{location}{size:g}" + (f"_at{position[0]}" if position else "")
            found += [
                recording(
                    f"{group}_{load}", location, group=group, load=float(load), size=size, position=position
                )
                for load in range(4)
            ]
    for rate_hz in (1_000.0, 4_000.0):
        found += [
            recording(f"n{load}_{rate_hz:g}", "normal", group="n", load=float(load), rate_hz=rate_hz)
            for load in (0, 3)
        ]
    found.append(recording("ball7_48k", "ball", group="ball7", load=0.0, size=7.0, rate_hz=4_000.0))
    return found


def own_data(n_specimens):
    return [
        recording(f"{location}_{number}_{piece}", location, group=f"{location}_{number}", dataset="own")
        for location, count in n_specimens.items()
        for number in range(count)
        for piece in range(2)
    ]


def specimens(segments):
    return {specimen_of(segment.recording) for segment in segments}
