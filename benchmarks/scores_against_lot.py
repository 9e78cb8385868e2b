"""Why do closed units chosen by lot do as well as scored ones at high ratios?

Cuts the dense models of the 2 x 2 study again, to the same widths in every layer, by more choices: several
lots, criteria, criteria in rounds, scores taken inside random sub-models of the wanted size, heads and
channels by different choices. Each as cut, with the means of the missing units put back, and some re-fitted.
Beside each: what the choice leaves of the FFNs' output, and accuracy and loss after class offsets are put
right. Finished ratios are kept, so the command goes on where it was stopped.

    export OMP_NUM_THREADS=1
    python benchmarks/two_by_two.py studies/two_by_two.yaml --data DIR --work runs/study
    python benchmarks/scores_against_lot.py studies/two_by_two.yaml --data DIR --work runs/study
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from scores_against_lot_choices import (
    Moments,
    by_criterion,
    identity_of,
    in_contexts,
    in_rounds,
    with_means,
)
from scores_against_lot_readout import Readout
from scores_against_lot_tables import write_all
from torch import nn
from two_by_two import dense_model, prepared
from two_by_two_cuts import closed_plan, widths_for
from two_by_two_settings import Cell, Study, read_study

from secateur.blockwise.refit import refit
from secateur.core.errors import DataError
from secateur.core.progress import console, quiet
from secateur.core.records import JsonLines
from secateur.core.seeds import derive
from secateur.models.binding import bind
from secateur.models.calls import Batch
from secateur.scoring.scores import Scores
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply

OUT = Path(__file__).parent / "results" / "scores_against_lot"
TASKS = ("load, raw patches",)
RATIOS = (8.0,)
LOTS = 5
CRITERIA = ("magnitude", "activation", "taylor", "surgeon")
REFITTED = ("lot 0", "lot 1", "taylor", "surgeon", "in contexts")
Line = dict[str, Any]


class Choices:
    """All ways to choose what stays of one dense model.

    Parameters
    ----------
    dense : nn.Module
    batches : sequence of dict
        Calibration windows.
    seed : int
    """

    def __init__(self, dense: nn.Module, batches: tuple[Batch, ...], *, seed: int) -> None:
        self._dense, self._batches, self._seed = dense, batches, seed
        self._whole = identity_of(bind(dense))
        self._scores = {name: by_criterion(name, dense, batches, seed=seed) for name in CRITERIA}
        self._lots = [
            by_criterion("random", dense, (), seed=derive(seed, "lot", number)) for number in range(LOTS)
        ]

    def plans(self, ratio: float) -> Iterator[tuple[str, PruningPlan, Line]]:
        """Yield name, plan and what else is known of each choice at a ratio."""
        widths = widths_for(self._whole, ratio)

        def chosen(scores: Scores) -> PruningPlan:
            return closed_plan(self._whole, scores, widths)

        for number, lot in enumerate(self._lots):
            yield f"lot {number}", chosen(lot), {}
        for name, scores in self._scores.items():
            yield name, chosen(scores), {}
        taylor, lot = self._scores["taylor"], self._lots[0]
        mixed = replace(lot, channels=taylor.channels)
        yield "taylor channels, heads by lot", chosen(mixed), {}
        yield "taylor heads, channels by lot", chosen(replace(taylor, channels=lot.channels)), {}
        yield "taylor in rounds", in_rounds("taylor", self._dense, self._batches, ratio, seed=self._seed), {}
        halves = [
            in_contexts(self._dense, self._batches[:1], widths, seed=derive(self._seed, half))
            for half in ("one", "other")
        ]
        both = replace(halves[0], **{kind: _sum(halves, kind) for kind in ("groups", "heads", "channels")})
        yield (
            "in contexts",
            chosen(both),
            {
                "contexts_agree": _correlation(halves[0], halves[1]),
                "dense_agrees": {name: _correlation(scores, both) for name, scores in self._scores.items()},
            },
        )


def _sum(halves: list[Scores], kind: str) -> tuple[np.ndarray, ...]:
    return tuple(one + other for one, other in zip(*(getattr(half, kind) for half in halves), strict=True))


def _correlation(one: Scores, other: Scores) -> float:
    """Spearman's correlation of the channels' scores, mean over layers."""
    pairs = zip(one.channels, other.channels, strict=True)
    return float(np.mean([spearmanr(*pair).statistic for pair in pairs]))


def run_cell(
    study: Study, cell: Cell, ratios: Sequence[float], *, data: Path, work: Path, lines: JsonLines
) -> None:
    """Measure what is missing of a dense model."""
    done = {line["ratio"] for line in lines.read() if all(line[k] == v for k, v in cell.record.items())}
    if not set(ratios) - done:
        return
    folder = work / "dense" / cell.name
    if not folder.exists():
        raise DataError(f"{folder} is not there; run two_by_two.py first, it trains the dense models.")
    preparation, task, test = prepared(study, data, cell.task, cell.seed)
    dense, _ = dense_model(study, cell, preparation, folder)
    readout = Readout(dense, test, task.calibration)
    dense_figures = readout.figures(dense)
    choices, moments = Choices(dense, task.calibration, seed=cell.seed), Moments(dense, task.calibration)
    for ratio in sorted(set(ratios) - done):
        found = [{**cell.record, "ratio": ratio, "choice": "dense", "repair": "none", **dense_figures}]
        for name, plan, more in choices.plans(ratio):
            record = {**cell.record, "ratio": ratio, "choice": name}
            cut = apply(dense, plan).eval()
            found.append(
                {
                    **record,
                    "repair": "none",
                    "channels": len(plan.layers[0].channels),
                    "heads": [len(plan.layers[0].groups), len(plan.layers[0].heads_of(0, 1))],
                    **readout.figures(cut),
                    "branch": asdict(moments.fit(plan, "channel")),
                    **more,
                }
            )
            with with_means(cut, moments.missing_means(plan)):
                found.append({**record, "repair": "means", **readout.figures(cut)})
            if name in REFITTED:
                refit(cut, plan, dense, task.calibration)
                found.append({**record, "repair": "refit", **readout.figures(cut)})
        # all lines of a ratio or none
        for line in found:
            lines.append(line)


def main() -> None:
    """Read the options and run."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("study", type=Path, help="YAML file of the study")
    options.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    options.add_argument("--work", type=Path, required=True, help="folder with the dense models of the study")
    options.add_argument("--out", type=Path, default=OUT, help="files to write, without their endings")
    options.add_argument("--tasks", nargs="+", default=list(TASKS), metavar="NAME")
    options.add_argument("--backbones", nargs="+", default=["mha_gelu", "gqa_swiglu"], metavar="NAME")
    options.add_argument("--ratios", nargs="+", type=float, default=list(RATIOS), metavar="R")
    options.add_argument("--seeds", nargs="+", type=int, metavar="N", help="only these seeds")
    given = options.parse_args()
    torch.set_num_threads(1)
    study = read_study(given.study)
    if given.seeds:
        study = study.model_copy(update={"seeds": tuple(given.seeds)})
    lines = JsonLines(given.out.with_suffix(".jsonl"))
    for cell in study.cells():
        if cell.task.name not in given.tasks or f"{cell.attention}_{cell.ffn}" not in given.backbones:
            continue
        begun = time.perf_counter()
        with quiet():
            run_cell(study, cell, given.ratios, data=given.data, work=given.work, lines=lines)
        console.print(f"{cell.name}: {time.perf_counter() - begun:.0f} s")
    write_all(lines.read(), given.out)


if __name__ == "__main__":
    main()
