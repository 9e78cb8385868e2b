"""How far a diagnoser can be cut on the Case Western recordings, and against what.

Trains the dense model of every cell (backbone x seed x split) once, cuts it by every method to every
ratio, judges all on clean and noisy test windows, and writes one JSON line a result. Finished results are
kept, so the command goes on where it was stopped. ``--tables`` turns the lines into ``docs/results.md``
tables.

    python benchmarks/cwru_compression.py --data DIR/cwru --work runs/cwru --jobs 2
    python benchmarks/cwru_compression.py --work runs/cwru --tables
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

BACKBONES = ("small-mha", "small-gqa")
SPLITS = ("load", "fault_size:7", "fault_size:14", "fault_size:21")
SNR_DB = (-10.0, -6.0, -2.0, 2.0, 6.0, 10.0)
TRAIN_STEPS, RECOVERY_STEPS = 300, 150
TEST_HOP = 8192
RATIO = 13.8
FURTHER_RATIOS = (27.0, 55.0, 110.0)
CUTTING = ("cascade", "one_shot", "scratch")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One dense model and all that is made of it."""

    backbone: str
    split: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the cell's folder."""
        return f"{self.backbone}_{self.split.replace(':', '-')}_{self.seed}"

    def cuts(self, methods: Collection[str], further: bool) -> Iterator[tuple[str, float]]:
        """Methods and ratios; further ratios on the task that has a smooth scale of difficulty."""
        for ratio in (RATIO, *(FURTHER_RATIOS if further and self.split == "load" else ())):
            yield from ((method, ratio) for method in CUTTING if method in methods)


def cells(seeds: int, splits: Collection[str]) -> list[Cell]:
    """All cells, one seed after the other, so that a stopped study has whole seeds."""
    return [
        Cell(backbone=backbone, split=split, seed=seed)
        for seed in range(seeds)
        for split in splits
        for backbone in BACKBONES
    ]


