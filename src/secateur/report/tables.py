"""Tables of the report, as rows of finished text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from secateur.report.numbers import (
    MISSING,
    count,
    decimal,
    duration,
    interval,
    percent,
    points,
    ranges,
    signed,
    size,
    three_digits,
    with_interval,
    words,
)
from secateur.report.stage_figure import stage_figure

CLEARLY_WORSE = 0.005
"""A share that is worse by more than half a point is marked."""

MOST_FALSE_ALARMS = 0.05


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One quantity of the dense and of the pruned model, and whether it became clearly worse."""

    name: str
    dense: str
    pruned: str
    change: str = ""
    meaning: str = ""
    worse: bool = False


def _get(values: Mapping[str, Any] | None, *keys: str) -> Any:
    """Value at a path of keys; None where any of them is missing."""
    found: Any = values
    for key in keys:
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found


def headline(result: Mapping[str, Any]) -> list[Comparison]:
    """Dense beside pruned; rows for which neither model has a figure are left out."""
    rows = [
        _row(result, "parameters", "parameters", count, _fewer),
        _bytes_row(result),
        _share(result, "accuracy", "accuracy", "share of test windows correctly classified", better=1),
        _interval_row(result),
        _share(result, "macro-F1", "macro_f1", "mean F1 over the classes", better=1),
        _share(result, "false alarms", "false_alarm_rate", "healthy windows called faulty", better=-1),
        _share(result, "calibration error", "ece", "gap between confidence and accuracy", better=-1),
    ]
    agreement, kl = _get(result, "fidelity", "agreement"), _get(result, "fidelity", "kl")
    if agreement is not None:
        told = "windows on which both models call the same class"
        rows.append(Comparison(name="agreement", dense=MISSING, pruned=percent(agreement), meaning=told))
    elsewhere = _get(result, "fidelity_elsewhere", "agreement")
    if elsewhere is not None:
        told = "the same on simulated machines that no recording is of"
        rows.append(
            Comparison(name="agreement elsewhere", dense=MISSING, pruned=percent(elsewhere), meaning=told)
        )
    if kl is not None:
        told = "divergence of the pruned model's probabilities from the dense one's, in nats"
        rows.append(Comparison(name="KL", dense=MISSING, pruned=f"{kl:.3g}", meaning=told))
    return [row for row in rows if (row.dense, row.pruned) != (MISSING, MISSING)]


def _row(
    result: Mapping[str, Any],
    name: str,
    key: str,
    write: Callable[[Any], str],
    change: Callable[[Any, Any], str],
    meaning: str = "",
) -> Comparison:
    dense, pruned = _get(result, "dense", key), _get(result, "pruned", key)
    return Comparison(
        name=name, dense=write(dense), pruned=write(pruned), change=change(pruned, dense), meaning=meaning
    )


def _share(
    result: Mapping[str, Any], name: str, key: str, meaning: str, *, better: Literal[1, -1]
) -> Comparison:
    """A share as per cent; ``better`` is the sign of a change for the better."""
    dense, pruned = _get(result, "dense", key), _get(result, "pruned", key)
    known = dense is not None and pruned is not None
    return Comparison(
        name=name,
        dense=percent(dense),
        pruned=percent(pruned),
        change=points(pruned, dense),
        meaning=meaning,
        worse=known and better * (pruned - dense) < -CLEARLY_WORSE,
    )


def _interval_row(result: Mapping[str, Any]) -> Comparison:
    dense, pruned = (interval(_get(result, side, "accuracy_interval")) for side in ("dense", "pruned"))
    return Comparison(
        name="95 % interval", dense=dense, pruned=pruned, meaning="of the accuracy, whole specimens drawn"
    )


def _fewer(pruned: float | None, dense: float | None) -> str:
    return f"1/{three_digits(dense / pruned)}" if dense and pruned else MISSING


