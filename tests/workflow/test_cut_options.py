"""From options to the settings of a cut, and the one place that refuses those which do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from secateur.core.errors import ConfigError
from secateur.methods.floor import Floors
from secateur.methods.registered import METHODS, changes_weights
from secateur.methods.settings import HandAllocation
from secateur.tasks.text_data import TEXT_TASKS
from secateur.workflow.cut_options import (
    OF_BLOCKS,
    OF_UNITS,
    ONLY_BY,
    ONLY_FOR,
    cut_of_diagnoser,
    cut_of_model,
)
from secateur.workflow.option_types import CutOptionTypes, LiveOptionTypes
from secateur.workflow.target import budget_of

VALUES = {int: 2, float: 0.2, str: "x", bool: True, Path: Path("x"), Floors: Floors()}


def of_the_type(name):
    """Return a value that an option may have."""
    first = get_args(get_type_hints(CutOptionTypes)[name])[0]
    if first in VALUES:
        return VALUES[first]
    return get_args(first)[0] if get_origin(first) is Literal else ()


def of_diagnoser(**given):
    return cut_of_diagnoser(given, learning_rate=3e-4)


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
        of_diagnoser(**{name: of_the_type(name)})


@pytest.mark.parametrize("name", sorted(ONLY_FOR["recordings"]))
def test_options_of_diagnosers_are_refused_for_models(name):
    # False is an answer too: --no-rivals
    value = False if name == "rivals" else of_the_type(name)
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}: not for transformers models"):
        cut_of_model(criterion="magnitude", ratio=1.2, **{name: value})


@pytest.mark.parametrize("name", sorted(ONLY_BY))
def test_options_of_some_methods_are_refused_for_the_others_and_named_with_theirs(name):
    others = [method for method in METHODS.names() if method not in ONLY_BY[name]]
    assert {"one_shot", "scratch", "svd"} <= set(others)
    for method in others:
        said = "leave out" if changes_weights(method) else f"choose --method {ONLY_BY[name][0]}"
        with pytest.raises(ConfigError, match=f"not for method '{method}'; .*{said}"):
            cut_of_model(method=method, ratio=1.2, calibration=Path("text"), **{name: of_the_type(name)})


def test_what_asks_for_nothing_is_refused_nowhere():
    cut = cut_of_model(method="svd", ratio=1.5, uniform=False, recovery_steps=0, general_share=0.0)
    assert (cut.recovery, cut.criterion, cut.uniform) == (None, None, False)


def test_unknown_options_are_refused_with_those_that_are_known():
    with pytest.raises(ConfigError, match=r"unknown options: raito; allowed: .*ratio"):
        cut_of_model(raito=2.0)
    declared = {*get_type_hints(CutOptionTypes)}
    assert {*OF_UNITS, *(name for only in ONLY_FOR.values() for name in only)} <= declared


@pytest.mark.parametrize("name", sorted({*get_type_hints(LiveOptionTypes), "vocabulary"}))
def test_every_option_of_a_wrong_type_is_told_by_its_name(name):
    for wrong in (object(), [object()], {"a": 1}, b"2"):
        with pytest.raises(ConfigError, match=f"^{name} is .*; give "):
            cut_of_model(**{"ratio": 1.2, name: wrong})
        if name != "method":
            with pytest.raises(ConfigError, match=f"^{name} is .*; give "):
                of_diagnoser(**{name: wrong})


@pytest.mark.parametrize("name", sorted(OF_BLOCKS))
def test_options_of_the_blocks_are_refused_where_the_vocabulary_is_the_whole_cut(name, tmp_path):
    text = tmp_path / "text"
    text.touch()
    method = {"method": ONLY_BY[name][0]} if name in ONLY_BY else {}
    value = {"method": "cascade", "criterion": "magnitude"}.get(name, of_the_type(name))
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}.*: not where the vocabulary is"):
        cut_of_model(vocabulary=text, calibration=text, **method | {name: value})
    assert cut_of_model(vocabulary=text, calibration=text).holds_out


def test_units_and_order_are_not_both_given(tmp_path):
    text = tmp_path / "text"
    text.touch()
    both = {"order": ("layers", "channels"), "units": ("group",)}
    with pytest.raises(ConfigError, match="order names what is cut, and --units too; give one"):
        cut_of_model(method="cascade", ratio=1.2, calibration=text, **both)


def test_a_control_goes_with_recovery():
    with pytest.raises(ConfigError, match="--recovery-control: goes with --recovery-steps or --recovery-min"):
        cut_of_model(criterion="magnitude", ratio=1.2, recovery_control=True)
    assert cut_of_model(criterion="magnitude", ratio=1.2, recovery_control=False).recovery is None


HAND = {"layers": 1, "heads": 2, "channels": 3}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"units": ("channel",)}, "--units"),
        ({"uniform": True}, "--uniform"),
        ({"multiple": 8, "rounds": 2}, "--multiple, --rounds"),
        ({"method": "cascade", "order": ("layers", "channels")}, "order"),
        ({"hand": HandAllocation(**HAND)}, "the shape was given by hand and by --layers"),
    ],
)
def test_a_shape_by_hand_takes_no_option_that_would_say_something_else(other, said):
    with pytest.raises(ConfigError, match=said):
        cut_of_model(criterion="magnitude", **HAND, **other)
    assert cut_of_model(criterion="magnitude", **HAND, ratio=1.2).search.hand == HandAllocation(**HAND)


def test_a_shape_by_hand_of_a_diagnoser_takes_no_multiple():
    with pytest.raises(ConfigError, match="--multiple: not with a shape by hand"):
        of_diagnoser(**HAND, multiple=8)


def test_lists_and_names_of_files_do_as_well_as_tuples_and_paths(tmp_path):
    text = tmp_path / "text"
    text.touch()
    cut = cut_of_model(ratio=1.2, calibration=str(text), vocabulary=str(text), units=["group", "channel"])
    assert (cut.data.path, cut.text.vocabulary, cut.units) == (text, text, ("group", "channel"))
    with pytest.raises(ConfigError, match=r"units is 'group'.*give a list whose entries"):
        cut_of_model(ratio=1.2, calibration=text, units="group")


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
