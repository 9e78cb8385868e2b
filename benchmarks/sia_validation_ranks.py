"""Cells of the validation and how well predictors order them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from secateur.core.seeds import generator
from secateur.sia.measured.bootstrap import NOTHING, REPLICATES, correlation_of
from secateur.sia.measured.measurement import Estimate

PREDICTORS = {
    "d": "D",
    "d_divergence": "KL (MiniLM: distance)",
    "share": "share alone",
}
FEWEST = 5


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cut.

    Parameters
    ----------
    subject, treatment, criterion : str
    share : float
        Of the block parameters.
    d, d_divergence : float
        Predictors, from calibration text.
    measured : float
        Loss on held-out text.
    """

    subject: str
    treatment: str
    criterion: str
    share: float
    d: float
    d_divergence: float
    measured: float


def cells_of(lines: Sequence[dict[str, Any]]) -> list[Cell]:
    """Return the cuts among the lines."""
    return [
        Cell(
            **{name: line[name] for name in ("subject", "treatment", "criterion", "share", "measured")},
            d=_d(line["d_loss"], line["d_divergence"]),
            d_divergence=line["d_divergence"],
        )
        for line in lines
        if line["kind"] == "cut"
    ]


def _d(loss: float | None, divergence: float) -> float:
    """The task loss where there is one, or else the distance, as the verdict takes it."""
    return divergence if loss is None or math.isnan(loss) else loss


def correlation(cells: Sequence[Cell], predictor: str, *, by_share: bool = False) -> Estimate:
    """Return Spearman's correlation of a predictor with the measured loss.

    Cells are ranked within their family (and share), ranks are brought to -1/2 .. 1/2, and the correlation is
    that of all ranks. With one family this is Spearman's own. The bootstrap draws cells within the same sets.

    Parameters
    ----------
    cells : sequence of Cell
    predictor : str
        A key of :data:`PREDICTORS`.
    by_share : bool
        Rank within family and share.

    Returns
    -------
    Estimate
        NaN with fewer than five cells, or where the predictor is constant.
    """
    if len(cells) < FEWEST:
        return NOTHING
    sets: dict[tuple, list[tuple[float, float]]] = {}
    for cell in cells:
        key = (cell.subject, cell.share) if by_share else (cell.subject,)
        sets.setdefault(key, []).append((getattr(cell, predictor), cell.measured))
    pairs = [np.array(entries) for entries in sets.values()]
    draw = generator(0, "validation", predictor)
    values = [_pooled(pairs)]
    for _ in range(REPLICATES):
        values.append(_pooled([entries[draw.integers(len(entries), size=len(entries))] for entries in pairs]))
    return correlation_of(np.array(values))


def _pooled(sets: Sequence[np.ndarray]) -> float:
    ranks = np.concatenate([_centred(entries) for entries in sets])
    lengths = np.sqrt(np.square(ranks).sum(axis=0))
    return float("nan") if lengths.min() == 0 else float(ranks[:, 0] @ ranks[:, 1] / lengths.prod())


def _centred(entries: np.ndarray) -> np.ndarray:
    """Ranks from -1/2 to 1/2, so that a set counts by its cells and not by how many ranks it has."""
    return (rankdata(entries, axis=0) - (len(entries) + 1) / 2) / len(entries)


def written(estimate: Estimate) -> str:
    """Write a correlation with its interval."""
    if math.isnan(estimate.value):
        return "–"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
