"""Tables of ``cwru_compression.py`` as Markdown: means over seeds with 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from secateur.core.records import JsonLines

BACKBONES = ("small-mha", "small-gqa")
FOLDS = ("fault_size:7", "fault_size:14", "fault_size:21")
METHODS = ("dense", "cascade", "one_shot", "scratch", "random_forest", "fault_line_regression")
NAMES = {
    "one_shot": "one-shot Taylor",
    "scratch": "same shape from scratch",
    "random_forest": "random forest",
    "fault_line_regression": "regression on fault lines",
}
RATIO = 13.8
CLASSICAL = ("random_forest", "fault_line_regression")
Line = dict[str, Any]


def read_lines(work: Path) -> list[Line]:
    """Read the results of all cells."""
    return [line for path in sorted(work.glob("*/results.jsonl")) for line in JsonLines(path).read()]


def interval(values: Iterable[float]) -> tuple[float, float]:
    """Return mean and half-width of the 95 % t interval of values (NaN for a single one)."""
    values = np.array(list(values), dtype=float)
    if len(values) < 2:
        return float(values.mean()), float("nan")
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def written(values: Iterable[float], scale: float = 100.0, sign: bool = False) -> str:
    """Write mean ± half-width, in per cent by default."""
    values = list(values)
    if not values:
        return "–"
    mean, half = interval(scale * value for value in values)
    text = f"{mean:+.1f}" if sign else f"{mean:.1f}"
    return text if np.isnan(half) else f"{text} ± {half:.1f}"


def select(lines: Iterable[Line], **wanted: Any) -> dict[int, Line]:
    """Return the lines with these values, by seed."""
    return {line["seed"]: line for line in lines if all(line[key] == value for key, value in wanted.items())}


def asked(method: str, ratio: float = RATIO) -> float | None:
    """Return the ratio under which a method's line is filed."""
    return ratio if method in ("cascade", "one_shot", "scratch") else None


def wanted_lines(backbone: str, method: str) -> dict[str, Any]:
    """Return what picks a method's lines; the classical ones are filed under the first backbone only."""
    filed = BACKBONES[0] if method in CLASSICAL else backbone
    return {"backbone": filed, "method": method, "asked_ratio": asked(method)}


def by_seed(
    lines: list[Line], splits: Iterable[str], figure: Callable[[Line], float], **wanted: Any
) -> list[float]:
    """Return the mean of a figure over splits, one value for each seed that has them all."""
    found = [select(lines, split=split, **wanted) for split in splits]
    seeds = sorted(set.intersection(*(set(entry) for entry in found)))
    return [float(np.mean([figure(entry[seed]) for entry in found])) for seed in seeds]


def at_snr(snr_db: float | None, name: str = "accuracy") -> Callable[[Line], float]:
    """Return a function that reads a figure at a noise level (None: clean)."""

    def read(line: Line) -> float:
        evaluation = line["evaluation"]
        if snr_db is None:
            return evaluation[name]
        return next(point[name] for point in evaluation["snr_curve"] if point["snr_db"] == snr_db)

    return read


