"""Learning from the dense model's probabilities beside the labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def distillation_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, *, weight: float, temperature: float
) -> Tensor:
    """Mean of ``(1 - weight) CE(student, labels) + weight T^2 KL(teacher || student)`` at temperature T.

    A sample without label (-1) learns from the teacher alone, with the whole weight.

    Parameters
    ----------
    student, teacher : Tensor, shape (B, n_classes)
        Logits; no gradient flows into the teacher's.
    labels : Tensor of int64, shape (B,)
    weight : float
        0 learns from the labels only, 1 from the teacher only.
    temperature : float
        Softens both distributions; its square keeps the gradient's size.

    Returns
    -------
    Tensor
        Scalar.

    References
    ----------
    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2.
    """
    divergence = functional.kl_div(
        functional.log_softmax(student / temperature, dim=-1),
        functional.log_softmax(teacher.detach() / temperature, dim=-1),
        reduction="none",
        log_target=True,
    ).sum(dim=-1)
    errors = functional.cross_entropy(student, labels, reduction="none", ignore_index=-1)
    from_teacher = torch.where(labels < 0, 1.0, weight)
    return ((1 - from_teacher) * errors + from_teacher * temperature**2 * divergence).mean()
