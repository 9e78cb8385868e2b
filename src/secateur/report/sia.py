"""The independence check in words, rows and pictures: on the screen, in the report, and as its own page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from secateur.core.files import folder_aside
from secateur.core.records import write_json
from secateur.report.figures.sia import TITLES, inline, png_of, sia_figures, svg_of
from secateur.report.numbers import MISSING, decimal, duration, percent, signed, times

RECORD, PAGE = "sia.json", "sia.html"

UNITS = {
    "layer": "whole layer",
    "group": "KV group",
    "head": "query head",
    "channel": "channel",
    "matrix": "row of one matrix",
}
FIGURE_NAMES = {
    "additivity_gap": "additivity gap",
    "interaction": "interaction of pairs",
    "rank_stability": "rank stability over its ceiling",
    "fidelity": "fidelity to exact removal",
    "cost_over_lot": "cost over random units",
}
OUTCOMES = (
    "holds and fails: the whole interval lies on that side; open: it has the limit in it, or there were too "
    "few random sets of units; idle: removing a good part of the units costs next to nothing, so nothing is "
    "at stake"
)
ENDINGS = {
    "width": "every interval was narrow enough",
    "budget": "time was up",
    "evaluations": "all evaluations that were allowed were used",
    "exhausted": "nothing was left to draw",
    "unfinished": "not finished",
}
"""Why measuring stopped."""

SENSES = {"at_most": "at most", "at_least": "at least"}
CAPTIONS = {
    "interactions": "What two removals cost together beyond what they cost alone, by the layers of the two. "
    "Red: each stood in for the other; grey: not measured.",
    "additivity": "Units drawn at random. At 0 the cost of a subset is the sum of its parts, so that single "
    "scores tell all; at 1 they tell nothing.",
    "stability": "How far the order of importance outlives the removal of others. No score can do better "
    "than its noise ceiling, in grey.",
    "removal": "Solid: closed units. Dashed: each matrix chooses its own rows. No recovery.",
}


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """The verdict on one granularity, as finished text.

    Attributes
    ----------
    granularity, unit, verdict, criterion : str
    figures : tuple of str
        Each of :data:`FIGURE_NAMES` with its interval and outcome; a dash for what was not measured.
    predicted, predicted_apart : str
        Cost at the asked ratio.
    unreliable : bool
    """

    granularity: str
    unit: str
    verdict: str
    criterion: str
    figures: tuple[str, ...]
    predicted: str
    predicted_apart: str
    unreliable: bool


def verdict_rows(check: Mapping[str, Any]) -> list[VerdictRow]:
    """Return one row for layers, heads and channels."""
    return [_row(check, entry) for entry in check["verdict"]["granularities"]]


def _row(check: Mapping[str, Any], entry: Mapping[str, Any]) -> VerdictRow:
    told = entry["verdict"]
    if entry["basis"] == "structure":
        told += " (structure only)"
    elif not entry.get("settled", True):
        told += " (not settled)"
    return VerdictRow(
        granularity=entry["granularity"],
        unit=_unit(check["structure"], entry["units"]),
        verdict=told,
        criterion=_criterion(entry["criterion"]),
        figures=tuple(_figure(name, entry["checks"]) for name in FIGURE_NAMES),
        predicted=prediction_text(entry["predicted"]),
        predicted_apart=prediction_text(entry["predicted_apart"]),
        unreliable=entry["verdict"] == "unreliable",
    )


def _unit(structure: Mapping[str, Any], component: str) -> str:
    if component == "group" and structure["heads_per_group"] == 1:
        return "attention head"
    if component == "channel":
        return "gate, up and down of a channel" if structure["gated"] else "up and down of a channel"
    return UNITS[component]


def _criterion(name: str | None) -> str:
    return MISSING if name is None else {"removal": "exact removal"}.get(name, name)


def _figure(name: str, checks: Sequence[Mapping[str, Any]]) -> str:
    for entry in checks:
        if entry["figure"] == name:
            few = f" (too few sets: {entry['sets']})" if entry.get("too_few_sets") else ""
            return f"{_interval(entry['value'], '.2f')} {entry['outcome']}{few}"
    return MISSING


def figure_headings(check: Mapping[str, Any]) -> list[str]:
    """Return the names of the measured figures with their limits, in the order of a row's ``figures``."""
    limits = check["verdict"]["thresholds"]["limits"]
    return [
        f"{name}, {SENSES[limits[figure]['sense']]} {limits[figure]['value']:g}"
        for figure, name in FIGURE_NAMES.items()
    ]


def _interval(value: Mapping[str, float | None], form: str) -> str:
    told = format(value["value"], f"z{form}")
    if value["low"] is not None and value["high"] is not None:
        told += f" ({value['low']:z{form}} to {value['high']:z{form}})"
    return told.replace("-", "−")