def headline(lines: list[Line]) -> None:
    """Clean figures of every method on the leaking and on the honest protocol."""
    for title, splits in (("`load` (leaks)", ("load",)), ("`fault_size:all` (does not leak)", FOLDS)):
        print(f"\n**{title}, clean test windows, {RATIO:g}x**\n")
        print(
            "| backbone | model | parameters | accuracy % | macro-F1 % | false alarms % | agreement % | n |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for backbone in BACKBONES:
            for method in METHODS:
                wanted = wanted_lines(backbone, method)
                one = select(lines, split=splits[0], **wanted)
                if not one:
                    continue
                size = next(iter(one.values()))["evaluation"]["parameters"]
                columns = [
                    written(by_seed(lines, splits, at_snr(None, name), **wanted))
                    for name in ("accuracy", "macro_f1", "false_alarm_rate")
                ]
                accuracies = by_seed(lines, splits, at_snr(None), **wanted)
                agreement = (
                    written(by_seed(lines, splits, lambda line: line["fidelity"]["agreement"], **wanted))
                    if asked(method)
                    else "–"
                )
                print(
                    f"| {backbone} | {NAMES.get(method, method)} | {f'{size:,}' if size else '–'} | "
                    f"{' | '.join(columns)} | {agreement} | {len(accuracies)} |"
                )


def levels(lines: list[Line]) -> list[float]:
    """Noise levels of the curve."""
    return [point["snr_db"] for point in lines[0]["evaluation"]["snr_curve"]]


def noise(lines: list[Line]) -> None:
    """The curve over noise levels, and pruned less dense seed by seed."""
    for title, splits in (("`load`", ("load",)), ("`fault_size:all`", FOLDS)):
        print(f"\n**{title}, accuracy % under white noise, {RATIO:g}x**\n")
        snrs = levels(lines)
        print("| backbone | model | " + " | ".join(f"{snr:g} dB" for snr in snrs) + " | clean |")
        print("|---" * (len(snrs) + 3) + "|")
        for backbone in BACKBONES:
            rows = {
                method: [
                    by_seed(lines, splits, at_snr(snr), **wanted_lines(backbone, method))
                    for snr in (*snrs, None)
                ]
                for method in METHODS
            }
            for method, columns in rows.items():
                if columns[0]:
                    cells = " | ".join(written(values) for values in columns)
                    print(f"| {backbone} | {NAMES.get(method, method)} | {cells} |")
            if len(rows["cascade"][0]) == len(rows["dense"][0]):
                gaps = [
                    np.subtract(cut, dense) for cut, dense in zip(rows["cascade"], rows["dense"], strict=True)
                ]
                print(
                    f"| {backbone} | *cascade less dense, points* | "
                    + " | ".join(written(g, sign=True) for g in gaps)
                    + " |"
                )


def further(lines: list[Line]) -> None:
    """How far it can go: mean accuracy over the noise curve, less that of the dense model."""
    ratios = sorted({line["asked_ratio"] for line in lines if line["asked_ratio"]})
    print("\n**`load`, mean accuracy over the noise curve and clean, less dense, in points**\n")
    print("| backbone | model | " + " | ".join(f"{ratio:g}x" for ratio in ratios) + " |")
    print("|---" * (len(ratios) + 2) + "|")

    def whole(line: Line) -> float:
        points = line["evaluation"]["snr_curve"]
        return float(np.mean([line["evaluation"]["accuracy"], *(point["accuracy"] for point in points)]))

    for backbone in BACKBONES:
        dense = select(lines, split="load", backbone=backbone, method="dense")
        for method in ("cascade", "one_shot", "scratch"):
            cells = []
            for ratio in ratios:
                cut = select(lines, split="load", backbone=backbone, method=method, asked_ratio=ratio)
                pairs = [(cut[seed], dense[seed]) for seed in cut if seed in dense]
                gap = written([whole(small) - whole(large) for small, large in pairs], sign=True)
                sizes = [small["evaluation"]["parameters"] for small, _ in pairs]
                cells.append(f"{gap} ({np.mean(sizes) / 1e3:.0f} k, n={len(pairs)})" if pairs else "–")
            print(f"| {backbone} | {NAMES.get(method, method)} | {' | '.join(cells)} |")


def stages(lines: list[Line]) -> None:
    """What the last stage of the cascade does to validation windows: cut, re-fitted, recovered."""
    print(f"\n**Cascade to {RATIO:g}x, last stage, clean validation windows, all splits and seeds**\n")
    print("| backbone | moment | accuracy % | agreement with dense % | KL from dense |")
    print("|---|---|---|---|---|")
    for backbone in BACKBONES:
        last = [
            line["stages"][-1]
            for line in lines
            if line["backbone"] == backbone and line["method"] == "cascade" and line["asked_ratio"] == RATIO
        ]
        for moment in ("after_cut", "after_refit", "after_recovery"):
            figures = [stage[moment] for stage in last]
            cells = [written(figure[name] for figure in figures) for name in ("accuracy", "agreement")]
            kl = float(np.mean([figure["kl"] for figure in figures]))
            print(f"| {backbone} | {moment.replace('_', ' ')} | {' | '.join(cells)} | {kl:.3f} |")


def print_tables(work: Path) -> None:
    """Print all tables."""
    lines = read_lines(work)
    print("Mean over seeds ± half-width of the 95 % t interval.")
    headline(lines)
    noise(lines)
    further(lines)
    stages(lines)
