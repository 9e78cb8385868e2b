"""How well the shaft speed is refined from the lines of real recordings, when the stated speed is off.

python benchmarks/shaft_speed.py --data DIR --out benchmarks/results/shaft_speed.json

DIR holds the sets ``cwru``, ``cwru_fan_end`` and ``uestc`` in the archive layout. The true speed is the
tachometer's at Case Western (two files contradict it: 158 and 279, whose lines are taken) and the index's
``rpm_estimated`` at UESTC, where the nominal speed is wrong by up to 8 %.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from study_files import origin

from secateur.core.progress import track
from secateur.signals.readers.archive import INDEX_NAME, load_archive
from secateur.signals.recording import Recording
from secateur.signals.speed import REACH, refine_shaft_rate

SETS = {"cwru": "DE", "cwru_fan_end": "FE", "uestc": "A"}
CONTRADICTED_RPM = {"cwru_12k_drive_end_or007_at12_1hp_158": 1796.0, "cwru_12k_fan_end_ir007_1hp_279": 1774.0}
PERTURBED = (0.0, 0.005, -0.005, 0.01, -0.01, 0.023, -0.023)
RIGHT = 0.004
SHORT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A recording, its samples and its true speed."""

    recording: Recording
    samples: np.ndarray
    true_rpm: float


def main() -> None:
    """Refine every recording from every perturbed speed and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = []
    for name, channel in SETS.items():
        heard = list(_heard(arguments.data / name, channel))
        rows += [_row(name, heard, off, None) for off in PERTURBED]
        rows.append(_row(name, heard, None, None))
        rows.append(_row(name, heard, 0.01, SHORT_S))
    arguments.out.write_text(
        json.dumps({"rows": rows, "provenance": origin({"DIR": arguments.data})}, indent=1) + "\n"
    )
    print("| set | length | stated speed | answered | right | wrong | made worse |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        shares = " | ".join(f"{100 * row[key]:.1f} %" for key in ("answered", "right", "wrong", "made_worse"))
        print(f"| {row['set']} | {row['length']} | {row['stated']} | {shares} |")


def _heard(folder: Path, channel: str) -> Iterator[Heard]:
    with (folder / INDEX_NAME).open(encoding="utf-8", newline="") as lines:
        estimated = {row["recording_id"]: row.get("rpm_estimated") for row in csv.DictReader(lines)}
    for recording in track(load_archive(folder), f"reading {folder.name}"):
        number = recording.channels.index(channel) if channel in recording.channels else 0
        name = recording.recording_id
        true_rpm = CONTRADICTED_RPM.get(name) or float(estimated[name] or recording.shaft_speed_rpm or 0.0)
        yield Heard(recording=recording, samples=recording.read()[number], true_rpm=true_rpm)


def _row(name: str, heard: list[Heard], off: float | None, seconds: float | None) -> dict[str, object]:
    """Return shares of all recordings; ``off`` None states the nominal speed."""
    counts: Counter[str] = Counter()
    for one in heard:
        rate_hz = one.recording.sampling_rate_hz
        stated = one.recording.nominal_speed_rpm if off is None else one.true_rpm * (1.0 + off)
        samples = one.samples if seconds is None else one.samples[: round(seconds * rate_hz)]
        found = refine_shaft_rate(samples, rate_hz, stated / 60.0)
        if found.refined_rpm is None:
            continue
        error = abs(found.refined_rpm / one.true_rpm - 1.0)
        counts["answered"] += 1
        counts["right"] += error <= RIGHT
        counts["wrong"] += error > RIGHT
        counts["made_worse"] += error > max(RIGHT, abs(stated / one.true_rpm - 1.0))
    total = len(heard)
    return {
        "set": name,
        "recordings": total,
        "length": "whole" if seconds is None else f"{seconds:g} s",
        "stated": "nominal" if off is None else f"{100 * off:+.1f} %",
        "reach": REACH,
        **{key: counts[key] / total for key in ("answered", "right", "wrong", "made_worse")},
    }


if __name__ == "__main__":
    main()
