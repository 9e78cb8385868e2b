"""Gradient recovery of a cut language model: LoRA or all weights, learning from text and the dense model."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from secateur.core.errors import ConfigError
from secateur.recovery.settings import TextRecoverySettings
from secateur.recovery.student import frozen_teacher, student
from secateur.training.batches import Batch
from secateur.training.loop import FitResult, Objective, run_loop
from secateur.training.next_token import logits_of, next_token_loss, require_causal_lm
from secateur.training.text_data import TextData


def recover_text(
    model: nn.Module,
    teacher: nn.Module | None,
    train_blocks: Tensor,
    validation_blocks: Tensor,
    settings: TextRecoverySettings,
    out: Path | None = None,
) -> FitResult:
    """Train a cut causal language model, in place, towards the next token and the teacher's probabilities.

    Recovery also adapts a model to the text. The control beside every recovered figure is the dense model
    with equal training: a copy of it as ``model``, with the same teacher (or none), blocks and settings.

    Afterwards the model has the module classes, the state-dict names and the trainable flags that it had
    before: low-rank updates are merged into the weights.

    Parameters
    ----------
    model : nn.Module
        The cut model.
    teacher : nn.Module or None
        The dense model, of the same vocabulary; None learns from the text only.
    train_blocks, validation_blocks : Tensor of int64, shape (blocks, tokens)
        From parts of a text that do not overlap; see :func:`secateur.models.text.text_blocks`.
    settings : TextRecoverySettings
        With ``max_steps``, and ``max_minutes`` where time is the budget.
    out : Path, optional
        Folder of the resumable state. Going on needs the model as it was when the run began.

    Returns
    -------
    FitResult
        ``validation_loss`` is in nats a token; ``samples_seen`` counts blocks, the budget at which methods
        are compared.

    Raises
    ------
    ConfigError
        If the model predicts no next token, or the teacher is the model or has another vocabulary.
    DataError
        If the blocks are not what they should be.
    SecateurError
        If the loss stops being finite.
    CheckpointError
        If the state in ``out`` is damaged or of another run.

    References
    ----------
    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015; Hu et al., "LoRA: Low-Rank
    Adaptation of Large Language Models", ICLR 2022.
    """
    require_causal_lm(model)
    if teacher is not None:
        _require_same_vocabulary(model, teacher)
    data = TextData(train_blocks, validation_blocks, settings, model=model)
    objective = _objective(teacher, settings)
    with frozen_teacher(teacher, model), student(model, settings):
        return run_loop(model, objective, data, settings, out=out, description="recovering")


def _objective(teacher: nn.Module | None, settings: TextRecoverySettings) -> Objective:
    def text_only(learner: nn.Module, batch: Batch) -> Tensor:
        return next_token_loss(logits_of(learner, batch["input_ids"]), batch["input_ids"])

    if teacher is None or settings.distill_weight == 0:
        return text_only

    def with_teacher(learner: nn.Module, batch: Batch) -> Tensor:
        ids = batch["input_ids"]
        with torch.no_grad():
            taught = logits_of(teacher.to(ids.device), ids)
        return next_token_loss(
            logits_of(learner, ids),
            ids,
            taught,
            weight=settings.distill_weight,
            temperature=settings.temperature,
        )

    return with_teacher


def _require_same_vocabulary(model: nn.Module, teacher: nn.Module) -> None:
    require_causal_lm(teacher)
    own, other = (int(one.config.get_text_config().vocab_size) for one in (model, teacher))
    if own != other:
        raise ConfigError(
            f"the model has a vocabulary of {own} tokens, its teacher one of {other}; cut the teacher's "
            "vocabulary alike, or cut the vocabulary after the recovery."
        )