def _bytes_row(result: Mapping[str, Any]) -> Comparison:
    dense, pruned = _get(result, "bytes", "dense"), _get(result, "bytes", "pruned")
    return Comparison(name="on disk", dense=size(dense), pruned=size(pruned), change=_fewer(pruned, dense))


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """One stage of the cascade."""

    name: str
    removed: str
    parameters: str
    before: str
    cut: str
    refit: str
    recovered: str
    agreement: str
    samples: str
    seconds: str
    accepted: bool


def stage_rows(records: Sequence[Mapping[str, Any]]) -> list[StageRow]:
    """What each stage cut, what that cost and what recovery won back, on validation samples."""
    figure = stage_figure(records)
    return [
        StageRow(
            name=words(record["stage"]),
            removed=_what_went(record),
            parameters=count(_get(record, "after_recovery", "parameters")),
            before=figure.write(_get(record, "before", figure.key)),
            cut=figure.write(_get(record, "after_cut", figure.key)),
            refit=figure.write(_get(record, "after_refit", figure.key)),
            recovered=figure.write(_get(record, "after_recovery", figure.key)),
            agreement=percent(_get(record, "after_recovery", "agreement")),
            samples=count(record.get("samples_seen")),
            seconds=duration(record.get("seconds")),
            accepted=bool(record.get("accepted", True)),
        )
        for record in records
    ]


def validated_on(split: Mapping[str, Any]) -> str:
    """Say what the validation windows are of."""
    lone = split.get("lone_classes")
    if split.get("last_fit"):
        told = "Measured on validation windows; their specimens chose the number of steps"
        return f"{told} and then took part in the last fit."
    if lone is None or split.get("leaks"):
        return "Measured on validation windows, which lie in training groups."
    told = "Measured on validation windows of specimens held out of training"
    if not lone:
        return f"{told}."
    return f"{told}, but for {', '.join(map(words, lone))}, of which there is one specimen only."


def comparisons(standings: Mapping[str, Any]) -> dict[str, str]:
    """Return by which keys models stand beside the dense one, each with its heading."""
    told = {"over_dense": "against dense"}
    if any(standing.get("elsewhere") for standing in standings.values()):
        told["elsewhere"] = "on a general text"
    return told


