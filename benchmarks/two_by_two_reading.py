"""The lines of the 2 x 2 study as numbers by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

Line = dict[str, Any]
Figure = Callable[[Line], float]
BACKBONES = (("mha", "gelu"), ("mha", "swiglu"), ("gqa", "gelu"), ("gqa", "swiglu"))
NAMES = {"mha": "MHA", "gqa": "GQA", "gelu": "GELU", "swiglu": "SwiGLU"}
FEWEST_PAIRS = 10
SAME_IN_MHA = {"naive attention": "closed", "naive ffn": "naive"}
"""Multi-head attention is closed as it stands: these treatments are one and were measured once."""


def title(attention: str, ffn: str) -> str:
    """Return a backbone's name."""
    return f"{NAMES[attention]} + {NAMES[ffn]}"


def mean_of(name: str) -> Figure:
    """Return a reader of a figure's mean over all noise levels, clean included."""
    return lambda line: float(np.mean(line[name]))


def at_level(name: str, position: int) -> Figure:
    """Return a reader of a figure at one noise level; -1 is clean."""
    return lambda line: float(line[name][position])


def interval(values: Iterable[float]) -> tuple[float, float]:
    """Return mean and half-width of the 95 % t interval (NaN for a single value)."""
    found = np.array(list(values), dtype=float)
    if len(found) < 2:
        return (float(found.mean()) if len(found) else float("nan")), float("nan")
    half = stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
    return float(found.mean()), float(half)


def written(values: Iterable[float], *, scale: float = 100.0, digits: int = 1, sign: bool = False) -> str:
    """Write mean ± half-width, in per cent by default."""
    values = [scale * value for value in values]
    if not values:
        return "–"
    mean, half = interval(values)
    text = f"{mean:{'+' if sign else ''}.{digits}f}"
    return text if np.isnan(half) else f"{text} ± {half:.{digits}f}"


@dataclass(frozen=True)
class Results:
    """All lines of one task.

    Parameters
    ----------
    lines : list of dict
        Of one task; its folds are told apart by ``split``.
    splits : tuple of str
        The folds that a seed must have to count.
    """

    lines: list[Line]
    splits: tuple[str, ...]

    @cached_property
    def _index(self) -> dict[tuple, Line]:
        return {
            (
                line["split"],
                line["seed"],
                line["attention"],
                line["ffn"],
                line["treatment"],
                line["criterion"],
                line["ratio"],
                line["recovery_steps"],
            ): line
            for line in self.lines
        }

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of which there is a line."""
        return tuple(sorted({line["seed"] for line in self.lines}))

    def by_seed(
        self,
        figure: Figure,
        backbone: tuple[str, str],
        treatment: str,
        criterion: str | None = None,
        ratio: float = 1.0,
        steps: int = 0,
    ) -> dict[int, float]:
        """Return the mean of a figure over the folds, for each seed that has them all."""
        attention, ffn = backbone
        if attention == "mha":
            treatment = SAME_IN_MHA.get(treatment, treatment)
        found = {}
        for seed in self.seeds:
            keys = [
                (split, seed, attention, ffn, treatment, criterion, ratio, steps) for split in self.splits
            ]
            if all(key in self._index for key in keys):
                found[seed] = float(np.mean([figure(self._index[key]) for key in keys]))
        return found

    def ratios(self) -> list[float]:
        """Ratios that were cut to."""
        return sorted({line["ratio"] for line in self.lines if line["criterion"] is not None})

    def criteria(self) -> list[str]:
        """Criteria with which the naive treatment was made as well."""
        return sorted({line["criterion"] for line in self.lines if line["treatment"] == "naive"})

    def recovered(self) -> list[tuple[str, float, int]]:
        """Criterion, ratio and steps of the cuts that were recovered."""
        return sorted(
            {
                (line["criterion"], line["ratio"], line["recovery_steps"])
                for line in self.lines
                if line["recovery_steps"] and line["criterion"] is not None
            }
        )


def less(one: dict[int, float], other: dict[int, float]) -> list[float]:
    """Return differences seed by seed, where both have the seed."""
    return [one[seed] - other[seed] for seed in one if seed in other]


def split_by_task(lines: list[Line], folds: dict[str, tuple[str, ...]]) -> dict[str, Results]:
    """Return the results of each task, in the order given."""
    found = {
        name: Results([line for line in lines if line["task"] == name], splits)
        for name, splits in folds.items()
    }
    return {name: results for name, results in found.items() if results.lines}


def cell_of(line: Line) -> tuple:
    """Return what names the dense model behind a line."""
    return tuple(line[name] for name in ("task", "split", "seed", "attention", "ffn"))


def rank_correlations(
    results: Results, predictor: str, figure: Figure, kept: Callable[[Line], bool] = lambda _line: True
) -> list[float]:
    """Return, for each seed, Spearman's correlation over all unrecovered cuts of the four backbones.

    Parameters
    ----------
    predictor : str
        A figure of the calibration windows, or ``ratio``.
    figure : callable
        What it should predict: a loss on test windows, here the dense model's figure less the cut one's.
    kept : callable
        Which cuts count.
    """
    unrecovered = [line for line in results.lines if not line["recovery_steps"]]
    dense = {cell_of(line): figure(line) for line in unrecovered if line["treatment"] == "dense"}
    cuts = [line for line in unrecovered if line["criterion"] is not None and kept(line)]
    found = []
    for seed in results.seeds:
        pairs = [
            (line[predictor], dense[cell_of(line)] - figure(line))
            for line in cuts
            if line["seed"] == seed and cell_of(line) in dense
        ]
        if len(pairs) >= FEWEST_PAIRS:
            found.append(float(stats.spearmanr(*zip(*pairs, strict=True)).statistic))
    return found
