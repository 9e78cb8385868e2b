"""Tables and figures of the 2 x 2 study.

    python benchmarks/two_by_two_tables.py studies/two_by_two.yaml --work runs/study

Writes ``benchmarks/results/two_by_two.jsonl`` (the lines), ``.json`` (with their origin and the numbers of
the tables), ``.md`` and ``two_by_two_*.png``. Works on whatever is finished.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from two_by_two_figures import draw
from two_by_two_reading import (
    BACKBONES,
    Line,
    Results,
    at_level,
    cell_of,
    interval,
    less,
    mean_of,
    rank_correlations,
    split_by_task,
    title,
    written,
)
from two_by_two_settings import SWITCHED_OFF, TREATED, Study, read_study

from secateur.core.files import write_aside
from secateur.core.provenance import provenance
from secateur.core.records import JsonLines, write_json

OUT = Path(__file__).parent / "results" / "two_by_two"
ACCURACY, CLEAN = mean_of("accuracy"), at_level("accuracy", -1)
PREDICTORS = {
    "calibration_loss_increase": "added task loss on calibration windows",
    "calibration_kl": "KL from the dense model on calibration windows",
    "ratio": "the ratio alone, for comparison",
}
PREDICTION = (
    "Spearman's correlation of predictors, from calibration windows only, with what test windows lose"
)
REFERENCE, TARGET = ("mha", "gelu"), ("gqa", "swiglu")


def row(*cells: object) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def head(*cells: object) -> list[str]:
    """Return the head of a Markdown table."""
    return [row(*cells), "|---" * len(cells) + "|"]


def dense_table(results: Results, study: Study) -> Iterator[str]:
    """What the dense models reach, and what each branch is worth to them."""
    levels = [*(f"{snr:g} dB" for snr in study.snr_db), "clean"]
    yield from head(
        "backbone", "model", "parameters", *(f"accuracy %, {level}" for level in levels), "F1 %", "n"
    )
    for backbone in BACKBONES:
        for treatment in ("dense", *SWITCHED_OFF):
            columns = [
                results.by_seed(at_level("accuracy", position), backbone, treatment)
                for position in range(len(levels))
            ]
            if not columns[0]:
                continue
            size = results.by_seed(lambda line: line["parameters"], backbone, treatment)
            f1 = results.by_seed(at_level("macro_f1", -1), backbone, treatment)
            yield row(
                title(*backbone),
                treatment,
                f"{int(np.mean(list(size.values()))):,}",
                *(written(column.values()) for column in columns),
                written(f1.values()),
                len(columns[0]),
            )


def accuracy_table(results: Results) -> Iterator[str]:
    """Accuracy, mean over noise levels and clean, of every cut before recovery."""
    ratios = results.ratios()
    yield from head("backbone", "criterion", "treatment", *(f"{ratio:g}x" for ratio in ratios))
    for backbone in BACKBONES:
        for criterion in results.criteria():
            for treatment in TREATED:
                if backbone[0] == "mha" and treatment.startswith("naive "):
                    continue
                values = [
                    results.by_seed(ACCURACY, backbone, treatment, criterion, ratio) for ratio in ratios
                ]
                yield row(title(*backbone), criterion, treatment, *(written(v.values()) for v in values))
        values = [results.by_seed(ACCURACY, backbone, "closed", "random", ratio) for ratio in ratios]
        yield row(title(*backbone), "random", "closed", *(written(v.values()) for v in values))


def gap_table(results: Results) -> Iterator[str]:
    """Points that cutting apart costs against closed units of the same criterion and size."""
    ratios = results.ratios()
    yield from head("backbone", "criterion", "cut apart", *(f"{ratio:g}x" for ratio in ratios))
    for backbone in BACKBONES:
        for criterion in results.criteria():
            for treatment, what in (
                ("naive attention", "query and key/value heads"),
                ("naive ffn", "FFN matrices"),
                ("naive", "both"),
            ):
                if backbone[0] == "mha" and treatment != "naive":
                    continue
                gaps = [
                    less(
                        results.by_seed(ACCURACY, backbone, treatment, criterion, ratio),
                        results.by_seed(ACCURACY, backbone, "closed", criterion, ratio),
                    )
                    for ratio in ratios
                ]
                yield row(title(*backbone), criterion, what, *(written(gap, sign=True) for gap in gaps))


def fidelity_table(results: Results) -> Iterator[str]:
    """How closely cuts follow the dense model, mean over all noise levels."""
    ratios = results.ratios()
    cells = [f"{ratio:g}x" for ratio in ratios]
    yield from head(
        "backbone",
        "criterion",
        "treatment",
        *(f"agreement %, {c}" for c in cells),
        *(f"KL, {c}" for c in cells),
    )
    for backbone in BACKBONES:
        for criterion in results.criteria():
            for treatment in ("closed", "naive"):
                kept = [
                    [
                        results.by_seed(mean_of(name), backbone, treatment, criterion, ratio).values()
                        for ratio in ratios
                    ]
                    for name in ("agreement", "kl")
                ]
                yield row(
                    title(*backbone),
                    criterion,
                    treatment,
                    *(written(values) for values in kept[0]),
                    *(written(values, scale=1, digits=2) for values in kept[1]),
                )


def recovery_table(results: Results) -> Iterator[str]:
    """Accuracy before and after an equal short recovery, beside the dense model trained as long."""
    yield from head(
        "backbone",
        "criterion",
        "ratio",
        "treatment",
        "before %",
        "after %",
        "after, less dense trained as long",
        "F1 after %",
    )
    for backbone in BACKBONES:
        for criterion, ratio, steps in results.recovered():
            control = results.by_seed(ACCURACY, backbone, "dense", steps=steps)
            for treatment in ("closed", "naive"):
                before = results.by_seed(ACCURACY, backbone, treatment, criterion, ratio)
                after = results.by_seed(ACCURACY, backbone, treatment, criterion, ratio, steps)
                f1 = results.by_seed(mean_of("macro_f1"), backbone, treatment, criterion, ratio, steps)
                yield row(
                    title(*backbone),
                    criterion,
                    f"{ratio:g}x",
                    treatment,
                    written(before.values()),
                    written(after.values()),
                    written(less(after, control), sign=True),
                    written(f1.values()),
                )


def goal_table(results: Results) -> Iterator[str]:
    """GQA + SwiGLU less MHA + GELU, seed by seed, in points."""
    yield from head("criterion", "ratio", "recovery steps", "closed", "naive")
    cuts = [(criterion, ratio, 0) for criterion in results.criteria() for ratio in results.ratios()]
    for criterion, ratio, steps in [*cuts, *results.recovered()]:
        gaps = [
            less(
                results.by_seed(ACCURACY, TARGET, treatment, criterion, ratio, steps),
                results.by_seed(ACCURACY, REFERENCE, treatment, criterion, ratio, steps),
            )
            for treatment in ("closed", "naive")
        ]
        yield row(criterion, f"{ratio:g}x", steps, *(written(gap, sign=True) for gap in gaps))


def prediction_table(results: Results) -> Iterator[str]:
    """Spearman's correlation of a predictor with the accuracy lost, over all cuts before recovery."""
    yield from head(
        "predictor", "cuts", "accuracy lost (mean over noise)", "accuracy lost (clean)", "added test loss"
    )
    chosen = {
        "all": lambda _line: True,
        "closed": lambda line: line["treatment"] == "closed",
        "cut apart": lambda line: line["treatment"] != "closed",
    }
    for predictor, meaning in PREDICTORS.items():
        for name, kept in chosen.items():
            figures = (ACCURACY, CLEAN, mean_of("loss"))
            # a loss grows where an accuracy falls
            signs = (1, 1, -1)
            cells = [
                written(
                    (sign * value for value in rank_correlations(results, predictor, figure, kept)),
                    scale=1,
                    digits=3,
                )
                for figure, sign in zip(figures, signs, strict=True)
            ]
            yield row(meaning, name, *cells)


