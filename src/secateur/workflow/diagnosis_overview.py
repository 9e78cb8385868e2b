"""Summarise the diagnoses of several recordings: a table, a picture, and a folder name for each."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from secateur.workflow.diagnosis_folders import OVERVIEW
from secateur.workflow.diagnosis_subjects import Subject

TABLE, PICTURE = "recordings.csv", OVERVIEW
LONGEST_FOLDER = 100
"""Bytes of a folder's name; file systems allow 255."""
_COLUMNS = (
    "recording",
    "file",
    "folder",
    "channel",
    "answer",
    "reasons",
    "doubts",
    "unlike_healthy",
    "label",
    "duration_s",
    "sampling_rate_hz",
    "shaft_speed_rpm",
    "error",
)


def folder_names(subjects: Sequence[Subject]) -> list[str]:
    """Return a folder name for each recording: its own name without signs that folders cannot have."""
    names: list[str] = []
    for subject in subjects:
        plain = re.sub(r"[^\w.-]+", "_", subject.recording.recording_id).strip("._") or "recording"
        plain = plain.encode()[:LONGEST_FOLDER].decode(errors="ignore")
        name, number = plain, 1
        while name in names:
            number += 1
            name = f"{plain}_{number}"
        names.append(name)
    return names


def _open(result: Mapping[str, Any]) -> str:
    is_open = result["label"] is not None and result["judgement"]["answer"] is None
    return ": cannot say" * is_open


def write_overview(folder: Path, results: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
    """Write ``recordings.csv`` and ``recordings.svg``: one line and one bar for each recording."""
    from secateur.report.figures.shares import shares

    with (folder / TABLE).open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow([*_COLUMNS, *labels])
        for result in results:
            means = result.get("mean_probabilities", {})
            probabilities = [f"{means[label]:.4f}" if label in means else "" for label in labels]
            answer = "" if result["label"] is None else result["judgement"]["answer"] or "cannot say"
            told = {**result, "answer": answer, "doubts": "; ".join(result.get("doubts", ()))}
            for key in ("reasons", "unlike_healthy"):
                told[key] = "" if result["label"] is None else "; ".join(result["judgement"][key] or ())
            table.writerow([*("" if told.get(c) is None else told[c] for c in _COLUMNS), *probabilities])
    rows = [
        (
            ", ".join(filter(None, (result["recording"], result["channel"]))) + _open(result),
            None if result["label"] is None else [result["mean_probabilities"][label] for label in labels],
        )
        for result in results
    ]
    picture = shares(rows, labels, title="mean probability of each class")
    (folder / PICTURE).write_text(str(picture), encoding="utf-8")
