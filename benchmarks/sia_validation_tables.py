"""The page of the validation: predicted D beside measured loss, and verdicts beside what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from sia_validation_models import CONTEXT, FAMILIES, MINILM, SMALL, SMOLLM2, STEPS
from sia_validation_ranks import PREDICTORS, Cell, cells_of, correlation, written
from two_by_two_tables import head, row

from secateur.core.files import write_aside
from secateur.core.provenance import provenance
from secateur.core.records import write_json
from secateur.sia.measured.bootstrap import NOTHING
from secateur.sia.measured.measurement import Estimate

Line = dict[str, Any]
POOLED = "pooled, ranks within family"
TITLE = "# The check on families that took no part in setting its limits"
OPEN = {"head": "a query head", "matrix": "a row of one FFN matrix"}
APART = ("Gemma2-like", "SmolLM2")
"""Subjects that can be cut apart, and then differ."""
COLOURS = {"closed": "#1f5f99", "apart": "#c0392b"}


def introduction() -> str:
    """Return what was done, with all its restrictions."""
    few = SMOLLM2
    shares, two = (", ".join(f"{share:.0%}" for share in sizes.shares) for sizes in (SMALL, MINILM))
    return f"""
Text: `pydoc_data.topics`, topics in the order of their names. First 60 %: training of the tiny models. Next
15 %: calibration, on which cuts are scored and D is measured. Last 25 %: held out, on which cuts are judged.

- **Gemma2-like, GPT-NeoX-like, Falcon-like**: 4 layers x 128, 8 heads, from the `transformers`
  configuration classes, trained here on bytes for {STEPS} steps of 16 x {CONTEXT} bytes with one seed:
  far from fully trained. Calibration: {SMALL.calibration} blocks of {CONTEXT} bytes; held out:
  {SMALL.held_out:,} bytes.
- **MiniLM**: all-MiniLM-L6, an encoder without a task. Calibration: {MINILM.calibration} sentences; held
  out: {MINILM.held_out}. D is the distance of embeddings, the measured loss is 1 - cosine to the dense
  embedding.
- **SmolLM2**: SmolLM2-135M-Instruct. Calibration: {few.calibration} blocks of {CONTEXT} tokens; held out:
  {few.held_out:,} tokens.

A cut removes a share of the block parameters: KV groups and channels by one ranking of score per parameter,
as the shipped trial cut does. *Apart* is the cut to the same widths in which every matrix keeps its own best
rows. Nothing is recovered. D is measured on calibration text, the loss on held-out text.

Restrictions:

- SmolLM2 is cut to {" and ".join(f"{share:.0%}" for share in few.shares)} with {" and ".join(few.criteria)}
  only, MiniLM to {two} with {", ".join(MINILM.criteria)}, the tiny models to {shares} with the same.
- The check spent {few.evaluations} evaluations on SmolLM2, {MINILM.evaluations} on MiniLM and
  {SMALL.evaluations} on each tiny model, or a few more to finish a step.
- GPT-NeoX-like and MiniLM have multi-head attention and a plain FFN: there each matrix apart is the closed
  cut, so they have no second treatment. Falcon-like has shared keys, but matrices of this family cannot be
  cut apart (its attention takes an argument a head), so it is closed only as well.
- One model a family, one seed. Intervals resample the cells of a family, not models and not text.
- D and the loss are two measurements of the same cut on different text. D needs the cut to be carried out.
  What removal curves foresee without it is *predicted* in the table of verdicts.
