"""A comparison of orders on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from secateur.cli.console import Console
from secateur.cli.counted import counted
from secateur.report.figures.order_colours import ARM_WORDS, arm_in_words
from secateur.report.numbers import MISSING, count, decimal, percent, points

LEVEL = 0.05


def print_order(result: Mapping[str, Any], out: Path) -> None:
    """Show the orders with their tests, the staleness of each pair, and where the pictures are."""
    console = Console()
    summary, split = result["summary"], result["split"]
    console.print(_orders(result))
    for name, reason in summary["failed"].items():
        console.print(f"{arm_in_words(name)} was not finished: {reason}")
    console.print(_verdict(summary, len(result["seeds"])))
    for how, title in (
        ("matched", "staleness after single stages of equal size"),
        ("cascade", "staleness after the first stage of a cascade"),
    ):
        if summary["staleness"][how]:
            console.print(_staleness(summary["staleness"][how], title))
            for entry in summary["asymmetry"][how]:
                console.print(_asymmetry(entry))
    if summary["information"]:
        console.print(_information(summary["information"]))
    for name, words in (("usable", "usable information"), ("kernel", "kernel dependence")):
        broken = summary["violations"][name]
        console.print(
            f"{words} rises beyond its interval at {broken['violations']} of {broken['steps']} steps; "
            "the data-processing inequality bounds neither (see result.json for each)"
        )
        if broken["largest"] is not None:
            model = broken["largest"]["model"]
            where = "the dense model" if model == "dense" else f"the model after {model}"
            console.print(f"the largest, in {where}: {broken['largest']['why']}")
    if split["leaks"]:
        console.print(f"this split leaks: {split['leak_reason']}")
    console.print(f"result: {out / 'result.json'}; pictures: {out / 'pictures'}", soft_wrap=True)


def _orders(result: Mapping[str, Any]) -> Table:
    summary, settings = result["summary"], result["settings"]
    tests = {figure: {test["name"]: test for test in found} for figure, found in summary["tests"].items()}
    table = Table(
        title=f"{settings['backbone']} on {result['split']['protocol']} at {settings['ratio']:g}x, "
        f"{counted(len(result['seeds']), 'seed')}, mean over the noise levels"
    )
    for heading in ("order", "parameters", "accuracy", "to L-G-C", "p", "KL to dense", "p"):
        table.add_column(heading, justify="left" if heading == "order" else "right")
    reference = summary["reference"]
    table.add_row(
        "dense, as trained",
        count(reference["parameters"]["mean"]),
        _share(reference["accuracy"]),
        "",
        "",
        "",
        "",
    )
    for name, figures in summary["arms"].items():
        accuracy, kl = (tests[figure].get(name) for figure in ("accuracy", "kl"))
        table.add_row(
            _initials(name),
            count(figures["parameters"]["mean"]),
            _share(figures["accuracy"]),
            "" if accuracy is None else points(accuracy["difference"], 0.0),
            _p_value(accuracy),
            decimal(figures["kl"]["mean"]),
            _p_value(kl),
        )
    table.caption = (
        "L layers, G groups, C channels; accuracy with its 95 % interval over seeds; p: paired t-test "
        "against L-G-C, Holm-corrected (exact sign-flip test in brackets)"
    )
    return table


def _initials(name: str) -> str:
    """Write an order in its initials: 'layers-groups-channels' -> 'L-G-C'."""
    if name in ARM_WORDS:
        return {"joint": "joint one-shot", "dense": "dense, recovered"}[name]
    return "-".join(stage[0].upper() for stage in name.split("-"))


def _share(figure: Mapping[str, Any]) -> str:
    if figure["interval"] is None:
        return percent(figure["mean"])
    low, high = figure["interval"]
    return f"{percent(figure['mean'])} ({100 * low:.1f} to {100 * high:.1f})"


def _p_value(test: Mapping[str, Any] | None) -> str:
    if test is None:
        return ""
    if test["n_seeds"] < 2:
        return MISSING
    t_p = MISSING if test["t_p_holm"] is None else f"{test['t_p_holm']:.2g}"
    return f"{t_p} ({test['exact_p_holm']:.2g})"


def _verdict(summary: Mapping[str, Any], n_seeds: int) -> str:
    """Say which orders differ from coarse-to-fine, and what so few seeds could have shown."""
    lines = []
    for figure, words in (("accuracy", "accuracy"), ("kl", "KL to dense")):
        tests = summary["tests"][figure]
        clear = [test for test in tests if test["t_p_holm"] is not None and test["t_p_holm"] < LEVEL]
        better = "higher" if figure == "accuracy" else "larger"
        worse = "lower" if figure == "accuracy" else "smaller"
        if clear:
            names = "; ".join(
                f"{arm_in_words(test['name'])} {better if test['difference'] > 0 else worse}"
                for test in clear
            )
            lines.append(f"{words} differs from coarse-to-fine: {names}.")
        else:
            lines.append(f"{words}: no order differs from coarse-to-fine beyond chance.")
    if (smallest := 2 / 2**n_seeds) > LEVEL:
        lines.append(
            f"With {counted(n_seeds, 'seed')} the exact test gives no p below {min(1.0, smallest):.2g}, "
            "uncorrected."
        )
    return " ".join(lines)


def _staleness(cells: list[Mapping[str, Any]], title: str) -> Table:
    table = Table(title=title)
    for heading in ("cut", "scores of", "1 - Spearman", "95 % over seeds", "noise alone", "beyond noise"):
        table.add_column(heading, justify="left" if heading in ("cut", "scores of") else "right")
    for cell in cells:
        interval = cell["interval"]
        table.add_row(
            cell["stage"],
            f"{cell['of']}s",
            decimal(cell["mean"]),
            MISSING if interval is None else f"{interval[0]:z.3f} to {interval[1]:z.3f}",
            decimal(cell["noise"]),
            decimal(cell["beyond_noise"]),
        )
    return table


def _information(models: list[Mapping[str, Any]]) -> Table:
    table = Table(title="usable information about the class, share of H(Y), mean over seeds")
    for heading in ("model", "input", "at its peak", "at the head", "CKA at the head"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for model in models:
        name = model["model"] if model["model"] == "dense" else f"after {model['model']}"
        table.add_row(
            name,
            percent(model["input"]["mean"]),
            percent(model["peak"]["mean"]),
            _share(model["head"]),
            decimal(model["head_cka"]["mean"]),
        )
    return table


def _asymmetry(entry: Mapping[str, Any]) -> str:
    finer, coarser, test = entry["finer"], entry["coarser"], entry["test"]
    against = "as" if test["difference"] > 0 else "against what"
    return (
        f"{finer}s after a cut of {coarser}s {entry['finer_after_coarser']:.3f}, {coarser}s after a cut of "
        f"{finer}s {entry['coarser_after_finer']:.3f}: {against} coarse-to-fine supposes "
        f"({counted(test['n_seeds'], 'seed')} with both, exact p {test['exact_p_value']:.2g})"
    )
