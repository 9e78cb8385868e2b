"""Losses of the next token, computed in pieces: those of the plain formulas, and their gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from secateur.core.errors import ConfigError
from secateur.tasks.heads import require_causal_lm
from secateur.tasks.token_losses import next_token_loss, next_tokens, rows_at_once, token_nats
from secateur.training.distillation import distillation_loss
from tiny_language_models import SIZE, tiny_language_model

BLOCKS, LENGTH, VOCABULARY = 3, 7, 11


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr("secateur.tasks.token_losses.TOKENS_AT_ONCE", 4)


@pytest.fixture
def case():
    draw = torch.Generator().manual_seed(3)
    student, teacher = (3 * torch.randn(BLOCKS, LENGTH, VOCABULARY, generator=draw) for _ in range(2))
    return student, teacher, torch.randint(VOCABULARY, (BLOCKS, LENGTH), generator=draw)


def test_nats_are_those_of_the_cross_entropy(case):
    logits, _, ids = case
    expected = functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    torch.testing.assert_close(token_nats(logits, ids), expected.view(BLOCKS, LENGTH - 1))


@pytest.mark.parametrize(("weight", "temperature"), [(0.0, 1.0), (0.3, 1.0), (0.5, 2.0), (1.0, 4.0)])
def test_loss_and_gradient_are_those_of_distillation_on_all_tokens(case, weight, temperature):
    logits, taught, ids = case
    logits.requires_grad_(True)
    expected = distillation_loss(
        logits[:, :-1].flatten(0, 1),
        taught[:, :-1].flatten(0, 1),
        ids[:, 1:].flatten(),
        weight=weight,
        temperature=temperature,
    )
    (slope,) = torch.autograd.grad(2 * expected, logits)
    found = next_token_loss(logits, ids[:, 1:], taught, weight=weight, temperature=temperature)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(2 * found, logits)[0], slope)
    assert slope[:, :-1].abs().min() > 0
    assert not slope[:, -1].any()


def test_without_teacher_the_weight_does_not_count(case):
    logits, _, ids = case
    expected = token_nats(logits, ids).mean()
    torch.testing.assert_close(next_token_loss(logits, ids[:, 1:], weight=0.7), expected)


def test_the_gradient_has_the_type_of_the_logits(case):
    logits, taught, ids = case
    exact, rounded = logits.clone().requires_grad_(True), logits.bfloat16().requires_grad_(True)
    for tensor in (exact, rounded):
        next_token_loss(tensor, ids[:, 1:], taught, weight=0.5).backward()
    assert rounded.grad.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.grad.float(), exact.grad, rtol=0.05, atol=2e-3)


def test_rows_follow_the_memory():
    model = tiny_language_model("llama")
    assert rows_at_once(model, 10, logit_bytes=5 * 4 * 10 * SIZE) == 5
    assert rows_at_once(model, 10, logit_bytes=1) == 1


def test_encoders_predict_no_next_token():
    with pytest.raises(ConfigError, match="BertForMaskedLM predicts no next token"):
        require_causal_lm(tiny_language_model("bert"))
    require_causal_lm(tiny_language_model("gpt2"))


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_padding_and_prompts_count_for_nothing(case, weight):
    logits, taught, ids = case
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    labels = ids.clone()
    labels[1, :3] = -100
    targets = next_tokens({"input_ids": ids, "attention_mask": mask, "labels": labels})
    counted = targets.flatten() >= 0
    assert counted.sum() == 3 + 4 + 6
    expected = distillation_loss(
        logits[:, :-1].flatten(0, 1)[counted],
        taught[:, :-1].flatten(0, 1)[counted],
        targets.flatten()[counted],
        weight=weight,
        temperature=2.0,
    )
    logits.requires_grad_(True)
    found = next_token_loss(logits, targets, taught, weight=weight, temperature=2.0)
    torch.testing.assert_close(found, expected)
    found.backward()
    assert not logits.grad[0, 3:].any()
    assert not logits.grad[1, :2].any()
    assert logits.grad[1, 2].any()
