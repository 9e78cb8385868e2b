from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.models.binding import bind
from secateur.recovery import recover as recovering
from secateur.recovery.adapters import projection_names
from secateur.recovery.settings import RecoverySettings
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from secateur.tasks.windows import WindowTask
from secateur.training.augment import NO_AUGMENTATION
from secateur.training.batches import forward

SETTINGS = RecoverySettings(
    max_steps=12,
    batch_size=12,
    learning_rate=5e-3,
    warmup_steps=2,
    precision="fp32",
    evaluate_every=6,
    checkpoint_every=5,
    rank=4,
    alpha=8.0,
)


def recover(model, teacher, train, validation, settings, out=None):
    task = WindowTask(train=train, validation=validation)
    return recovering.recover(model, teacher, task, settings, out)


@pytest.fixture
def cut(diagnoser):
    bound = bind(diagnoser)
    plan = PruningPlan.identity(bound.spec.family, bound.shape).without_layers([1]).with_groups(0, [1])
    return apply(diagnoser, plan.with_channels(2, range(0, 48, 2)))


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True))


@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_the_student_comes_closer_to_its_teacher(diagnoser, cut, train, validation, batches, adapter):
    settings = replace(
        SETTINGS, adapter=adapter, distill_weight=1.0, max_steps=40, augmentation=NO_AUGMENTATION
    )

    recover(diagnoser, None, train, validation, replace(settings, adapter="full"))

    @torch.no_grad()
    def distance():
        return sum(
            (forward(cut, b).softmax(-1) - forward(diagnoser, b).softmax(-1)).abs().mean() for b in batches
        )

    before, names, flags = distance(), list(cut.state_dict()), [p.requires_grad for p in cut.parameters()]
    dense_state = {name: value.clone() for name, value in diagnoser.state_dict().items()}
    result = recover(cut, diagnoser, train, validation, settings)
    assert distance() < 0.7 * before
    assert result.samples_seen == result.steps * 12
    assert list(cut.state_dict()) == names
    assert [p.requires_grad for p in cut.parameters()] == flags
    assert same(diagnoser.state_dict(), dense_state)
    assert not diagnoser.training


@pytest.mark.parametrize("train_rest", [True, False])
def test_what_is_trained(diagnoser, cut, train, validation, train_rest):
    before = {name: value.clone() for name, value in cut.state_dict().items()}
    recover(cut, diagnoser, train, validation, replace(SETTINGS, train_rest=train_rest))
    weights = {f"{name}.weight" for name in projection_names(cut)}
    biases = {f"{name}.bias" for name in projection_names(cut)}
    for name, value in cut.state_dict().items():
        moved = not torch.equal(value, before[name])
        if name in weights:
            assert moved, name
        elif name in biases:
            assert not moved, name
        else:
            # Windows go around the table of words, so nothing ever moves it.
            assert moved == train_rest or name.endswith(("wte.weight", "embed_tokens.weight")), name


def test_resumed_recovery_equals_the_uninterrupted_one(diagnoser, cut, train, validation, tmp_path):
    whole, broken, resumed = (copy.deepcopy(cut) for _ in range(3))
    expected = recover(whole, diagnoser, train, validation, SETTINGS)
    calls = 0

    def stop_at_eighth(module, inputs):
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt

    handle = diagnoser.register_forward_pre_hook(stop_at_eighth)
    with pytest.raises(KeyboardInterrupt):
        recover(broken, diagnoser, train, validation, SETTINGS, tmp_path)
    handle.remove()
    assert list(broken.state_dict()) == list(cut.state_dict())
    result = recover(resumed, diagnoser, train, validation, SETTINGS, tmp_path)
    assert same(resumed.state_dict(), whole.state_dict())
    assert replace(result, seconds=0.0) == replace(expected, seconds=0.0)


def test_without_teacher_the_labels_are_learnt(cut, train, validation):
    settings = replace(SETTINGS, adapter="full", max_steps=60, augmentation=NO_AUGMENTATION)
    assert recover(cut, None, train, validation, settings).validation_macro_f1 > 0.9


def test_no_model_teaches_itself(cut, train, validation):
    with pytest.raises(ConfigError, match="copy"):
        recover(cut, cut, train, validation, SETTINGS)


@pytest.mark.parametrize(
    "wrong", [{"adapter": "dora"}, {"rank": 0}, {"distill_weight": 2}, {"temperature": 0}]
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RecoverySettings(**wrong)
