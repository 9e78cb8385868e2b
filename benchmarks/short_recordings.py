"""Windows of real rigs of which only a part is there, its end mirrored, judged by the shipped diagnoser.

    python benchmarks/short_recordings.py --data DATA --out benchmarks/results/short_recordings

``DATA`` holds ``cwru``, ``cwru_fan_end`` and ``uestc`` of the archive layout. The first three windows of each
recording are judged one by one, whole and shortened.
"""

from __future__ import annotations

import numpy as np
from rigs import RIGS
from study_files import options, write_results

from secateur.edge.foundation import SHIPPED
from secateur.edge.judgement import calibrated
from secateur.edge.runtime import Runtime
from secateur.signals.recording import Recording
from secateur.signals.short_windows import filled

SHARES = (1.0, 0.94, 0.85, 0.73, 0.6, 0.5)
WINDOWS = 3


def judged(
    runtime: Runtime, recordings: list[Recording], share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return class and probability of each window, and whether the class is right."""
    length, classes, sure, right = runtime.manifest.window_length, [], [], []
    there = round(share * length)
    for recording in recordings:
        windows = recording.read(0, WINDOWS * length)[0].reshape(-1, length)[:, :there]
        logits, _ = runtime.predict(
            filled(windows, length),
            shaft_rate_hz=recording.shaft_rate_hz or 0.0,
            fault_orders=recording.fault_orders,
        )
        p, _ = calibrated(logits, runtime.manifest.abstention)
        classes += p.argmax(axis=1).tolist()
        sure += p.max(axis=1).tolist()
        right += [runtime.labels[number] == recording.fault_location for number in p.argmax(axis=1)]
    return np.array(classes), np.array(sure), np.array(right)


def main() -> None:
    """Judge every rig at every share and write the table."""
    given = options(__doc__, works=False).parse_args()
    runtime = Runtime(SHIPPED)
    least = runtime.manifest.abstention.least_confidence
    lines = [
        "| rig | share of a window | windows | right % | same class as whole % | sure % | right of sure % |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = []
    for rig in ("Case Western, drive end", "Case Western, fan end", "UESTC"):
        recordings = RIGS[rig](given.data)
        whole = judged(runtime, recordings, 1.0)[0]
        for share in SHARES:
            classes, confidence, right = judged(runtime, recordings, share)
            sure = confidence >= least
            figures = {
                "windows": len(right),
                "right": float(right.mean()),
                "same": float((classes == whole).mean()),
                "sure": float(sure.mean()),
                "right_of_sure": float(right[sure].mean()),
            }
            rows.append({"rig": rig, "share": share, **figures})
            shown = " | ".join(f"{100 * value:.1f}" for name, value in figures.items() if name != "windows")
            lines.append(f"| {rig} | {share:g} | {len(right)} | {shown} |")
    write_results(given, "\n".join(lines) + "\n", least_confidence=least, rows=rows)


if __name__ == "__main__":
    main()
