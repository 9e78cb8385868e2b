"""By what is chosen: unseen specimens where there are some, lines alone where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.core.progress import quiet
from secateur.models.checkpoint import describe
from secateur.signals.kinematics import FaultOrders
from secateur.signals.recording import ArraySource, Recording
from secateur.training.settings import FitSettings
from secateur.workflow import task as task_module
from secateur.workflow.export import _set_on
from secateur.workflow.settings import TaskSettings
from secateur.workflow.steps import train_dense
from secateur.workflow.task import prepare_one, split_record

ORDERS = FaultOrders(bpfo=3.58, bpfi=5.42, bsf2=4.71, ftf=0.398)


def fleet(n_specimens: int, *, speed_rpm: float | None = 1800.0) -> list[Recording]:
    rng = np.random.default_rng(0)
    return [
        Recording(
            recording_id=f"{location}_{number}",
            source=ArraySource(rng.standard_normal((1, 6_000)).astype(np.float32)),
            channels=("acc",),
            sampling_rate_hz=12_000.0,
            group_id=f"{location}_{number}",
            dataset="own",
            fault_location=location,
            shaft_speed_rpm=speed_rpm,
            fault_orders=ORDERS,
        )
        for location in ("normal", "inner_race")
        for number in range(n_specimens)
    ]


@pytest.fixture
def prepared(monkeypatch):
    """Return what turns recordings into windows."""

    def prepared(recordings):
        monkeypatch.setattr(task_module, "open_recordings", lambda data, seed: recordings)
        with quiet():
            return prepare_one(settings())

    return prepared


def settings() -> TaskSettings:
    return TaskSettings(data="fleet", split="specimen", window_length=1024, train_hop=1024, test_hop=1024)


def test_with_one_specimen_a_class_the_spectrum_is_hidden_and_the_record_says_so(prepared):
    preparation = prepared(fleet(2))
    assert preparation.front_end.frames == 0
    assert split_record(preparation.split)["lone_classes"] == ["normal", "inner_race"]
    assert _set_on(preparation) == "windows of the training specimens"


def test_the_spectrum_stays_where_nothing_else_is_known(prepared):
    assert prepared(fleet(2, speed_rpm=None)).front_end.frames > 0


def test_with_many_specimens_held_out_ones_choose_and_stay_out(prepared):
    preparation = prepared(fleet(11))
    assert preparation.front_end.frames > 0
    assert preparation.everything is None
    assert _set_on(preparation) == "held-out specimens"


def test_with_few_specimens_a_last_fit_takes_the_steps_that_held_out_ones_chose(prepared, tmp_path):
    preparation = prepared(fleet(3))
    everything = set(preparation.train.group_ids) | set(preparation.validation.group_ids)
    assert set(preparation.everything.group_ids) == everything
    assert not set(preparation.train.group_ids) & set(preparation.validation.group_ids)
    with quiet():
        train_dense(
            preparation,
            backbone="nano-mha",
            task=settings(),
            settings=FitSettings(max_steps=4, evaluate_every=2, batch_size=4, warmup_steps=1),
            folder=tmp_path / "dense",
        )
    metadata = describe(tmp_path / "dense").metadata
    assert metadata["fit"]["steps"] == metadata["chosen_by"]["best_step"] in (2, 4)
    assert metadata["chosen_by"]["steps"] == 4
    assert _set_on(preparation) == "windows of the training specimens"
