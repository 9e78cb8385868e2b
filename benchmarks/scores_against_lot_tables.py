"""The page on scores against lots: every choice less the mean of the lots, seed by seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from two_by_two_reading import BACKBONES, title, written
from two_by_two_tables import head, row

from secateur.core.files import write_aside
from secateur.core.provenance import provenance
from secateur.core.records import write_json

Line = dict[str, Any]
CHOICES = (
    "magnitude",
    "activation",
    "taylor",
    "surgeon",
    "taylor in rounds",
    "taylor channels, heads by lot",
    "taylor heads, channels by lot",
    "in contexts",
)
REPAIRS = {
    "none": "as cut",
    "means": "with the missing units' mean output put back",
    "refit": "re-fitted by least squares",
}
FIGURES: dict[str, tuple[str, float, int]] = {
    "accuracy": ("accuracy, points", 100.0, 1),
    "offset_accuracy": ("accuracy after class offsets are put right, points", 100.0, 1),
    "loss": ("test loss, nats (below 0 is better)", 1.0, 2),
}
SHOWN = ("magnitude", "activation", "taylor", "surgeon", "in contexts")
PANELS = {"accuracy": "as cut", "offset_accuracy": "class offsets put right"}
COLOUR = "#1f5f99"

INTRODUCTION = """
Dense models of the 2 x 2 study (`load`, raw patches; closed units; the same widths in every layer, so the
allocation over layers plays no part). Figures are means over noise levels and clean windows. *Lot*: mean of
five random choices a seed. The other columns: that choice less the lots of the same dense model; mean over
seeds ± half-width of the 95 % t interval. *In rounds*: scored again after each of five steps, nothing
re-fitted. *In contexts*: scored by what turning a unit on adds, to first order, in random sub-models of the
wanted size. *Class offsets*: one offset a class and one temperature, fitted to the 128 calibration windows.
"""


class Seeds:
    """The lines by backbone, ratio, choice and repair."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._values: dict[tuple, dict[int, list[Line]]] = {}
        for line in lines:
            choice = "lot" if line["choice"].startswith("lot ") else line["choice"]
            key = ((line["attention"], line["ffn"]), line["ratio"], choice, line["repair"])
            self._values.setdefault(key, {}).setdefault(line["seed"], []).append(line)
        self.ratios = sorted({line["ratio"] for line in lines})
        self.backbones = [pair for pair in BACKBONES if any(key[0] == pair for key in self._values)]

    def of(
        self, figure: str, backbone: tuple[str, str], ratio: float, choice: str, repair: str = "none"
    ) -> dict[int, float]:
        """Return a figure by seed, mean over lots."""
        found = self._values.get((backbone, ratio, choice, repair), {})
        return {
            seed: float(np.mean([_read(line, figure) for line in lines])) for seed, lines in found.items()
        }

    def less_lot(self, figure: str, backbone, ratio: float, choice: str, repair: str = "none") -> list[float]:
        """Return a choice less the lots of the same seed."""
        lot = self.of(figure, backbone, ratio, "lot", repair)
        own = self.of(figure, backbone, ratio, choice, repair)
        return [own[seed] - lot[seed] for seed in own if seed in lot]


def _read(line: Line, figure: str) -> float:
    name, _, inside = figure.partition("/")
    return line[name][inside] if inside else line[name]


def difference_table(seeds: Seeds, figure: str, repair: str) -> Iterator[str]:
    """Choices less lot."""
    _, scale, digits = FIGURES[figure]
    yield from head("backbone", "ratio", "dense", "lot", *CHOICES)
    for backbone in seeds.backbones:
        for ratio in seeds.ratios:
            lot = seeds.of(figure, backbone, ratio, "lot", repair)
            if not lot:
                continue
            dense = seeds.of(figure, backbone, ratio, "dense")
            yield row(
                title(*backbone),
                f"{ratio:g}x",
                written(dense.values(), scale=scale, digits=digits),
                written(lot.values(), scale=scale, digits=digits),
                *(
                    written(
                        seeds.less_lot(figure, backbone, ratio, choice, repair),
                        scale=scale,
                        digits=digits,
                        sign=True,
                    )
                    for choice in CHOICES
                ),
            )


BRANCH = {
    "branch/summed": "energy of the missing terms, one by one",
    "branch/error": "of their sum",
    "branch/kept": "of what is left",
    "branch/best_error": "of the sum after the best re-fit",
    "branch/mean_share": "share of the dense output that is the same for every token",
    "branch/error_without_mean": "of the sum without means",
    "classes": "classes answered",
}


