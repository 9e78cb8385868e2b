"""The table of ``leave_one_rig_out.py``: counts of recordings, with intervals over specimens."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np

from secateur.core.seeds import generator

DRAWS = 2_000
HEADS = (
    "rig",
    "who answers",
    "answered %",
    "right of answered %",
    "right of all %",
    "windows right %",
    "healthy called faulty",
    "sure and wrong %",
    "no bearing refused %",
    "AUROC of unknown",
)

OPEN_HEADS = (
    "rig",
    "who leaves open",
    "left open",
    "of them balls",
    "would be right",
    "damaged, would be called normal",
    "damaged, would be called another damage",
    "healthy, would be called faulty",
    "right of all, were all answered %",
)


def figures_of(rows: list[dict], *, sure: float) -> dict:
    """Count recordings and windows, with 95 % intervals of a bootstrap over specimens."""
    answered = np.array([row["answer"] is not None for row in rows])
    right = np.array([row["answer"] == row["truth"] for row in rows])
    wrong = [row["answer"] not in (None, row["truth"]) and (row["confidence"] or 0.0) > sure for row in rows]
    healthy = [row for row in rows if row["truth"] == "normal"]
    windows = [call == row["truth"] for row in rows for call in row.get("windows", ())]
    specimens = [row["specimen"] for row in rows]
    return {
        "recordings": len(rows),
        "specimens": len(set(specimens)),
        "answered": _with_interval(answered, np.ones(len(rows)), specimens),
        "right_of_answered": _with_interval(right, answered, specimens),
        "right_of_all": _with_interval(right, np.ones(len(rows)), specimens),
        "windows_right": float(np.mean(windows)) if windows else None,
        "healthy": len(healthy),
        "healthy_called_faulty": sum(row["answer"] not in (None, "normal") for row in healthy),
        "sure_and_wrong": float(np.mean(wrong)) if rows[0]["confidence"] is not None else None,
    }


def open_figures(rows: list[dict]) -> dict[str, int | float]:
    """Say what the recordings without an answer would have been called by most of their windows."""
    counts = {"open": 0, "balls": 0, "right": 0, "missed": 0, "mistaken": 0, "false alarms": 0}
    for row in rows:
        if row["answer"] is not None:
            continue
        call, truth = Counter(row["windows"]).most_common(1)[0][0], row["truth"]
        counts["open"] += 1
        counts["balls"] += truth == "ball"
        outcome = "missed" if call == "normal" else "false alarms" if truth == "normal" else "mistaken"
        counts["right" if call == truth else outcome] += 1
    answered_right = sum(row["answer"] == row["truth"] for row in rows)
    return counts | {"right of all": (answered_right + counts["right"]) / len(rows)}


def _with_interval(counted: np.ndarray, of: np.ndarray, specimens: list[str]) -> list[float] | None:
    """Return a share and its interval; specimens are drawn with replacement."""
    if not of.sum():
        return None
    names = sorted(set(specimens))
    numbers = np.array([names.index(name) for name in specimens])
    above = np.bincount(numbers, counted.astype(float), len(names))
    below = np.bincount(numbers, of.astype(float), len(names))
    drawn = generator(0, "specimens").integers(len(names), size=(DRAWS, len(names)))
    total = below[drawn].sum(axis=1)
    shares = above[drawn].sum(axis=1)[total > 0] / total[total > 0]
    low, high = np.quantile(shares, [0.025, 0.975])
    return [float(counted.sum() / of.sum()), float(low), float(high)]


def table(
    known: dict, cells: list[dict], auroc: Callable[[list[dict], dict], float], *, sure: float
) -> tuple[str, dict]:
    """Return the table in Markdown, and its figures by rig and by who answers.

    The rows of several seeds stand together: each is one answer to one recording.
    """
    figures: dict[str, dict] = {}
    for rig, found in known["rigs"].items():
        parts = [found, *(cell for cell in cells if cell["rig"] == rig)]
        rows, foreign = defaultdict(list), defaultdict(list)
        for part in parts:
            for name, members in part["rows"].items():
                rows[name] += members
            for name, signals in part["strangers"].items():
                foreign[name].append((part["rows"][name], signals))
        figures[rig] = {name: figures_of(members, sure=sure) for name, members in rows.items()}
        for name in foreign:  # who may say nothing
            figures[rig][name]["left_open"] = open_figures(rows[name])
        for name, pairs in foreign.items():
            figures[rig][name]["refused"] = float(np.mean([signals["refused"] for _, signals in pairs]))
            figures[rig][name]["auroc_of_unknown"] = float(np.mean([auroc(*pair) for pair in pairs]))
        for cell in parts[1:]:
            dense, cut = (cell["rows"][f"others, {name}"] for name in ("dense", "cut"))
            alike = [a == b for one, other in zip(dense, cut, strict=True) for a, b in _windows(one, other)]
            figures[rig].setdefault("agreement", []).append(float(np.mean(alike)))
    lines = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    for rig, found in figures.items():
        agreement = found.pop("agreement", None)
        lines += [_line(rig, name, f) for name, f in found.items()]
        if agreement is not None:
            found["agreement"] = agreement
    for rig, found in figures.items():
        if "agreement" in found:
            shares = ", ".join(f"{100 * share:.1f}" for share in found["agreement"])
            lines += ["", f"{rig}: dense and cut call the same class in {shares} % of the windows."]
    lines += ["", "| " + " | ".join(OPEN_HEADS) + " |", "|" + "---|" * len(OPEN_HEADS)]
    for rig, found in figures.items():
        for name, f in found.items():
            if name != "agreement" and "left_open" in f:
                *counts, share = f["left_open"].values()
                lines.append("| " + " | ".join([rig, name, *map(str, counts), f"{100 * share:.1f}"]) + " |")
    femto = known["femto"]
    lines += [
        "",
        f"FEMTO, healthy first tenths: of {femto['asked']} bursts of 0.1 s the shipped diagnoser answers "
        f"{femto['answered']}; the rest are refused as shorter than a window.",
        "",
    ]
    return "\n".join(lines), {"rigs": figures, "femto": femto}


def _windows(one: dict, other: dict) -> list[tuple[str, str]]:
    return list(zip(one["windows"], other["windows"], strict=True))


def _line(rig: str, name: str, f: dict) -> str:
    def share(values: list[float] | None) -> str:
        if values is None:
            return "-"
        return f"{100 * values[0]:.1f} ({100 * values[1]:.0f} to {100 * values[2]:.0f})"

    def plain(value: float | None, form: str) -> str:
        return "-" if value is None else form.format(value)

    cells = [
        rig,
        name,
        share(f["answered"]),
        share(f["right_of_answered"]),
        share(f["right_of_all"]),
        plain(None if f["windows_right"] is None else 100 * f["windows_right"], "{:.1f}"),
        f"{f['healthy_called_faulty']} of {f['healthy']}",
        plain(None if f["sure_and_wrong"] is None else 100 * f["sure_and_wrong"], "{:.1f}"),
        plain(100 * f["refused"] if "refused" in f else None, "{:.0f}"),
        plain(f.get("auroc_of_unknown"), "{:.3f}"),
    ]
    return "| " + " | ".join(cells) + " |"