TABLES = {
    "Dense models, and with all attention or all FFNs switched off": dense_table,
    "Accuracy %, mean over the noise levels and clean, before recovery": accuracy_table,
    "What cutting apart costs against closed units, points of that accuracy, seed by seed": gap_table,
    "After recovery": recovery_table,
    "GQA + SwiGLU less MHA + GELU, points, seed by seed": goal_table,
    PREDICTION: prediction_table,
    "Fidelity to the dense model, mean over the noise levels and clean, before recovery": fidelity_table,
}


def tables(by_task: dict[str, Results], study: Study) -> str:
    """Return all tables as Markdown."""
    wanted, made = len(list(study.cells())), len({cell_of(line) for line in by_task_lines(by_task)})
    parts = [f"{made} of {wanted} dense models. Mean over seeds ± half-width of the 95 % t interval.", ""]
    for task, results in by_task.items():
        parts += [f"## {task}", ""]
        for heading, table in TABLES.items():
            if table is recovery_table and not results.recovered():
                continue
            rows = table(results, study) if table is dense_table else table(results)
            parts += [f"**{heading}**", "", *rows, ""]
    together = Results(by_task_lines(by_task), ())
    parts += ["## All tasks together", "", f"**{PREDICTION}**", "", *prediction_table(together), ""]
    return "\n".join(parts)


def by_task_lines(by_task: dict[str, Results]) -> list[Line]:
    """Return the lines of all tasks."""
    return [line for results in by_task.values() for line in results.lines]


def numbers(by_task: dict[str, Results]) -> list[dict[str, Any]]:
    """Return mean and interval of the accuracy of every cut, for whoever wants to plot them."""
    found = []
    for task, results in by_task.items():
        for backbone in BACKBONES:
            for criterion in [*results.criteria(), "random"]:
                for treatment in TREATED:
                    for ratio in results.ratios():
                        values = results.by_seed(ACCURACY, backbone, treatment, criterion, ratio)
                        if not values:
                            continue
                        mean, half = interval(values.values())
                        found.append(
                            {
                                "task": task,
                                "attention": backbone[0],
                                "ffn": backbone[1],
                                "criterion": criterion,
                                "treatment": treatment,
                                "ratio": ratio,
                                "accuracy": mean,
                                "half_width": half,
                                "seeds": sorted(values),
                            }
                        )
    return found


def main() -> None:
    """Read the options and write everything."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("study", type=Path, help="YAML file of the study")
    options.add_argument("--work", type=Path, required=True, help="folder with results.jsonl")
    options.add_argument("--out", type=Path, default=OUT, help="files to write, without their endings")
    given = options.parse_args()
    study = read_study(given.study)
    folds: dict[str, tuple[str, ...]] = {}
    for task in study.tasks:
        folds[task.name] = (*folds.get(task.name, ()), task.split)
    lines = JsonLines(given.work / "results.jsonl").read()
    by_task = split_by_task(lines, folds)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    kept = JsonLines(given.out.with_suffix(".jsonl"))
    kept.clear()
    for line in lines:
        kept.append(line)
    origin = provenance(command=f"two_by_two_tables.py {given.study.name}")
    content = {"provenance": origin, "study": study.model_dump(), "accuracy": numbers(by_task)}
    write_json(given.out.with_suffix(".json"), content)
    with write_aside(given.out.with_suffix(".md")) as aside:
        aside.write_text(tables(by_task, study), encoding="utf-8")
    draw(by_task, given.out)


if __name__ == "__main__":
    main()
