"""{MHA, GQA} x {GELU, SwiGLU}, cut each matrix by itself and by closed units: which of the two breaks what.

Four backbones of equal width, depth and parameters are trained alike and cut to the same ratios, with three
criteria, closed and apart at exactly the same sizes, and judged over noise levels before any recovery; some
cuts also after an equal short recovery. One JSON line a result; finished results are kept, so the command
goes on where it was stopped. ``two_by_two_tables.py`` makes tables and figures of the lines.

    OMP_NUM_THREADS=1 python benchmarks/two_by_two.py studies/two_by_two.yaml --data DIR --work runs/study
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from two_by_two_cuts import closed_plan, mismatches, widths_for, without_branch
from two_by_two_judging import Judge, NoisyWindows, parameters_of
from two_by_two_models import build, load, save
from two_by_two_settings import SWITCHED_OFF, TREATED, Cell, Study, TaskChoice, read_study

from secateur.core.progress import console
from secateur.core.records import JsonLines
from secateur.core.seeds import derive
from secateur.models.binding import bind
from secateur.recovery.recover import recover
from secateur.recovery.settings import RecoverySettings
from secateur.scoring.matrices import matrix_scores
from secateur.scoring.registered import CRITERIA
from secateur.structure.plan import PruningPlan
from secateur.surgery.apart import ApartPlan, choose_apart, cut_apart
from secateur.tasks.windows import WindowTask
from secateur.training.augment import Augmentation
from secateur.training.fit import fit
from secateur.training.settings import FitSettings
from secateur.workflow.settings import TaskSettings
from secateur.workflow.task import Preparation, prepare_one

RECOVERED = ("closed", "naive")
FLOOR = "random"
KEY = ("task", "split", "seed", "attention", "ffn", "treatment", "criterion", "ratio", "recovery_steps")


@lru_cache(maxsize=1)
def prepared(
    study: Study, data: Path, choice: TaskChoice, seed: int
) -> tuple[Preparation, WindowTask, NoisyWindows]:
    """Everything that the four backbones of a task and seed share."""
    preparation = prepare_one(
        TaskSettings(
            data=str(data / choice.data),
            split=choice.split,
            seed=seed,
            window_length=choice.window_length,
            train_hop=choice.train_hop,
            test_hop=choice.test_hop,
        )
    )
    task = WindowTask.from_windows(
        preparation.train,
        preparation.validation,
        seed=seed,
        augmentation=Augmentation(),
        calibration_samples=study.calibration_windows,
        probe_samples=1,
    )
    test = NoisyWindows.of(preparation.test, study.levels, most=study.max_test_windows, seed=seed)
    return preparation, task, test


def dense_model(study: Study, cell: Cell, preparation: Preparation, folder: Path) -> tuple[nn.Module, int]:
    """Train the dense model of a cell, or load it; return it with the steps that it was trained for."""
    model = build(study, cell, preparation)
    if (kept := load(model, folder)) is not None:
        return kept[0], kept[1]["steps"]
    settings = FitSettings(
        **cell.task.training.model_dump(),
        precision="fp32",
        evaluate_every=100,
        seed=derive(cell.seed, "fit"),
    )
    result = fit(model, preparation.train, preparation.validation, settings)
    model.eval()
    save(model, folder, {**cell.record, "steps": result.steps})
    return model, result.steps


def run_cell(study: Study, cell: Cell, *, data: Path, work: Path, lines: JsonLines) -> None:
    """Measure what is missing of a cell."""
    done = {tuple(line[name] for name in KEY) for line in lines.read()}
    wanted = list(_wanted(study, cell))
    if all(_key(cell, entry) in done for entry in wanted):
        return
    preparation, task, test = prepared(study, data, cell.task, cell.seed)
    started = time.perf_counter()
    dense, steps = dense_model(study, cell, preparation, work / "dense" / cell.name)
    trained_s = time.perf_counter() - started
    judge = Judge(dense, test, task.calibration)
    bound = bind(dense)
    identity = PruningPlan.identity(bound.spec.family, bound.shape)
    scored: dict[str, tuple[Any, Any]] = {}

    def record(entry: dict[str, Any], model: nn.Module, **more: Any) -> None:
        lines.append({**cell.record, **entry, "parameters": parameters_of(model), **more})

    for entry in wanted:
        if _key(cell, entry) in done:
            continue
        started = time.perf_counter()
        name, more = entry["criterion"], {}
        if entry["treatment"] == "dense":
            model = deepcopy(dense)
            more = {"trained_steps": steps, "trained_s": trained_s, "classes": len(preparation.classes)}
        elif entry["treatment"] in SWITCHED_OFF:
            model = without_branch(dense, SWITCHED_OFF[entry["treatment"]])
        else:
            if name not in scored:
                scores = CRITERIA.get(name)().score(dense, bound, task.calibration, seed=cell.seed)
                alone = (
                    matrix_scores(dense, bound, task.calibration, criterion=name)
                    if name in study.criteria
                    else ()
                )
                scored[name] = scores, alone
            widths = widths_for(identity, entry["ratio"])
            closed = closed_plan(identity, scored[name][0], widths)
            if entry["treatment"] == "closed":
                plan = ApartPlan.of_closed(closed, gated=cell.ffn == "swiglu")
            else:
                plan = choose_apart(closed, scored[name][1], parts=TREATED[entry["treatment"]])
            model = cut_apart(dense, plan).eval()
            more = {"widths": widths, **mismatches(bound, plan), **judge.predictors(model)}
        if entry["recovery_steps"]:
            _recover(study, cell, model, dense, preparation)
        figures = judge.figures(model, own_front_end=bool(entry["recovery_steps"]))
        record(entry, model, **more, **figures, seconds=time.perf_counter() - started)


def _recover(study: Study, cell: Cell, model: nn.Module, dense: nn.Module, prepared: Preparation) -> None:
    settings = RecoverySettings(
        max_steps=study.recovery.steps,
        batch_size=study.recovery.batch_size,
        warmup_steps=study.recovery.steps // 8,
        evaluate_every=study.recovery.steps,
        precision="fp32",
        seed=derive(cell.seed, "recover"),
    )
    recover(model, dense, WindowTask(train=prepared.train, validation=prepared.validation), settings)
    model.eval()


def _wanted(study: Study, cell: Cell) -> Iterator[dict[str, Any]]:
    def entry(treatment: str, criterion: str | None, ratio: float, steps: int) -> dict[str, Any]:
        return {"treatment": treatment, "criterion": criterion, "ratio": ratio, "recovery_steps": steps}

    yield entry("dense", None, 1.0, 0)
    yield from (entry(branch, None, 1.0, 0) for branch in SWITCHED_OFF)
    for ratio in cell.task.ratios:
        yield entry("closed", FLOOR, ratio, 0)
        for criterion in study.criteria:
            yield from (entry(treatment, criterion, ratio, 0) for treatment in cell.treatments)
    steps = study.recovery.steps
    if cell.task.recovered:
        yield entry("dense", None, 1.0, steps)
    for cut in cell.task.recovered:
        yield from (entry(treatment, cut.criterion, cut.ratio, steps) for treatment in RECOVERED)


def _key(cell: Cell, entry: dict[str, Any]) -> tuple[Any, ...]:
    line = {**cell.record, **entry}
    return tuple(line[name] for name in KEY)


def main() -> None:
    """Read the options and run."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("study", type=Path, help="YAML file of the study")
    options.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    options.add_argument("--work", type=Path, required=True, help="folder of dense models and results")
    options.add_argument("--tasks", nargs="+", metavar="NAME", help="only these tasks")
    options.add_argument("--seeds", nargs="+", type=int, metavar="N", help="only these seeds")
    given = options.parse_args()
    torch.set_num_threads(1)
    study = read_study(given.study)
    if given.seeds:
        study = study.model_copy(update={"seeds": tuple(given.seeds)})
    names = given.tasks or [task.name for task in study.tasks]
    cells = [cell for cell in study.cells() if cell.task.name in names]
    lines = JsonLines(given.work / "results.jsonl")
    begun = time.perf_counter()
    for number, cell in enumerate(cells, start=1):
        console.quiet = True
        run_cell(study, cell, data=given.data, work=given.work, lines=lines)
        console.quiet = False
        console.print(f"{number} of {len(cells)}: {cell.name}, {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
