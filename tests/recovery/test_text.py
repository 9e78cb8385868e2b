"""Recovery on text: closer to the teacher, resumed as uninterrupted, in bounded passes, in bounded time."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from secateur.core.errors import CheckpointError, ConfigError, DataError
from secateur.models.binding import bind
from secateur.recovery import recover as recovering
from secateur.recovery.adapters import projection_names
from secateur.recovery.settings import TextRecoverySettings
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from secateur.tasks.token_losses import logits_of, token_nats
from secateur.tasks.token_task import TokenTask
from tiny_language_models import SIZE, tiny_language_model

SETTINGS = TextRecoverySettings(
    max_steps=12,
    batch_size=6,
    learning_rate=5e-3,
    warmup_steps=2,
    precision="fp32",
    evaluate_every=6,
    checkpoint_every=5,
    rank=4,
    alpha=8.0,
)


def recover_text(model, teacher, train, validation, settings, out=None):
    return recovering.recover(model, teacher, TokenTask.of_blocks(train, validation), settings, out)


@pytest.fixture
def dense():
    model = tiny_language_model("llama-tied")
    with torch.no_grad():
        # larger weights make every unit matter
        for name, parameter in model.named_parameters():
            if "proj" in name:
                parameter.mul_(3)
    return model


@pytest.fixture
def cut(dense):
    bound = bind(dense)
    plan = PruningPlan.identity(bound.spec.family, bound.shape).with_groups(0, [1])
    return apply(dense, plan.with_channels(1, range(0, 20, 2)))


def cycles(count: int, seed: int) -> torch.Tensor:
    """Blocks in which the next token is the last plus the step of the block."""
    draw = torch.Generator().manual_seed(seed)
    start, step = (
        torch.randint(SIZE, (count, 1), generator=draw),
        torch.randint(1, 3, (count, 1), generator=draw),
    )
    return (start + step * torch.arange(12)) % SIZE


TRAIN, VALIDATION = cycles(40, 1), cycles(9, 2)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True))


@torch.no_grad()
def nats(model):
    return float(token_nats(logits_of(model, VALIDATION), VALIDATION).double().mean())


@torch.no_grad()
def distance(one, other):
    return float((logits_of(one, TRAIN).softmax(-1) - logits_of(other, TRAIN).softmax(-1)).abs().mean())


@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_the_student_comes_closer_to_its_teacher(dense, cut, adapter):
    before, names = distance(cut, dense), list(cut.state_dict())
    flags = [parameter.requires_grad for parameter in cut.parameters()]
    dense_state = {name: value.clone() for name, value in dense.state_dict().items()}
    steps = {"max_steps": 100, "evaluate_every": 100, "learning_rate": 1e-2}
    settings = replace(SETTINGS, adapter=adapter, distill_weight=1.0, **steps)
    result = recover_text(cut, dense, TRAIN, VALIDATION, settings)
    assert distance(cut, dense) < 0.8 * before
    assert result.samples_seen == result.steps * 6
    assert result.validation_macro_f1 is None
    assert list(cut.state_dict()) == names
    assert [parameter.requires_grad for parameter in cut.parameters()] == flags
    assert cut.lm_head.weight is cut.model.embed_tokens.weight
    assert same(dense.state_dict(), dense_state)


def test_without_teacher_the_text_is_learnt_and_the_figure_is_that_of_the_weights_left(cut):
    before = nats(cut)
    settings = replace(SETTINGS, adapter="full", max_steps=150, learning_rate=1e-2)
    result = recover_text(cut, None, TRAIN, VALIDATION, settings)
    assert nats(cut) < 0.9 * math.log(SIZE) < before
    assert nats(cut) == pytest.approx(result.validation_loss, rel=1e-6)
    assert min(row["validation_loss"] for row in result.history) == result.validation_loss


def test_a_copy_of_the_dense_model_is_trained_alike_as_control(dense):
    control = copy.deepcopy(dense)
    recover_text(control, dense, TRAIN, VALIDATION, replace(SETTINGS, distill_weight=0.5, max_steps=60))
    assert nats(control) < nats(dense)
    still = copy.deepcopy(dense)
    recover_text(still, dense, TRAIN, VALIDATION, replace(SETTINGS, distill_weight=1.0))
    assert distance(still, dense) < 1e-4, "its own probabilities teach it nothing"


@pytest.mark.parametrize("train_rest", [True, False])
def test_what_is_trained(dense, cut, train_rest):
    before = {name: value.clone() for name, value in cut.state_dict().items()}
    recover_text(cut, dense, TRAIN, VALIDATION, replace(SETTINGS, train_rest=train_rest))
    weights = {f"{name}.weight" for name in projection_names(cut)}
    for name, value in cut.state_dict().items():
        assert torch.equal(value, before[name]) == (name not in weights and not train_rest), name


def test_resumed_recovery_equals_the_uninterrupted_one(dense, cut, tmp_path):
    whole, broken, resumed = (copy.deepcopy(cut) for _ in range(3))
    expected = recover_text(whole, dense, TRAIN, VALIDATION, SETTINGS)
    calls = 0

    def stop_at_eighth(module, inputs, values):
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt

    handle = dense.register_forward_pre_hook(stop_at_eighth, with_kwargs=True)
    with pytest.raises(KeyboardInterrupt):
        recover_text(broken, dense, TRAIN, VALIDATION, SETTINGS, tmp_path)
    handle.remove()
    assert list(broken.state_dict()) == list(cut.state_dict())
    result = recover_text(resumed, dense, TRAIN, VALIDATION, SETTINGS, tmp_path)
    assert same(resumed.state_dict(), whole.state_dict())
    assert replace(result, seconds=0.0) == replace(expected, seconds=0.0)
    with pytest.raises(CheckpointError, match="differs in: train_blocks"):
        recover_text(copy.deepcopy(cut), dense, cycles(40, 5), VALIDATION, SETTINGS, tmp_path)


def test_passes_of_bounded_memory_take_the_same_steps(dense, cut, monkeypatch):
    whole, pieces = copy.deepcopy(cut), copy.deepcopy(cut)
    expected = recover_text(whole, dense, TRAIN, VALIDATION, SETTINGS)
    monkeypatch.setattr("secateur.tasks.token_data.LOGIT_BYTES", 4 * 4 * 12 * SIZE)
    most = 0

    def watch(module, inputs, values):
        nonlocal most
        most = max(most, len(values["input_ids"]))

    pieces.register_forward_pre_hook(watch, with_kwargs=True)
    found = recover_text(pieces, dense, TRAIN, VALIDATION, SETTINGS)
    assert most == 4
    assert found.validation_loss == pytest.approx(expected.validation_loss, rel=1e-4)
    for a, b in zip(whole.state_dict().values(), pieces.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_the_clock_ends_a_run_with_its_rate_led_to_zero(cut, monkeypatch):
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: 0.01 * next(ticks))
    monkeypatch.setattr("secateur.training.loop.time", clock)
    settings = replace(SETTINGS, max_steps=100_000, evaluate_every=7, patience=10_000, max_minutes=1.5 / 60)
    result = recover_text(cut, None, TRAIN, VALIDATION, settings)
    assert result.stopped_early
    assert 0.7 < result.seconds < 0.01 * next(ticks) < 30
    assert result.history[-1]["step"] == result.steps
    assert result.history[-1]["learning_rate"] < 0.2 * settings.learning_rate


def test_steps_that_only_harm_leave_the_model_as_it_was(dense, cut):
    before = {name: value.clone() for name, value in cut.state_dict().items()}
    settings = replace(SETTINGS, max_steps=6, evaluate_every=2, learning_rate=1e3, adapter="full")
    result = recover_text(cut, dense, TRAIN, VALIDATION, settings)
    assert (result.best_step, result.steps) == (0, 6)
    assert same(cut.state_dict(), before)


def test_models_stored_in_bfloat16_stay_so(dense):
    low = copy.deepcopy(dense).bfloat16()
    before = {name: value.clone() for name, value in low.state_dict().items()}
    recover_text(low, dense, TRAIN, VALIDATION, SETTINGS)
    assert {value.dtype for value in low.state_dict().values()} == {torch.bfloat16}
    assert not same(low.state_dict(), before)


def test_what_does_not_fit_is_refused(dense, cut):
    with pytest.raises(ConfigError, match="copy"):
        recover_text(cut, cut, TRAIN, VALIDATION, SETTINGS)
    with pytest.raises(ConfigError, match="vocabulary of 97 tokens, its teacher one of 90"):
        recover_text(
            cut, tiny_language_model("gpt2", vocab_size=90, eos_token_id=2), TRAIN, VALIDATION, SETTINGS
        )
    with pytest.raises(ConfigError, match="no next token"):
        recover_text(tiny_language_model("bert"), None, TRAIN, VALIDATION, SETTINGS)
    with pytest.raises(DataError, match="training blocks hold tokens from 0 to 97"):
        recover_text(cut, None, TRAIN + (TRAIN == SIZE - 1), VALIDATION, SETTINGS)
    with pytest.raises(DataError, match=r"validation blocks are \(0, 12\)"):
        recover_text(cut, None, TRAIN, VALIDATION[:0], SETTINGS)
    with pytest.raises(ConfigError, match="max_minutes is 0"):
        replace(SETTINGS, max_minutes=0)
