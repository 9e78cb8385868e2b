"""Does the cost over a lot, measured on calibration windows, tell what happens on test windows?

Reads the cuts of the 2 x 2 study, which set no limit: closed units by score, beside one lot of the same size
of the same dense model.

    python benchmarks/sia_validation_lots.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from two_by_two_reading import cell_of
from two_by_two_tables import head, row

from secateur.core.files import write_aside
from secateur.core.records import JsonLines

RESULTS = Path(__file__).parent / "results"
BINS = (0.0, 0.5, 0.8, 1.0, 1.25, float("inf"))
Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A cut by score beside a lot.

    Parameters
    ----------
    task : str
    foretold, happened : float
        KL from the dense model of the scored cut over that of the lot, on calibration and on test windows.
    loss, accuracy : float
        Scored less lot on test windows, mean over the noise levels.
    """

    task: str
    foretold: float
    happened: float
    loss: float
    accuracy: float


def comparisons(lines: Sequence[Line]) -> list[Comparison]:
    """Pair every closed cut by score with the lot of its model and ratio; before recovery."""
    cuts = [line for line in lines if line["treatment"] == "closed" and not line["recovery_steps"]]
    lots = {(cell_of(line), line["ratio"]): line for line in cuts if line["criterion"] == "random"}
    found = []
    for line in cuts:
        if line["criterion"] == "random":
            continue
        lot = lots[cell_of(line), line["ratio"]]
        mean = {name: (np.mean(line[name]), np.mean(lot[name])) for name in ("kl", "loss", "accuracy")}
        found.append(
            Comparison(
                task=line["task"],
                foretold=line["calibration_kl"] / lot["calibration_kl"],
                happened=float(mean["kl"][0] / mean["kl"][1]),
                loss=float(mean["loss"][0] - mean["loss"][1]),
                accuracy=float(mean["accuracy"][0] - mean["accuracy"][1]),
            )
        )
    return found


def table(found: Sequence[Comparison]) -> Iterator[str]:
    """What happened, by what was foretold."""
    yield from head(
        "foretold",
        "cuts",
        "KL below the lot's, %",
        "loss below the lot's, %",
        "accuracy above the lot's, %",
        "KL over the lot's, median",
        "accuracy less the lot's, points, mean",
    )
    for low, high in pairwise(BINS):
        own = [entry for entry in found if low <= entry.foretold < high]
        if own:
            yield row(
                f"{low:g} to {high:g}",
                len(own),
                f"{100 * np.mean([entry.happened < 1 for entry in own]):.0f}",
                f"{100 * np.mean([entry.loss < 0 for entry in own]):.0f}",
                f"{100 * np.mean([entry.accuracy > 0 for entry in own]):.0f}",
                f"{np.median([entry.happened for entry in own]):.2f}",
                f"{100 * np.mean([entry.accuracy for entry in own]):+.1f}",
            )


def page(found: Sequence[Comparison]) -> str:
    """Return the page."""
    parts = [
        "# Cost over a lot on calibration windows, and on test windows",
        "",
        "`python benchmarks/sia_validation_lots.py`",
        "",
        "All closed cuts of the 2 x 2 study before recovery, each beside one lot of the same size of the",
        "same dense model. Foretold: KL from the dense model of the scored cut over that of the lot, on",
        "calibration windows. The rest: test windows, means over noise levels and clean. The limit of the",
        "check is 1; it follows from what the figure means, and no cut of this table had a part in it.",
        "",
        *table(found),
        "",
    ]
    for task in sorted({entry.task for entry in found}):
        own = [entry for entry in found if entry.task == task]
        correlation = spearmanr(
            [entry.foretold for entry in own], [entry.happened for entry in own]
        ).statistic
        above, below = ([e for e in own if (e.foretold > 1) == side] for side in (True, False))
        parts.append(
            f"- {task}: {len(own)} cuts, rank correlation of the two {correlation:.2f}; of {len(above)}"
            f" foretold above 1, {sum(e.happened > 1 for e in above)} were; of {len(below)} foretold below,"
            f" {sum(e.happened < 1 for e in below)} were."
        )
    return "\n".join([*parts, ""])


def main() -> None:
    """Read the options and write the page."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--lines", type=Path, default=RESULTS / "two_by_two.jsonl")
    options.add_argument("--out", type=Path, default=RESULTS / "sia_validation_lots.md")
    given = options.parse_args()
    with write_aside(given.out) as aside:
        aside.write_text(page(comparisons(JsonLines(given.lines).read())), encoding="utf-8")


if __name__ == "__main__":
    main()
