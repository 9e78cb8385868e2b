"""The same command again, and the same seed again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from secateur.core.errors import ConfigError
from secateur.methods.floor import Floors
from secateur.models import checkpoint
from secateur.workflow.compress import compress
from secateur.workflow.settings import SiaSettings
from secateur.workflow.steps import prune_and_save
from secateur.workflow.task import prepare_one


def snapshot(folder):
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")
    }


def test_a_second_call_changes_nothing_and_gives_the_same_result(small_run, small_settings, small_result):
    before = snapshot(small_run)
    assert compress(small_settings, small_run) == small_result
    assert snapshot(small_run) == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"backbone": "nano-gqa"}, "backbone: nano-mha there, nano-gqa asked for"),
        ({"snr_curve_db": (0.0, 6.0)}, "snr_curve_db"),
        ({"rivals": False}, "rivals"),
    ],
)
def test_other_settings_are_refused_and_named(change, named, small_run, small_settings):
    before = snapshot(small_run)
    with pytest.raises(ConfigError, match="other settings") as refused:
        compress(replace(small_settings, **change), small_run)
    assert named in str(refused.value)
    assert snapshot(small_run) == before


def test_nested_settings_are_named_by_their_path(small_run, small_settings):
    cut = replace(small_settings.cut, ratio=1.2, floors=Floors(min_accuracy=0.1))
    with pytest.raises(ConfigError, match=r"cut\.floors\.min_accuracy: None there, 0\.1") as refused:
        compress(replace(small_settings, cut=cut), small_run)
    assert "cut.ratio: 1.3 there, 1.2 asked for" in str(refused.value)


def test_a_folder_of_something_else_is_not_touched(small_settings, tmp_path):
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(ConfigError, match="no run folder"):
        compress(small_settings, tmp_path)
    with pytest.raises(ConfigError, match="no run folder"):
        compress(small_settings, tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_the_same_seed_cuts_the_same_units_and_another_one_does_not(small_run, small_settings, tmp_path):
    preparation = prepare_one(small_settings.task)
    dense = checkpoint.load(small_run / "dense")
    for seed in (0, 1):
        prune_and_save(
            dense,
            preparation,
            task=replace(small_settings.task, seed=seed),
            cut=small_settings.cut,
            folder=tmp_path / str(seed),
        )
    for name in ("plan.json", "model.safetensors"):
        assert (tmp_path / "0" / name).read_bytes() == (small_run / "pruned" / name).read_bytes()
        assert (tmp_path / "1" / name).read_bytes() != (small_run / "pruned" / name).read_bytes()


@pytest.mark.long
@pytest.mark.slow
def test_every_fold_of_a_protocol_is_a_run_and_the_result_their_mean(small_settings, tmp_path):
    settings = replace(
        small_settings,
        task=replace(small_settings.task, split="fault_size:all"),
        fit=replace(small_settings.fit, max_steps=4),
        cut=replace(small_settings.cut, recovery=replace(small_settings.cut.recovery, max_steps=4)),
        rivals=False,
        sia=SiaSettings(measure=False),
    )
    result = compress(settings, tmp_path / "run")
    folds = [
        json.loads((tmp_path / "run" / name / "result.json").read_text())
        for name in ("fault_size-14", "fault_size-21")
    ]
    assert [fold["folder"] for fold in result["folds"]] == ["fault_size-14", "fault_size-21"]
    for model in ("dense", "pruned"):
        for figure in ("accuracy", "macro_f1", "ece", "false_alarm_rate"):
            expected = sum(fold[model][figure] for fold in folds) / 2
            assert result[model][figure] == pytest.approx(expected)
    assert result["ratio"] == pytest.approx(sum(fold["ratio"] for fold in folds) / 2)
    assert result["split"]["folds"] == [fold["split"] for fold in folds]
    assert [split["protocol"] for split in result["split"]["folds"]] == ["fault_size:14", "fault_size:21"]
    assert len(list((tmp_path / "run").glob("fault_size-*/report.html"))) == 2
    assert "fault_size-21/report.html" in (tmp_path / "run" / "report.html").read_text()
    assert compress(settings, tmp_path / "run") == result