"""


def structure_table(lines: Sequence[Line], cells: Sequence[Cell]) -> Iterator[str]:
    """The structural check beside what cutting apart costs more than closed units."""
    yield from head(
        "family",
        "dense loss",
        "heads a group",
        "FFN",
        "not closed, as the check says",
        "apart less closed, 20 %",
        "apart less closed, 50 %",
    )
    for line in lines:
        if line["kind"] != "structure":
            continue
        closed = line["closed"]
        yield row(
            f"{line['subject']} ({line['measured']})",
            f"{line['dense']:.3f}",
            line["heads_per_group"],
            "gated" if line["gated"] else "plain",
            "; ".join(words for name, words in OPEN.items() if not closed.get(name, True)),
            *(_more(line["subject"], cells, share) for share in (0.2, 0.5)),
        )


def _more(subject: str, cells: Sequence[Cell], share: float) -> str:
    """What apart costs beyond closed, criterion by criterion."""
    at = {
        (cell.criterion, cell.treatment): cell.measured
        for cell in cells
        if (cell.subject, cell.share) == (subject, share)
    }
    found = [
        f"{criterion} {at[criterion, 'apart'] - loss:+.3f}"
        for (criterion, treatment), loss in at.items()
        if treatment == "closed" and (criterion, "apart") in at
    ]
    return ", ".join(found) or "–"


def unfinished(lines: Sequence[Line]) -> Iterator[str]:
    """Say what the page announces and the lines do not hold."""
    sizes = {**dict.fromkeys(FAMILIES, SMALL), "MiniLM": MINILM, "SmolLM2": SMOLLM2}
    for name, size in sizes.items():
        own = [line for line in lines if line["subject"] == name]
        cuts = sum(line["kind"] == "cut" for line in own)
        treatments = 2 if name in APART else 1
        wanted = treatments * len(size.criteria) * len(size.shares)
        lacking = [f"{wanted - cuts} of {wanted} cuts"] if cuts < wanted else []
        lacking += [
            what
            for kind, what in (("structure", "the structural row"), ("check", "the measured check"))
            if not any(line["kind"] == kind for line in own)
        ]
        if lacking:
            yield f"- **Not measured yet, {name}**: {', '.join(lacking)}."


def correlations(cells: Sequence[Cell]) -> dict[str, tuple[int, dict[str, Estimate]]]:
    """Return cells and rank correlations by family and pooled."""
    sets = {
        name: [cell for cell in cells if cell.subject == name]
        for name in dict.fromkeys(cell.subject for cell in cells)
    }
    found = {
        name: (len(own), {key: correlation(own, key) for key in PREDICTORS})
        for name, own in {**sets, POOLED: cells}.items()
    }
    within = {key: correlation(cells, key, by_share=True) for key in PREDICTORS if key != "share"}
    return {**found, f"{POOLED} and share": (len(cells), {**within, "share": NOTHING})}


def correlation_table(found: dict[str, tuple[int, dict[str, Estimate]]]) -> Iterator[str]:
    """Rank correlations by family and pooled."""
    yield from head("family", "cells", *PREDICTORS.values())
    for name, (n, estimates) in found.items():
        yield row(name, n, *(written(estimates[key]) for key in PREDICTORS))


def cut_table(cells: Sequence[Cell]) -> Iterator[str]:
    """Every cut: D, then what was measured."""
    shares = sorted({cell.share for cell in cells})
    yield from head("family", "treatment", "criterion", *(f"D → loss, {share:.0%}" for share in shares))
    for key in dict.fromkeys((cell.subject, cell.treatment, cell.criterion) for cell in cells):
        at = {cell.share: cell for cell in cells if (cell.subject, cell.treatment, cell.criterion) == key}
        shown = [f"{at[s].d:.3f} → {at[s].measured:.3f}" if s in at else "–" for s in shares]
        yield row(*key, *shown)


def verdict_table(checks: Sequence[Line]) -> Iterator[str]:
    """Verdict of each granularity beside the loss of its cut at the checked share."""
    yield from head(
        "family", "granularity", "verdict", "figures", "criterion", "predicted", "loss", "loss by lot"
    )
    for check in checks:
        for entry in check["granularities"]:
            predicted = _figure(entry["predicted"])
            found = f"{entry['loss']:.3f}" if "loss" in entry else "not cut"
            lots = ", ".join(f"{value:.3f}" for value in entry.get("by_lot", ())) or "–"
            figures = ", ".join(f"{c['figure']} {c['value']:.2f} {c['outcome']}" for c in entry["checks"])
            criterion = entry["criterion"] or "–"
            yield row(
                check["subject"],
                entry["granularity"],
                entry["verdict"] + ("" if entry["settled"] else " (not settled)"),
                figures or "none measured",
                criterion,
                predicted,
                found,
                lots,
            )


def whole_table(checks: Sequence[Line], cells: Sequence[Cell]) -> Iterator[str]:
    """The check's prediction for the whole model beside the closed cut at that share."""
    yield from head(
        "family", "criterion", "predicted, closed", "loss, closed", "predicted, apart", "loss, apart"
    )
    for check in checks:
        found = {
            cell.treatment: f"{cell.measured:.3f}"
            for cell in cells
            if (cell.subject, cell.criterion, cell.share) == (check["subject"], check["criterion"], 0.2)
        }
        yield row(
            f"{check['subject']} ({check['measured']})",
            check["criterion"],
            _figure(check["predicted"]),
            found.get("closed", "–"),
            _figure(check["predicted_apart"]),
            found.get("apart", "–"),
        )


