"""Windows of simulated machines without labels in a batch of recovery."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tones
from secateur.core.errors import ConfigError
from secateur.recovery.settings import RecoverySettings
from secateur.scoring.objective import sample_losses
from secateur.tasks.windows import PROBE_BLOCKS, WindowTask
from secateur.training.augment import NO_AUGMENTATION
from secateur.training.settings import FitSettings
from secateur.training.unlabelled import (
    BLOCK,
    UNLABELLED,
    Unlabelled,
    can_simulate,
    machine_pool,
    unlabelled_for,
)

LENGTH, RATE_HZ = 1_024, 12_000.0


@pytest.fixture(scope="module")
def pool():
    return machine_pool(3, LENGTH, RATE_HZ, blocks=1)


@pytest.fixture(scope="module")
def long_windows():
    return tones.tone_windows([8, 8, 8], length=LENGTH)


def labelled(n):
    return {
        "waveform": torch.ones(n, LENGTH),
        "shaft_rate_hz": torch.ones(n),
        "fault_orders": torch.ones(n, 4),
        "label": torch.arange(n),
    }


def test_a_pool_is_the_same_for_a_seed_and_has_no_labels(pool):
    machine_pool.cache_clear()
    again = machine_pool(3, LENGTH, RATE_HZ, blocks=1)
    assert all(torch.equal(pool[name], again[name]) for name in pool)
    assert not torch.equal(pool["waveform"], machine_pool(4, LENGTH, RATE_HZ, blocks=1)["waveform"])
    assert pool["waveform"].shape == (BLOCK, LENGTH)
    assert set(pool["label"].tolist()) == {UNLABELLED}


def test_a_batch_keeps_its_labelled_windows_and_gets_others_at_each_step(pool):
    batch = labelled(6)
    windows = Unlabelled(pool=pool, a_batch=2, held=pool, answers=torch.zeros(BLOCK, 3))
    first, second = (windows.added_to(batch, 0, step) for step in (0, 1))
    for found in (first, second):
        assert found["label"].tolist() == [0, 1, 2, 3, 4, 5, -1, -1]
        assert torch.equal(found["waveform"][:6], batch["waveform"])
    assert not torch.equal(first["waveform"][6:], second["waveform"][6:])
    again = windows.added_to(batch, 0, 0)
    assert all(torch.equal(first[name], again[name]) for name in first)
    rows = [int(torch.where((pool["waveform"] == row).all(dim=1))[0]) for row in first["waveform"][6:]]
    assert torch.equal(first["shaft_rate_hz"][6:], pool["shaft_rate_hz"][rows])


@pytest.mark.parametrize(
    ("length", "rate_hz", "can"), [(1_024, 1e3, True), (512, 12e3, False), (8_192, 400.0, False)]
)
def test_what_can_be_simulated(length, rate_hz, can):
    assert can_simulate(length, rate_hz) is can


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ConfigError, match="unlabelled_share"):
        RecoverySettings(unlabelled_share=share)


class Teacher(torch.nn.Module):
    input_names = ("waveform", "shaft_rate_hz", "fault_orders")

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))

    def forward(self, waveform, shaft_rate_hz, fault_orders):
        return self.gain * waveform[:, :3]


@pytest.mark.parametrize(
    ("options", "teacher", "count"),
    [
        ({}, True, 2),
        ({"unlabelled_share": 0.5}, True, 4),
        ({"unlabelled_share": 0.0}, True, 0),
        ({"distill_weight": 0.0}, True, 0),
        ({}, False, 0),
    ],
)
def test_recovery_learns_from_them_where_a_teacher_answers(long_windows, options, teacher, count):
    task = WindowTask.from_windows(long_windows, long_windows, seed=0, augmentation=NO_AUGMENTATION)
    settings = RecoverySettings(max_steps=2, batch_size=8, augmentation=NO_AUGMENTATION, **options)
    model = Teacher()
    data, loss = task.learning(model, settings, Teacher() if teacher else None)
    batch = data.batch(0)
    assert len(batch["label"]) == 8
    assert (batch["label"] < 0).sum() == count
    assert torch.isfinite(loss(model, batch))


def test_the_teacher_itself_does_not_differ_and_others_do():
    teacher, other = Teacher(), Teacher()
    windows = unlabelled_for(teacher, a_batch=2, seed=0, length=LENGTH, sampling_rate_hz=RATE_HZ)
    assert windows.divergence(teacher) == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        other.gain *= 2.0
    own = (windows.held["waveform"][:, :3]).log_softmax(-1)
    other_own = (2.0 * windows.held["waveform"][:, :3]).log_softmax(-1)
    expected = (own.exp() * (own - other_own)).sum(-1).mean()
    assert windows.divergence(other) == pytest.approx(float(expected), rel=1e-5)
    assert not torch.equal(windows.held["waveform"], windows.pool["waveform"][:BLOCK])


def test_a_model_that_is_fitted_to_labels_never_gets_them(long_windows):
    task = WindowTask.from_windows(long_windows, long_windows, seed=0, augmentation=NO_AUGMENTATION)
    data, _ = task.learning(Teacher(), FitSettings(max_steps=2, batch_size=8, stranger_share=0.0), None)
    assert (np.asarray(data.batch(0)["label"]) >= 0).all()


def test_depths_are_compared_on_recordings_and_on_machines_that_recovery_does_not_see(long_windows):
    task = WindowTask.from_windows(
        long_windows, long_windows, seed=0, augmentation=NO_AUGMENTATION, probe_samples=12
    )
    machines = task.probe[len(task.labelled_probe) :]
    assert sum(len(batch["label"]) for batch in task.labelled_probe) == 12
    assert all((batch["label"] >= 0).all() for batch in task.labelled_probe)
    assert len(machines) == PROBE_BLOCKS
    assert all((batch["label"] == UNLABELLED).all() and len(batch["label"]) == BLOCK for batch in machines)
    settings = RecoverySettings(max_steps=2, batch_size=8, augmentation=NO_AUGMENTATION)
    learnt = task.learning(Teacher(), settings, Teacher())[0]
    batches = [learnt.batch(step) for step in range(100)]
    seen = {tuple(row.tolist()) for batch in batches for row in batch["waveform"][batch["label"] < 0, :8]}
    assert len(seen) > 100
    assert not seen & {tuple(row.tolist()) for batch in machines for row in batch["waveform"][:, :8]}
    again = WindowTask.from_windows(long_windows, long_windows, seed=1, augmentation=NO_AUGMENTATION).probe
    assert not torch.equal(again[-1]["waveform"], machines[-1]["waveform"])


def test_on_machines_the_dense_models_answers_are_what_counts(long_windows):
    probe = WindowTask.from_windows(
        long_windows, long_windows, seed=0, augmentation=NO_AUGMENTATION, probe_samples=12
    ).probe
    dense, other = Teacher(), Teacher()
    with torch.no_grad():
        other.gain *= -1.0
    references = [dense(batch["waveform"], None, None).detach() for batch in probe]
    like, unlike = (sample_losses(model, probe, references)[12:] for model in (dense, other))
    assert len(like) == PROBE_BLOCKS * BLOCK
    assert (unlike >= like - 1e-9).all()
    assert unlike.mean() > 2 * like.mean()


def test_short_windows_are_compared_on_recordings_alone():
    short = tones.tone_windows([8, 8, 8])
    task = WindowTask.from_windows(short, short, seed=0, augmentation=NO_AUGMENTATION)
    assert task.probe == task.labelled_probe