def prediction_text(predicted: Mapping[str, Any] | None) -> str:
    """Return a predicted cost in words: accuracy in points, else perplexity over dense or cosine."""
    if predicted is None or predicted["score_change"]["value"] is None:
        return MISSING
    change = predicted["score_change"]
    scale, form, unit = {
        "accuracy": (100.0, ".1f", "points of accuracy"),
        "perplexity_ratio": (1.0, ".2f", "of perplexity over dense"),
        "cosine": (1.0, ".3f", "of cosine to dense"),
    }[predicted["score_name"]]
    value, low, high = (signed(scale * change[name], form) for name in ("value", "low", "high"))
    bound = "or worse " if predicted["beyond"] else ""
    return f"{value} {unit} {bound}({low} to {high})"


def open_definitions(check: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the definitions that come to mind first and leave nothing to cut as they stand."""
    first = {entry["definition"] for entry in check["verdict"]["granularities"]} | {"group"}
    return [
        entry
        for entry in check["structure"]["definitions"]
        if entry["repair"] and entry["component"] in first
    ]


def couplings_left(check: Mapping[str, Any]) -> list[str]:
    """Return what ties closed units together in spite of all, each once."""
    told = (text for entry in check["structure"]["definitions"] for text in entry["residue"])
    return list(dict.fromkeys(told))


def sentence(check: Mapping[str, Any]) -> str:
    """Return the outcome in one sentence."""
    verdict = check["verdict"]
    bad = [entry["granularity"] for entry in verdict["granularities"] if entry["verdict"] == "unreliable"]
    if bad:
        told = f"Importance of {' and '.join(bad)} is not to be trusted on this model."
    else:
        closed = all(entry["verdict"] == "reliable" for entry in verdict["granularities"])
        units = "units are closed as they stand" if closed else "cut closed units only"
        if any(entry["basis"] == "measured" for entry in verdict["granularities"]):
            told = f"Importance can be used; {units}."
        else:
            told = f"{units[0].upper()}{units[1:]}. Whether importance can be trusted was not measured."
    if verdict["criterion"]:
        told += f" Score by {verdict['criterion']}."
    rounds = [entry["granularity"] for entry in verdict["granularities"] if entry.get("sums") == "fails"]
    if rounds:
        told += f" Costs of {' and '.join(rounds)} do not add up: cut in several steps and score anew."
    if verdict["ratio"] is not None:
        told += _cost(verdict)
    return told


def _cost(verdict: Mapping[str, Any]) -> str:
    asked = times(verdict["ratio"])
    if verdict["share"] is None:
        return f" The blocks do not hold enough parameters for {asked}."
    if verdict["predicted"] is None:
        return f" {asked} takes {percent(verdict['share'])} of the blocks."
    how = {"trial": "Measured on a trial cut to", "curves": "Predicted for"}[verdict["predicted_by"]]
    told = f" {how} {asked}, before recovery: {prediction_text(verdict['predicted'])}."
    if verdict["predicted_apart"] is not None:
        told += f" If every matrix chose for itself: {prediction_text(verdict['predicted_apart'])}."
    return told


def measuring(measured: Mapping[str, Any]) -> str:
    """Return in words on how much the figures of a check rest."""
    widest = measured["reached_width"]
    return (
        f"{measured['n_samples']} samples, {measured['n_evaluations']} evaluations in "
        f"{duration(measured['seconds'])}; {ENDINGS[measured['ended_by']]}"
        f"{'' if widest is None else f'; the widest interval is {decimal(widest, 2)}'}"
    )


def sia_section(check: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what the template shows of a check; None without one."""
    if not check:
        return None
    measured = check.get("measured")
    return {
        "sentence": sentence(check),
        "rows": verdict_rows(check),
        "headings": figure_headings(check),
        "outcomes": OUTCOMES,
        "open": open_definitions(check),
        "units": UNITS,
        "residue": couplings_left(check),
        "pictures": _pictures(check),
        "measured": measured,
        "measuring": measuring(measured) if measured else None,
        "thresholds": check["verdict"]["thresholds"],
    }


def _pictures(check: Mapping[str, Any]) -> Sequence[tuple[str, Markup, str]]:
    return [
        (TITLES[name], inline(figure, TITLES[name]), CAPTIONS[name])
        for name, figure in sia_figures(check).items()
    ]


def write_sia(check: Mapping[str, Any], out: Path) -> Path:
    """Write a check as a folder: ``sia.json``, ``sia.html``, and each picture as PNG and SVG.

    Parameters
    ----------
    check : mapping
        The content of ``sia.json``.
    out : Path
        Folder; a former one is replaced.

    Returns
    -------
    Path
        The page.
    """
    with folder_aside(Path(out)) as aside:
        write_json(aside / RECORD, check)
        for name, figure in sia_figures(check).items():
            (aside / f"{name}.png").write_bytes(png_of(figure))
            (aside / f"{name}.svg").write_text(svg_of(figure, TITLES[name]), encoding="utf-8")
        (aside / PAGE).write_text(_page(check), encoding="utf-8")
    return Path(out) / PAGE


def _page(check: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("secateur.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("sia_page.html.j2").render(
        style=resources.files("secateur.report").joinpath("style.css").read_text(encoding="utf-8"),
        check=check,
        sia=sia_section(check),
    )
