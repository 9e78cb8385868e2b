"""Verdicts beside what happened to constructed models: the confusion table and the cells behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from two_by_two_tables import head, row

from secateur.core.files import write_aside
from secateur.core.provenance import provenance
from secateur.core.records import write_json

Line = dict[str, Any]
STAKES = 0.01
"""Nats a token below which nothing happened: neither the cut nor the lots cost that much."""

HAPPENED = ("scores help", "no better than lot", "nothing at stake")
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5)
RANGE = (0.04, 7.0)
"""Of the picture; a cut that costs less, or nothing, is drawn at its left end."""
COLOURS = {"trusted": "#1f5f99", "not settled": "#d9a21b", "unreliable": "#c0392b"}
SHIFTS = {"trusted": -0.2, "not settled": 0.0, "unreliable": 0.2}


def over_lot(line: Line) -> float:
    """Return the held-out loss of the cut over the mean of the lots."""
    return line["loss"] / max(float(np.mean(line["by_lot"])), 1e-9)


def happened(line: Line) -> str:
    """Return whether scores helped: the cut costs less than the mean lot on held-out text."""
    if max(line["loss"], float(np.mean(line["by_lot"]))) < STAKES:
        return "nothing at stake"
    return "scores help" if over_lot(line) < 1 else "no better than lot"


def told(line: Line) -> str:
    """Return the verdict in two words: *trusted* is one that rests on no open figure."""
    if line["verdict"] == "unreliable":
        return "unreliable"
    return "trusted" if line["settled"] else "not settled"


def confusion(lines: Sequence[Line]) -> Counter:
    """Count cells by verdict and by what happened."""
    return Counter((told(line), happened(line)) for line in lines)


def confusion_table(groups: dict[str, Sequence[Line]]) -> Iterator[str]:
    """A row for each set of cells and verdict."""
    yield from head("cells", "verdict", *HAPPENED, "loss over lot, median (range)")
    for name, lines in groups.items():
        counts = confusion(lines)
        for verdict in COLOURS:
            ratios = [over_lot(line) for line in lines if told(line) == verdict and _at_stake(line)]
            spread = f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else "–"
            yield row(name, verdict, *(counts[verdict, what] for what in HAPPENED), spread)


def _at_stake(line: Line) -> bool:
    return happened(line) != "nothing at stake"


def cell_table(lines: Sequence[Line]) -> Iterator[str]:
    """Every cell."""
    yield from head(
        "family",
        "construction",
        "units",
        "criterion",
        "share",
        "verdict",
        "figures",
        "calibration",
        "loss",
        "by lot",
        "best known",
        "as theory says",
    )
    for line in lines:
        lots = line["by_lot"]
        yield row(
            line["family"],
            line["construction"],
            line["granularity"],
            line["criterion"],
            f"{line['share']:.0%}",
            line["verdict"] + (" (not settled)" if told(line) == "not settled" else ""),
            ", ".join(
                f"{check['figure']} {check['value']:.2f} {check['outcome']}" for check in line["checks"]
            ),
            f"{line['calibration']:.3f}",
            f"{line['loss']:.3f}",
            f"{np.mean(lots):.3f} ({min(lots):.3f} to {max(lots):.3f})",
            f"{line['best']['loss']:.3f} ({line['best']['name']})",
            "–" if line["theory"] is None else f"{line['theory']:.3f}",
        )


def draw(lines: Sequence[Line], path: Path, constructions: Sequence[str]) -> None:
    """Draw loss over lot for every construction that was measured, by verdict."""
    measured = {line["construction"] for line in lines}
    constructions = [name for name in constructions if name in measured]
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    for axis, granularity in zip(figure.subplots(1, 2, sharey=True), ("heads", "channels"), strict=True):
        for verdict, colour in COLOURS.items():
            own = [
                line
                for line in lines
                if line["granularity"] == granularity and told(line) == verdict and _at_stake(line)
            ]
            places = [constructions.index(line["construction"]) + SHIFTS[verdict] for line in own]
            axis.scatter(
                np.clip([over_lot(line) for line in own], *RANGE),
                places,
                s=16,
                color=colour,
                label=verdict,
                alpha=0.7,
            )
        axis.axvline(1.0, color="#444", linewidth=0.8)
        axis.set_xscale("log")
        axis.set_xlim(RANGE[0] / 1.2, RANGE[1] * 1.2)
        axis.xaxis.set_major_locator(FixedLocator(TICKS))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_title(granularity)
        axis.set_xlabel("loss of the scored cut over the mean lot, held-out")
        axis.set_yticks(range(len(constructions)), constructions)
        axis.legend(fontsize=8)
    with write_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=110)


def page(lines: Sequence[Line], *, introduction: str, groups: dict[str, Callable[[Line], bool]]) -> str:
    """Return the page."""
    sets = {name: [line for line in lines if chosen(line)] for name, chosen in groups.items()}
    parts = [
        introduction,
        "## Verdict and what happened",
        "",
        *confusion_table({name: own for name, own in sets.items() if own}),
        "",
        "## All cells",
        "",
        *cell_table(lines),
        "",
    ]
    return "\n".join(parts)


def write_page(lines: Sequence[Line], out: Path, text: str, constructions: Sequence[str]) -> None:
    """Write the page, its counts and the picture; the cells stand in the file of lines beside them."""
    content = {
        "provenance": provenance(command="sia_validation_constructed.py"),
        "confusion": {f"{verdict}, {what}": n for (verdict, what), n in confusion(lines).items()},
    }
    write_json(out.with_suffix(".json"), content)
    with write_aside(out.with_suffix(".md")) as aside:
        aside.write_text(text, encoding="utf-8")
    draw(lines, out.with_suffix(".png"), constructions)