def agreement(checks: Sequence[Line]) -> dict[str, int]:
    """Count verdicts that hold: a reliable choice costs less than every choice by lot, another does not."""
    counts = {"agree": 0, "disagree": 0}
    for check in checks:
        for entry in check["granularities"]:
            if "loss" in entry:
                better = entry["loss"] < min(entry["by_lot"])
                counts["agree" if better == (entry["verdict"] != "unreliable") else "disagree"] += 1
    return counts


def _figure(predicted: dict[str, float | None] | None) -> str:
    if predicted is None:
        return "–"
    value = predicted["divergence"] if predicted["loss"] is None else predicted["loss"]
    return "–" if value is None else f"{value:.3f}"


def page(lines: Sequence[Line], found: dict[str, tuple[int, dict[str, Estimate]]]) -> str:
    """Return the page."""
    cells, checks = cells_of(lines), [line for line in lines if line["kind"] == "check"]
    counts = agreement(checks)
    limits = ", ".join(sorted({check["thresholds"]["fixed_on"] for check in checks})) or "–"
    parts = [
        TITLE,
        "",
        "`OMP_NUM_THREADS=1 python benchmarks/sia_validation.py --work runs/sia_validation`",
        introduction() + "\n".join(unfinished(lines)),
        "",
        "## Does the structure tell which cuts break?",
        "",
        *structure_table(lines, cells),
        "",
        "In a plain FFN `down` takes over the rows of `up`, so a cut of one matrix makes the closed cut.",
        "",
        "## Does D foresee the loss?",
        "",
        "Spearman's rank correlation with the measured loss, 95 % bootstrap interval over cells.",
        "",
        *correlation_table(found),
        "",
        "The share alone orders cuts of unlike size; the last row takes that away.",
        "",
        "## Do verdicts agree with what happened?",
        "",
        f"Limits as fixed on {limits}. Cuts of one granularity alone, 20 % of its parameters, by the",
        "criterion that the check recommends and by lot. MiniLM: predicted is the distance, not 1 - cosine.",
        "",
        *verdict_table(checks),
        "",
        "Counting as agreement that a choice called reliable costs less than every choice by lot, and that",
        f"one called unreliable does not: {counts['agree']} agree, {counts['disagree']} disagree.",
        "",
        "Heads and channels together, 20 % of the block parameters:",
        "",
        *whole_table(checks, cells),
        "",
        "## All cuts",
        "",
        *cut_table(cells),
        "",
    ]
    return "\n".join(parts)


def draw(cells: Sequence[Cell], path: Path) -> None:
    """Draw measured loss over D, a panel a family."""
    names = list(dict.fromkeys(cell.subject for cell in cells))
    figure = Figure(figsize=(3.4 * len(names), 3.6), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for treatment, colour in COLOURS.items():
            own = [cell for cell in cells if (cell.subject, cell.treatment) == (name, treatment)]
            if own:
                axis.scatter(
                    [c.d for c in own], [c.measured for c in own], s=14, color=colour, label=treatment
                )
        axis.set_xscale("symlog", linthresh=0.01)
        axis.set_yscale("symlog", linthresh=0.01)
        axis.set_title(name)
        axis.legend()
    figure.supxlabel("D on calibration text (nats; MiniLM: distance of embeddings)")
    figure.supylabel("loss on held-out text")
    with write_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=100)


def write_all(lines: Sequence[Line], out: Path) -> None:
    """Write the page, its numbers and the picture."""
    cells = cells_of(lines)
    if not cells:
        return
    found = correlations(cells)
    checks = [line for line in lines if line["kind"] == "check"]
    content = {
        "correlations": {name: estimates for name, (_, estimates) in found.items()},
        "agreement": agreement(checks),
        "lines": list(lines),
    }
    write_json(out.with_suffix(".json"), {"provenance": provenance(command="sia_validation.py"), **content})
    with write_aside(out.with_suffix(".md")) as aside:
        aside.write_text(page(lines, found), encoding="utf-8")
    draw(cells, out.with_suffix(".png"))