def standing_rows(standings: Mapping[str, Any] | None) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the headings, and a row for each model on samples that nothing was fitted to."""
    if not standings:
        return (), []
    names = tuple(name for name in standings["dense"]["figures"] if name != "parameters")
    beside = comparisons(standings)
    rows = [
        (
            name,
            count(standing["figures"]["parameters"]),
            *(decimal(standing["figures"][key]) for key in names),
            *(with_interval(standing[key]) for key in beside),
        )
        for name, standing in standings.items()
    ]
    return ("model", "parameters", *(words(name) for name in names), *beside.values()), rows


def standing_tile(standings: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """Return the figure by which a cut of another task is known, and what it is; None without standings."""
    if not standings or "cut" not in standings:
        return None
    dense, cut = (standings[name]["figures"] for name in ("dense", "cut"))
    known = next(name for name in ("perplexity", "accuracy", "similarity", "loss") if name in cut)
    return decimal(cut[known]), f"{words(known)}, pruned (dense {decimal(dense[known])})"


def tokens_note(result: Mapping[str, Any]) -> str | None:
    """Return what the figures of a model that lost tokens are of; None where none went or none are told.

    Perplexity, accuracy and similarity are measured while the vocabulary is whole, so that the dense model's
    compare. Bits a byte, where the model predicts a next token, are of both as they are saved.
    """
    dense, pruned = (result.get(name) or {} for name in ("dense", "pruned"))
    if not result.get("standings") or dense.get("tokens") == pruned.get("tokens"):
        return None
    told = "Figures of the cut model are of all tokens, before some of them left."
    if (found := result.get("bits_per_byte")) is None:
        return f"{told} The saved model reads texts in other tokens, and was not judged with them."
    dense_bits, saved_bits = (f"{found[name]:.3f}" for name in ("dense", "saved"))
    return (
        f"{told} As saved, with its own tokenizer, it needs {saved_bits} bits a byte of the same data, the "
        f"dense model {dense_bits}."
    )


UNITS_OF_STAGE = {
    "removed_groups": "head groups",
    "removed_heads": "query heads",
    "removed_channels": "channels",
}


def _what_went(record: Mapping[str, Any]) -> str:
    parts = []
    layers = record.get("removed_layers") or ()
    if layers:
        parts.append(f"layer{'s' if len(layers) > 1 else ''} {ranges(layers)}")
    for key, unit in UNITS_OF_STAGE.items():
        if record.get(key):
            parts.append(f"{record[key]:,} {unit}".replace(",", " "))
    return ", ".join(parts) or "nothing"


@dataclass(frozen=True, kw_only=True)
class RivalRow:
    """One model of the comparison."""

    name: str
    kind: str
    parameters: str
    accuracy: str
    interval: str
    macro_f1: str
    false_alarms: str
    worse: bool


def rival_rows(result: Mapping[str, Any]) -> list[RivalRow]:
    """Return dense, pruned and every baseline, judged on the same windows."""
    models = {"dense": result.get("dense"), "pruned": result.get("pruned"), **(result.get("baselines") or {})}
    return [
        RivalRow(
            name=words(name),
            kind=name if name in ("dense", "pruned") else "rival",
            parameters=count(figures.get("parameters")),
            accuracy=percent(figures.get("accuracy")),
            interval=interval(figures.get("accuracy_interval")),
            macro_f1=percent(figures.get("macro_f1")),
            false_alarms=percent(figures.get("false_alarm_rate")),
            worse=(figures.get("false_alarm_rate") or 0.0) > MOST_FALSE_ALARMS,
        )
        for name, figures in models.items()
        if isinstance(figures, Mapping)
    ]


def recall_rows(result: Mapping[str, Any]) -> list[Comparison]:
    """Recall of each class, dense beside pruned."""
    dense, pruned = (_get(result, side, "per_class_recall") or {} for side in ("dense", "pruned"))
    return [
        Comparison(
            name=words(name),
            dense=percent(dense.get(name)),
            pruned=percent(pruned.get(name)),
            change=points(pruned.get(name), dense.get(name)),
            worse=(pruned.get(name) or 0.0) < (dense.get(name) or 0.0) - CLEARLY_WORSE,
        )
        for name in dict.fromkeys([*dense, *pruned])
    ]


def noise_rows(result: Mapping[str, Any]) -> list[Comparison]:
    """Accuracy at each signal-to-noise ratio, dense beside pruned."""
    sides = [
        {point["snr_db"]: point["accuracy"] for point in _get(result, side, "snr_curve") or ()}
        for side in ("dense", "pruned")
    ]
    dense, pruned = sides
    return [
        Comparison(
            name=f"{signed(level, 'g')} dB",
            dense=percent(dense.get(level)),
            pruned=percent(pruned.get(level)),
            change=points(pruned.get(level), dense.get(level)),
        )
        for level in sorted({*dense, *pruned})
    ]


def parity_text(result: Mapping[str, Any]) -> str | None:
    """One line on how far the exported graph is from the checkpoint."""
    worst = _get(result, "parity", "max_abs_diff")
    if worst is None:
        return None
    windows = _get(result, "parity", "windows")
    over = f" over {windows} windows" if windows is not None else ""
    return f"ONNX logits within {worst:.1e} of the checkpoint{over}."


def confidence(probabilities: Sequence[float], classes: Sequence[str]) -> str:
    """Write the most probable class with its probability."""
    best = max(range(len(classes)), key=lambda index: probabilities[index])
    return f"{words(classes[best])} {decimal(probabilities[best], 2)}"