def branch_table(seeds: Seeds) -> Iterator[str]:
    """What choices leave of the FFNs' output, over the energy of the dense output."""
    yield from head("backbone", "ratio", "choice", *BRANCH.values())
    for backbone in seeds.backbones:
        for ratio in seeds.ratios:
            for choice in ("lot", "magnitude", "activation", "taylor", "surgeon", "in contexts"):
                found = [seeds.of(figure, backbone, ratio, choice) for figure in BRANCH]
                if found[0]:
                    cells = [written(values.values(), scale=1, digits=2) for values in found]
                    yield row(title(*backbone), f"{ratio:g}x", choice, *cells)


def stale_table(seeds: Seeds) -> Iterator[str]:
    """Spearman of dense scores with scores in contexts, channels, mean over layers."""
    names = ("magnitude", "activation", "taylor", "surgeon")
    yield from head("backbone", "ratio", *names, "contexts with other contexts")
    for backbone in seeds.backbones:
        for ratio in seeds.ratios:
            found = [seeds.of(f"dense_agrees/{name}", backbone, ratio, "in contexts") for name in names]
            agree = seeds.of("contexts_agree", backbone, ratio, "in contexts")
            if agree:
                cells = [written(values.values(), scale=1, digits=2) for values in (*found, agree)]
                yield row(title(*backbone), f"{ratio:g}x", *cells)


def page(lines: Sequence[Line]) -> str:
    """Return the page."""
    seeds = Seeds(lines)
    parts = [
        "# Scores against lots",
        "",
        "`python benchmarks/scores_against_lot.py studies/two_by_two.yaml --data DIR --work runs/study`",
        INTRODUCTION,
    ]
    for repair, meaning in REPAIRS.items():
        for figure, (name, _, _) in FIGURES.items():
            parts += [f"**{name}; {meaning}**", "", *difference_table(seeds, figure, repair), ""]
    parts += [
        "**What is left of the FFNs' output**, mean over layers, on the inputs of the dense model; energies",
        "over that of the dense output",
        "",
        *branch_table(seeds),
        "",
        "**How stale dense scores are**: Spearman's correlation of channel scores with scores in contexts",
        "",
        *stale_table(seeds),
        "",
    ]
    return "\n".join(parts)


def draw(lines: Sequence[Line], path: Path) -> None:
    """Draw choices less the lots of their seed, a point a seed, as cut and with class offsets put right."""
    seeds = Seeds(lines)
    places = [(backbone, ratio) for backbone in seeds.backbones for ratio in seeds.ratios]
    places = [place for place in places if seeds.of("accuracy", *place, "lot")]
    figure = Figure(figsize=(9, 0.6 + 2.9 * len(places)), layout="constrained")
    axes = figure.subplots(len(places), len(PANELS), squeeze=False, sharex=True, sharey=True)
    for (backbone, ratio), own in zip(places, axes, strict=True):
        for axis, (name, heading) in zip(own, PANELS.items(), strict=True):
            for height, choice in enumerate(SHOWN):
                found = [100 * value for value in seeds.less_lot(name, backbone, ratio, choice)]
                axis.scatter(found, [height] * len(found), s=18, color=COLOUR, alpha=0.7)
                if found:
                    axis.plot([np.mean(found)] * 2, [height - 0.3, height + 0.3], color=COLOUR)
            axis.axvline(0.0, color="#444", linewidth=0.8)
            axis.set_yticks(range(len(SHOWN)), SHOWN)
            axis.set_title(f"{title(*backbone)}, {ratio:g}x, {heading}", fontsize=9)
            axis.grid(axis="x", alpha=0.3)
        own[0].invert_yaxis()
    figure.supxlabel("accuracy less the lots of the same seed, points", fontsize=10)
    with write_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=110)


def write_all(lines: Sequence[Line], out: Path) -> None:
    """Write the page, its numbers and the picture."""
    if not lines:
        return
    write_json(
        out.with_suffix(".json"),
        {"provenance": provenance(command="scores_against_lot.py"), "lines": list(lines)},
    )
    with write_aside(out.with_suffix(".md")) as aside:
        aside.write_text(page(lines), encoding="utf-8")
    draw(lines, out.with_suffix(".png"))
