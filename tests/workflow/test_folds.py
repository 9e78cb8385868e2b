"""Averaging over folds."""

from __future__ import annotations

from secateur.workflow.folds import average, fold_folder


def test_numbers_are_averaged_in_place_and_text_is_kept_where_it_agrees():
    folds = [
        {
            "accuracy": 0.5,
            "parameters": 100,
            "curve": [{"snr": -6.0, "f1": 0.2}],
            "name": "a",
            "confusion": [[1]],
        },
        {
            "accuracy": 0.7,
            "parameters": 100,
            "curve": [{"snr": -6.0, "f1": 0.4}],
            "name": "b",
            "confusion": [[2]],
        },
    ]
    mean = average(folds)
    assert mean["accuracy"] == 0.6
    assert mean["parameters"] == 100
    assert isinstance(mean["parameters"], int)
    assert mean["curve"][0]["snr"] == -6.0
    assert abs(mean["curve"][0]["f1"] - 0.3) < 1e-12
    assert mean["name"] is None
    assert "confusion" not in mean


def test_a_figure_that_one_fold_lacks_is_not_made_up():
    assert average([{"false_alarm_rate": None}, {"false_alarm_rate": 0.1}]) == {"false_alarm_rate": None}


def test_folders_are_named_after_folds():
    assert fold_folder("fault_size:14") == "fault_size-14"
