"""Each thing that makes a model unfit is found, and a sound model is fit."""

from __future__ import annotations

import copy

import pytest

from secateur.workflow.verdict import verdict_of

SOUND = {
    "pruned": {
        "accuracy": 0.97,
        "accuracy_interval": [0.94, 0.99],
        "macro_f1": 0.965,
        "false_alarm_rate": 0.01,
        "confusion": [[99, 1, 0], [3, 96, 1], [2, 2, 96]],
        "per_class_recall": {"normal": 0.99, "inner_race": 0.96, "outer_race": 0.96},
    },
    "baselines": {"random_forest": {"accuracy": 0.95}, "scratch": {"accuracy": 0.999}},
    "split": {"leaks": False, "groups": {"test": ["a", "b", "c"]}},
    "validation_macro_f1": 0.98,
}


def changed(**changes):
    result = copy.deepcopy(SOUND)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = result
        for parent in parents:
            place = place[parent]
        place[last] = value
    return result


def test_a_sound_run_is_fit():
    verdict = verdict_of(SOUND)
    assert verdict.fit_for_use
    assert verdict.reasons == ()


def test_a_class_with_one_training_specimen_is_told_and_does_not_make_unfit():
    verdict = verdict_of(changed(split__lone_classes=["inner_race"]))
    assert verdict.fit_for_use
    assert len(verdict.cautions) == 1
    assert "one training specimen only of inner race" in verdict.cautions[0]


def test_a_baseline_that_is_as_good_is_told():
    assert verdict_of(SOUND).cautions == ()
    verdict = verdict_of(changed(baselines__random_forest__accuracy=0.97))
    assert verdict.fit_for_use
    (caution,) = verdict.cautions
    assert "random forest has 97.0 % right, the model 97.0 %" in caution
    assert verdict_of(changed(baselines__random_forest__accuracy=0.995)).cautions == ()


def test_a_class_with_one_test_specimen_is_told_unless_the_test_proves_nothing_anyway():
    (caution,) = verdict_of(changed(split__lone_test_classes=["inner_race", "ball"])).cautions
    assert "one test specimen only of inner race, ball" in caution
    leaking = changed(split__lone_test_classes=["ball"], split__leaks=True)
    assert verdict_of(leaking).cautions == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"baselines__random_forest__accuracy": 0.995}, "random forest has 99.5 % right, the model 97.0 %"),
        (
            {
                "pruned__accuracy": 0.4,
                "pruned__accuracy_interval": [0.3, 1.0],
                "pruned__confusion": [[40, 30, 30], [30, 40, 30], [30, 30, 40]],
            },
            "near chance: 40.0 % right, always saying the commonest class 33.3 %",
        ),
        (
            {"pruned__confusion": [[100, 0, 0], [98, 2, 0], [99, 0, 1]]},
            "says normal to 99.0 % of all windows",
        ),
        (
            {"pruned__confusion": [[99, 1, 0], [70, 20, 10], [2, 2, 96]]},
            "less than half of the windows of inner race (20.0 %)",
        ),
        ({"pruned__false_alarm_rate": 0.26}, "26.0 % of the healthy windows"),
        ({"validation_macro_f1": 1.0, "pruned__macro_f1": 0.5}, "validation lies far above test"),
        ({"split__groups": {"test": ["only"]}}, "one specimen only (only)"),
        ({"split__leaks": True}, "specimens that the model was trained on"),
    ],
)
def test_what_speaks_against_a_model_is_said(changes, reason):
    verdict = verdict_of(changed(**changes))
    assert not verdict.fit_for_use
    assert len(verdict.reasons) == 1
    assert reason in verdict.reasons[0]


def test_a_baseline_within_the_interval_is_no_reason():
    assert verdict_of(changed(baselines__random_forest__accuracy=0.985)).fit_for_use


def test_what_is_not_known_is_no_reason():
    assert verdict_of({"pruned": SOUND["pruned"]}).fit_for_use
