"""The verdict of a run: fit for use or not, and what speaks against it in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secateur.bundle.manifest import VerdictRecord
from secateur.report.tables import MOST_FALSE_ALARMS

LARGEST_GAP = 0.10
"""Validation accuracy may lie this far above that of the test."""

NEAR_CHANCE = 0.10
"""Accuracy must lie this far above that of always saying the commonest class."""

LEAST_RECALL = 0.5
"""Of each class at least this share of the windows must be recognised."""

ONE_CLASS_SHARE = 0.97
"""A model that calls this share of the windows alike always says the same."""


def verdict_of(result: Mapping[str, Any]) -> VerdictRecord:
    """Judge a run by its own figures, on its test windows.

    Parameters
    ----------
    result : mapping
        Content of ``result.json``, or what is known of it: ``pruned`` (evaluation of the model to be used),
        and, where there are, ``baselines``, ``split`` with its groups, ``validation_macro_f1``.

    Returns
    -------
    VerdictRecord
        Fit for use if nothing speaks against it. Cautions say what the run could not choose by.
    """
    model = result["pruned"]
    reasons = [
        *_behind_a_baseline(result),
        *(_near_chance(model) + _always_says_one(model) or _missed_classes(model)),
        *_false_alarms(model),
        *_validation_above_test(result),
        *_specimens(result),
    ]
    return VerdictRecord(fit_for_use=not reasons, reasons=tuple(reasons), cautions=tuple(_cautions(result)))


def _cautions(result: Mapping[str, Any]) -> list[str]:
    """Name the classes that were learnt from one specimen, or are tested on one."""
    split = result.get("split") or {}
    learnt, tested = (
        ", ".join(name.replace("_", " ") for name in split.get(key) or ())
        for key in ("lone_classes", "lone_test_classes")
    )
    cautions = []
    if learnt:
        cautions.append(
            f"one training specimen only of {learnt}: when to stop and how deep to cut was chosen on "
            "recordings of that same specimen; record another one"
        )
    if tested and not split.get("leaks"):
        cautions.append(
            f"one test specimen only of {tested}: another one may be recognised better or worse, which no "
            "interval shows; record more"
        )
    return [*cautions, *_no_better_than_a_baseline(result)]


def _no_better_than_a_baseline(result: Mapping[str, Any]) -> list[str]:
    """Name the baseline that is as good: it needs no model. A better one is a reason, not a caution."""
    model, named = result["pruned"], _named_baselines(result)
    equal = [name for name, share in named.items() if share >= model["accuracy"]]
    if not equal or _behind_a_baseline(result):
        return []
    best = max(equal, key=lambda name: named[name])
    return [
        f"a baseline does as well: {best.replace('_', ' ')} has {_percent(named[best])} right, the model "
        f"{_percent(model['accuracy'])}; on these windows the model is not needed"
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _named_baselines(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the accuracy of each baseline that is no model like the one judged."""
    baselines = result.get("baselines") or {}
    return {name: figures["accuracy"] for name, figures in baselines.items() if name != "scratch"}


def _behind_a_baseline(result: Mapping[str, Any]) -> list[str]:
    """Name the best baseline if it is better by more than the interval of the model's accuracy."""
    model, named = result["pruned"], _named_baselines(result)
    if not named:
        return []
    best = max(named, key=lambda name: named[name])
    highest = model["accuracy_interval"][1]
    if named[best] <= max(highest, model["accuracy"] + 0.01):
        return []
    return [
        f"a baseline is better: {best.replace('_', ' ')} has {_percent(named[best])} right, the model "
        f"{_percent(model['accuracy'])} (at most {_percent(highest)} within its interval)"
    ]


def _near_chance(model: Mapping[str, Any]) -> list[str]:
    rows = [sum(row) for row in model["confusion"]]
    present = [count for count in rows if count]
    if len(present) < 2:
        return []
    chance = max(present) / sum(present)
    if model["accuracy"] >= min(chance + NEAR_CHANCE, (1.0 + chance) / 2):
        return []
    return [
        f"the model is near chance: {_percent(model['accuracy'])} right, always saying the commonest class "
        f"{_percent(chance)}"
    ]


def _always_says_one(model: Mapping[str, Any]) -> list[str]:
    confusion = model["confusion"]
    if sum(1 for row in confusion if sum(row)) < 2:
        return []
    called = [sum(column) for column in zip(*confusion, strict=True)]
    share = max(called) / sum(called)
    if share < ONE_CLASS_SHARE:
        return []
    name = list(model["per_class_recall"])[called.index(max(called))].replace("_", " ")
    return [f"the model says {name} to {_percent(share)} of all windows"]


def _missed_classes(model: Mapping[str, Any]) -> list[str]:
    """Name the classes that the model hardly sees; the others may hide it in the accuracy."""
    missed = [
        f"{name.replace('_', ' ')} ({_percent(row[number] / sum(row))})"
        for number, (name, row) in enumerate(zip(model["per_class_recall"], model["confusion"], strict=True))
        if sum(row) and row[number] < LEAST_RECALL * sum(row)
    ]
    if not missed:
        return []
    return [f"the model recognises less than half of the windows of {', '.join(missed)}"]


def _false_alarms(model: Mapping[str, Any]) -> list[str]:
    rate = model["false_alarm_rate"]
    if rate is None or rate <= MOST_FALSE_ALARMS:
        return []
    return [
        f"false alarms: {_percent(rate)} of the healthy windows are called faulty, at most "
        f"{_percent(MOST_FALSE_ALARMS)} are allowed"
    ]


def _validation_above_test(result: Mapping[str, Any]) -> list[str]:
    validation, test = result.get("validation_macro_f1"), result["pruned"]["macro_f1"]
    if validation is None or validation - test <= LARGEST_GAP:
        return []
    return [
        f"validation lies far above test: macro-F1 {_percent(validation)} and {_percent(test)}; what was "
        "learnt does not carry over to other specimens"
    ]


def _specimens(result: Mapping[str, Any]) -> list[str]:
    """Say what the test cannot prove: it knows its specimens, or is of one specimen a class only."""
    split = result.get("split") or {}
    if split.get("leaks"):
        return ["the test holds specimens that the model was trained on, so it proves nothing about others"]
    groups = (split.get("groups") or {}).get("test") or []
    if len(groups) == 1:
        return [f"the test is of one specimen only ({groups[0]})"]
    return []
