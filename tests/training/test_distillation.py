from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from secateur.training.distillation import distillation_loss

STUDENT = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])
TEACHER = torch.tensor([[0.0, 2.0, 1.0], [1.0, 1.0, 1.0]])
LABELS = torch.tensor([0, 1])


def test_value_from_the_definition():
    p, q = (TEACHER / 3).softmax(-1), (STUDENT / 3).softmax(-1)
    kl = (p * (p / q).log()).sum(-1).mean()
    expected = 0.7 * functional.cross_entropy(STUDENT, LABELS) + 0.3 * 9 * kl
    value = distillation_loss(STUDENT, TEACHER, LABELS, weight=0.3, temperature=3.0)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_sample_without_label_learns_from_the_teacher_alone():
    p, q = (TEACHER / 3).softmax(-1), (STUDENT / 3).softmax(-1)
    kl = (p * (p / q).log()).sum(-1)
    labelled = 0.7 * functional.cross_entropy(STUDENT[:1], LABELS[:1]) + 0.3 * 9 * kl[0]
    expected = (labelled + 9 * kl[1]) / 2
    value = distillation_loss(STUDENT, TEACHER, torch.tensor([0, -1]), weight=0.3, temperature=3.0)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_copy_of_the_teacher_has_nothing_to_learn_and_the_teacher_gets_no_gradient():
    student, teacher = TEACHER.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    loss = distillation_loss(student, teacher, LABELS, weight=1.0, temperature=2.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-7)
    assert student.grad.abs().max() < 1e-7
    assert teacher.grad is None