def run_cell(cell: Cell, data: str, work: Path, methods: Collection[str], further: bool) -> None:
    """Compute what is missing of a cell and append it to its file of results."""
    import torch

    from secateur.core.progress import console
    from secateur.core.records import JsonLines
    from secateur.methods.scratch import Scratch
    from secateur.models import checkpoint
    from secateur.models.binding import bind
    from secateur.recovery.settings import RecoverySettings
    from secateur.structure.budget import Budget, smallest_parameters
    from secateur.structure.counting import shape_parameters
    from secateur.training.classical import fit_fault_line_regression, fit_forest
    from secateur.training.evaluate import evaluate, fidelity, predict
    from secateur.training.settings import FitSettings
    from secateur.workflow.cut_settings import CutSettings
    from secateur.workflow.settings import TaskSettings
    from secateur.workflow.steps import calibrated_task, train_dense
    from secateur.workflow.task import prepare_one

    torch.set_num_threads(1)
    console.quiet = True
    folder = work / cell.name
    lines = JsonLines(folder / "results.jsonl")
    done = {(line["method"], line["asked_ratio"]) for line in lines.read()}
    task = TaskSettings(data=data, split=cell.split, seed=cell.seed, test_hop=TEST_HOP)
    prepared = prepare_one(task)
    dense = train_dense(
        prepared,
        backbone=cell.backbone,
        task=task,
        settings=FitSettings(max_steps=TRAIN_STEPS),
        folder=folder / "dense",
    )
    dense_logits = predict(dense, prepared.test, seed=cell.seed)
    trained_steps = checkpoint.describe(folder / "dense").metadata["fit"]["steps"]

    def judge(method: str, ratio: float | None, model: Any, started: float, **more: Any) -> None:
        evaluation = evaluate(
            model, prepared.test, classes=prepared.classes, snr_curve_db=SNR_DB, seed=cell.seed
        )
        closeness = fidelity(dense_logits, predict(model, prepared.test, seed=cell.seed))
        lines.append(
            {
                **asdict(cell),
                "method": method,
                "asked_ratio": ratio,
                "evaluation": evaluation,
                "fidelity": closeness,
                "leaks": prepared.split.leaks,
                "data_sha256": prepared.data_sha256,
                "seconds": time.perf_counter() - started,
                **more,
            }
        )

    started = time.perf_counter()
    n_classes = len(prepared.classes)
    if ("dense", None) not in done:
        judge("dense", None, dense, started, samples_seen=trained_steps * FitSettings.batch_size)
    classical = {
        "random_forest": lambda: fit_forest(prepared.train, n_classes=n_classes, seed=cell.seed),
        "fault_line_regression": lambda: fit_fault_line_regression(
            prepared.train, prepared.validation, n_classes=n_classes, seed=cell.seed
        ),
    }
    for name, make in classical.items():
        # they know nothing of the backbone
        if cell.backbone == BACKBONES[0] and (name, None) not in done:
            judge(name, None, make(), time.perf_counter())

    recovery = RecoverySettings(max_steps=RECOVERY_STEPS)
    calibrated = calibrated_task(prepared, seed=cell.seed, settings=recovery)
    bound = bind(dense)
    # one layer, one group, one channel: GQA with two query heads a group ends at about 105x
    largest = shape_parameters(bound.spec.family, bound.shape) / smallest_parameters(
        bound.spec.family, bound.shape
    )
    plans: dict[float, Any] = {}
    for method, ratio in cell.cuts(methods, further):
        place = folder / f"{method}-{ratio:g}"
        if (method, ratio) in done:
            continue
        started = time.perf_counter()
        if method == "scratch":
            plan = plans.get(ratio) or checkpoint.describe(folder / f"cascade-{ratio:g}").plan
            made = Scratch(plan=plan, extra_steps=trained_steps).compress(dense, calibrated, None, recovery)
        else:
            cut = CutSettings(method=method, ratio=ratio)
            budget = Budget(ratio=min(ratio, largest))
            made = cut.chosen_method.compress(dense, calibrated, budget, recovery)
            checkpoint.save(made.model, place, plan=made.plan)
            plans[ratio] = made.plan if method == "cascade" else plans.get(ratio)
        judge(
            method,
            ratio,
            made.model,
            started,
            samples_seen=made.samples_seen,
            kept=[(len(layer.groups), len(layer.channels)) for layer in made.plan.layers],
            stages=[
                {
                    "stage": record.stage,
                    "after_cut": record.after_cut,
                    "after_refit": record.after_refit,
                    "after_recovery": record.after_recovery,
                    "seconds": record.seconds,
                }
                for record in made.records
            ],
        )


def main() -> None:
    """Parse the command line and run or tabulate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder of the Case Western recordings")
    parser.add_argument("--work", type=Path, required=True, help="folder for models and results")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--splits", default=",".join(SPLITS))
    parser.add_argument("--jobs", type=int, default=1, help="cells computed at a time, one core each")
    parser.add_argument(
        "--methods", default=",".join(CUTTING), help="beside dense and classical models; '' for none"
    )
    parser.add_argument("--further", action="store_true", help="cut to 27, 55 and 110 times as well")
    parser.add_argument("--tables", action="store_true", help="print the tables of what is there")
    arguments = parser.parse_args()
    if arguments.tables:
        from cwru_tables import print_tables

        print_tables(arguments.work)
        return
    if arguments.data is None:
        parser.error("--data is needed to run")
    os.environ["OMP_NUM_THREADS"] = "1"
    methods = tuple(name for name in arguments.methods.split(",") if name)
    data = str(Path(arguments.data).resolve())
    with ProcessPoolExecutor(max_workers=arguments.jobs) as pool:
        futures = {
            pool.submit(run_cell, cell, data, arguments.work, methods, arguments.further): cell
            for cell in cells(arguments.seeds, arguments.splits.split(","))
        }
        for future in as_completed(futures):
            future.result()
            print(f"{futures[future].name} done", flush=True)


if __name__ == "__main__":
    main()
