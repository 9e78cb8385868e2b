"""Results on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from secateur.cli.console import Console
from secateur.cli.counted import counted
from secateur.report.device import in_words
from secateur.report.numbers import count, decimal, duration, percent, size, times
from secateur.report.sia import sentence
from secateur.report.stage_figure import stage_figure

FIGURES = ("accuracy", "macro_f1", "false_alarm_rate", "ece")


def verdict_sentences(verdict: Mapping[str, Any] | None) -> list[str]:
    """The verdict of a run, one sentence a reason and a caution; empty where there is none."""
    if verdict is None:
        return []
    cautions = [f"but note: {caution}" for caution in verdict["cautions"]]
    if verdict["fit_for_use"]:
        return ["fit for use: nothing in the figures of this run speaks against it", *cautions]
    return [*(f"not fit for use: {reason}" for reason in verdict["reasons"]), *cautions]


def print_run(result: Mapping[str, Any], out: Path) -> None:
    """Show what a run came to: dense beside pruned beside the rivals."""
    console = Console()
    for reason in verdict_sentences(result.get("verdict")):
        console.print(reason, highlight=False)
    split = result["split"]
    leak = "leaks: the test knows the specimens" if split["leaks"] else "does not leak"
    table = Table(title=f"{result['backbone']} on {split['protocol']} ({leak})")
    for heading in ("", "parameters", "accuracy % (95 %)", "macro-F1", "false\nalarms"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=not heading)
    rows = {"dense": result["dense"], "pruned": result["pruned"], **result["baselines"]}
    for name, figures in rows.items():
        table.add_row(
            name.replace("_", " "),
            count(figures.get("parameters")),
            _with_ends(figures["accuracy"], figures.get("accuracy_interval")),
            percent(figures["macro_f1"]),
            percent(figures["false_alarm_rate"]),
        )
    console.print(table)
    if result.get("sia"):
        console.print(f"before cutting: {sentence(result['sia'])}", highlight=False)
    if result.get("stages"):
        console.print(stage_table(result["stages"]))
    for curve in ("dense", "pruned"):
        if points := result[curve].get("snr_curve"):
            levels = "  ".join(f"{p['snr_db']:g} dB {percent(p['accuracy'])}" for p in points)
            console.print(f"{curve} under noise: {levels}")
    elsewhere = result.get("fidelity_elsewhere")
    console.print(
        f"{times(result['ratio'])} fewer {result.get('counted', 'parameters')}; the pruned model agrees with "
        f"the dense one on {percent(result['fidelity']['agreement'])} of the test windows "
        f"(KL {decimal(result['fidelity']['kl'])})"
        + (f", and on {percent(elsewhere['agreement'])} of those of simulated machines" if elsewhere else "")
    )
    if "bytes" in result:
        sizes = ", ".join(f"{name} {size(n_bytes)}" for name, n_bytes in result["bytes"].items())
        console.print(f"{sizes}; ONNX logits differ by at most {result['parity']['max_abs_diff']:.1e}")
    for name, entry in result.get("device", {}).items():
        console.print(in_words(name, entry), highlight=False)
    if result.get("stopped_by_floor"):
        console.print(f"stopped by the accuracy floor: {result['reason']}")
    for page in (out / "report.html", *sorted(out.glob("*/report.html"))):
        console.print(f"report: {page}", soft_wrap=True)


def _with_ends(share: float, ends: Sequence[float] | None) -> str:
    """Write a share with its interval, in per cent: '99.5 (98.9–100.0)'."""
    known = "" if not ends else f" ({100 * ends[0]:.1f}–{100 * ends[1]:.1f})"
    return f"{100 * share:.1f}{known}"


def stage_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """Return the stages of a method as a table, each with the figures that its recovery started from."""
    figure = stage_figure(records)
    table = Table(title=f"stages, {figure.words} on validation samples")
    for heading in ("stage", "parameters", "before", "cut", "re-fit", "recovered", "steps", "time"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for record in records:
        table.add_row(
            record["stage"] + ("" if record["accepted"] else " (undone)"),
            count(record["after_recovery"]["parameters"]),
            *(
                figure.write(record[moment][figure.key])
                for moment in ("before", "after_cut", "after_refit", "after_recovery")
            ),
            str(record["recovery_steps"]),
            duration(record["seconds"]),
        )
    return table


def print_stages(records: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Show what a pruning did."""
    console = Console()
    console.print(stage_table(records))
    console.print(f"checkpoint: {out}", soft_wrap=True)


def print_fit(fitted: Mapping[str, Any], out: Path) -> None:
    """Show how a training went."""
    Console().print(
        f"best at step {fitted['best_step']} of {fitted['steps']}: validation macro-F1 "
        f"{percent(fitted['validation_macro_f1'])}, loss {decimal(fitted['validation_loss'])} "
        f"({duration(fitted['seconds'])}, {fitted['precision']}); checkpoint: {out}",
        soft_wrap=True,
    )


def print_evaluation(result: Mapping[str, Any]) -> None:
    """Show the judgement of one checkpoint."""
    console = Console()
    evaluation, split = result["evaluation"], result["split"]
    low, high = evaluation["accuracy_interval"]
    table = Table(title=f"{split['protocol']}, {evaluation['windows']} test windows")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_row("parameters", count(evaluation["parameters"]))
    table.add_row("accuracy", f"{percent(evaluation['accuracy'])} (95 %: {percent(low)} to {percent(high)})")
    table.add_row("macro-F1", percent(evaluation["macro_f1"]))
    table.add_row("false alarms", percent(evaluation["false_alarm_rate"]))
    table.add_row("ECE", decimal(evaluation["ece"]))
    for name, recall in evaluation["per_class_recall"].items():
        table.add_row(f"recall {name}", percent(recall))
    for point in evaluation["snr_curve"]:
        table.add_row(f"accuracy at {point['snr_db']:g} dB", percent(point["accuracy"]))
    if result["fidelity"]:
        table.add_row("agreement with dense", percent(result["fidelity"]["agreement"]))
        table.add_row("KL from dense", decimal(result["fidelity"]["kl"]))
    console.print(table)
    if split["leaks"]:
        console.print(f"this split leaks: {split['leak_reason']}")
    if result["absent_classes"]:
        console.print(f"no window of {', '.join(result['absent_classes'])}: these classes are not judged")
    for label, number in result["unknown_classes"].items():
        console.print(
            f"not scored, as the model does not know the class: {counted(number, 'recording')} of {label}"
        )
    if split["caveat"]:
        console.print(split["caveat"])
