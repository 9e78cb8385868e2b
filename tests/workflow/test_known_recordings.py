"""The whole path on the Case Western recordings, with a tiny backbone and few steps."""

from __future__ import annotations

import pytest

from secateur.core.progress import quiet
from secateur.recovery.settings import RecoverySettings
from secateur.training.settings import FitSettings
from secateur.workflow.compress import compress
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.settings import RunSettings, SiaSettings, TaskSettings
from secateur.workflow.task import prepare

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def result(cwru_dir, tmp_path_factory):
    settings = RunSettings(
        task=TaskSettings(data=str(cwru_dir), split="load"),
        backbone="nano-mha",
        fit=FitSettings(max_steps=160, batch_size=16, learning_rate=3e-3, warmup_steps=20),
        cut=CutSettings(ratio=1.3, recovery=RecoverySettings(max_steps=40, batch_size=16)),
        snr_curve_db=(0.0,),
        sia=SiaSettings(measure=False),
    )
    with quiet():
        return compress(settings, tmp_path_factory.mktemp("cwru") / "run")


@pytest.mark.long
def test_ten_classes_are_told_apart_far_above_chance(result):
    assert len(result["classes"]) == 10
    assert result["dense"]["accuracy"] > 0.6
    assert result["pruned"]["accuracy"] > 0.6
    assert result["dense"]["snr_curve"][0]["accuracy"] < result["dense"]["accuracy"]
    assert result["baselines"]["random_forest"]["accuracy"] > 0.7
    assert result["baselines"]["fault_line_regression"]["accuracy"] > 0.7


@pytest.mark.long
def test_the_split_says_that_it_leaks(result):
    assert result["split"]["leaks"] is True
    groups = result["split"]["groups"]
    assert "cwru_de_b007" in set(groups["train"]) & set(groups["test"])


@pytest.mark.long
def test_the_small_model_follows_the_dense_one(result):
    assert result["ratio"] >= 1.3
    assert result["fidelity"]["agreement"] > 0.6


@pytest.mark.long
def test_the_graph_agrees_on_real_windows(result):
    assert result["parity"]["max_abs_diff"] <= 1e-4
    assert result["parity"]["windows"] == 32


@pytest.mark.parametrize(
    ("protocol", "folds", "classes", "leaks"),
    [("load", 1, 10, True), ("fault_size:14", 1, 4, False), ("fault_size:all", 3, 4, False)],
)
def test_protocols_give_windows_on_every_side(cwru_dir, protocol, folds, classes, leaks):
    prepared = prepare(TaskSettings(data=str(cwru_dir), split=protocol))
    assert len(prepared) == folds
    for fold in prepared:
        assert len(fold.classes) == classes
        assert fold.split.leaks is leaks
        for side in (fold.train, fold.validation, fold.test):
            assert set(side.labels) == set(range(classes))
        assert fold.front_end.sampling_rate_hz == 12_000
