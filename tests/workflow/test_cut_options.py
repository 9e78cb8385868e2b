"""From options to the settings of a cut, and the one place that refuses those which do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from secateur.core.errors import ConfigError
from secateur.methods.registered import METHODS, changes_weights
from secateur.tasks.reading import TEXT_TASKS
from secateur.workflow.cut_options import KNOWN, ONLY_BY, ONLY_FOR, cut_of_diagnoser, cut_of_model
from secateur.workflow.target import budget_of


def of_diagnoser(**given):
    return cut_of_diagnoser(given, method=given.pop("method", "cascade"), learning_rate=3e-4)


def test_recovery_takes_steps_of_the_rate_that_the_dense_model_was_trained_with():
    cut = of_diagnoser(ratio=2.0, recovery_steps=60, batch_size=16)
    assert (cut.recovery.learning_rate, cut.recovery.max_steps, cut.recovery.batch_size) == (3e-4, 60, 16)
    assert of_diagnoser(ratio=2.0, recovery_steps=0).recovery is None
    assert of_diagnoser(ratio=2.0).recovery.max_steps == 300


def test_the_ratio_is_the_default_and_only_where_nothing_else_is_asked_for():
    assert of_diagnoser().ratio == 13.8
    assert of_diagnoser(layers=1, heads=2, channels=3).ratio is None
    assert of_diagnoser(memory_mib=90.0).ratio is None
    both = budget_of(of_diagnoser(ratio=4.0, memory_mib=90.0), window_tokens=24)
    assert both.ratio == 4.0
    assert [limit.name for limit in both.limits] == ["memory"]


@pytest.mark.parametrize("name", sorted(ONLY_FOR["model"]))
def test_options_of_models_are_refused_for_diagnosers(name):
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}: not for Diagnosers"):
        of_diagnoser(**{name: 1})


@pytest.mark.parametrize("name", sorted(ONLY_FOR["recordings"]))
def test_options_of_diagnosers_are_refused_for_models(name):
    # False is an answer too: --no-rivals
    for value in (1, False):
        with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}: not for transformers models"):
            cut_of_model(criterion="magnitude", ratio=1.2, **{name: value})


@pytest.mark.parametrize("name", sorted(ONLY_BY))
def test_options_of_some_methods_are_refused_for_the_others_and_named_with_theirs(name):
    others = [method for method in METHODS.names() if method not in ONLY_BY[name]]
    assert {"one_shot", "scratch", "svd"} <= set(others)
    for method in others:
        said = "leave out" if changes_weights(method) else f"choose --method {ONLY_BY[name][0]}"
        with pytest.raises(ConfigError, match=f"not for method '{method}'; .*{said}"):
            cut_of_model(method=method, ratio=1.2, calibration=Path("text"), **{name: 2})


def test_what_asks_for_nothing_is_refused_nowhere():
    cut = cut_of_model(method="svd", ratio=1.5, uniform=False, recovery_steps=0, general_share=0.0)
    assert (cut.recovery, cut.criterion, cut.uniform) == (None, None, False)


def test_unknown_options_are_refused_with_those_that_are_known():
    with pytest.raises(ConfigError, match=r"unknown options: raito; allowed: .*ratio"):
        cut_of_model(raito=2.0)
    assert {"ratio", "units", "recovery_minutes", "max_depths"} <= KNOWN


def test_settings_of_a_model_hold_out_data_where_they_choose_by_it(tmp_path):
    text = tmp_path / "text"
    text.touch()
    plain = cut_of_model(ratio=1.2, calibration=text)
    assert plain.data.held_out == 0
    assert not plain.data.learns
    chooses = cut_of_model(ratio=1.2, calibration=text, method="cascade", recovery_minutes=1)
    assert chooses.data.held_out > 0
    assert chooses.data.learns
    assert chooses.on("labels").search.ranking_samples > plain.search.ranking_samples


def test_encoders_recover_in_smaller_steps_than_language_models(tmp_path):
    text = tmp_path / "text"
    text.touch()
    for adapter, rate, small in (("full", 3e-4, 5e-5), ("lora", 1e-3, 1e-3)):
        cut = cut_of_model(ratio=1.2, calibration=text, recovery_steps=9, recovery_adapter=adapter)
        rates = {task: cut.on(task).recovery.learning_rate for task in TEXT_TASKS}
        assert rates == {"text": rate, "answers": rate, "labels": small, "embeddings": small}
    assert cut_of_model(ratio=1.2, calibration=text).on("labels").recovery is None
