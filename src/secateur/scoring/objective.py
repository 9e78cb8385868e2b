"""The loss by which importance is judged: the task's, and the divergence from a reference model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from secateur.core.seeds import generator
from secateur.models.calls import Batch, rows, run
from secateur.scoring.calibration import frozen, labels_of, logits_of
from secateur.scoring.precision import rounded_weights, scoring_autocast
from secateur.scoring.token_loss import SummedLoss, backward_from_tokens


def task_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy summed over the samples.

    An unlabelled sample (label -1) is judged by the class that the model itself gives it.

    Parameters
    ----------
    logits : Tensor, shape (B, C)
    labels : Tensor of int, shape (B,)

    Returns
    -------
    Tensor, scalar
    """
    labels = labels.to(logits.device)
    if (labels < 0).any():
        labels = torch.where(labels < 0, logits.detach().argmax(dim=-1), labels)
    return functional.cross_entropy(logits, labels, reduction="sum")


def backward_passes(
    model: nn.Module, batches: Iterable[Batch], loss: SummedLoss = task_loss, *, seed: int
) -> int:
    """Run batch after batch forwards, and what units are scored by backwards; return the samples.

    That is ``loss`` of a classifier of windows or of a causal language model; of an encoder without a task
    :func:`embedding_response`. No parameter gets a gradient: hooks on activations see theirs.
    """
    samples, directions = 0, generator(seed, "directions")
    with frozen(model), torch.enable_grad(), ExitStack() as rounding:
        for batch in batches:
            if samples == 0:
                rounding.enter_context(rounded_weights(model, batch))
            samples += rows(batch)
            if "waveform" not in batch and predicts_tokens(model):
                backward_from_tokens(model, batch, loss)
                continue
            with scoring_autocast(batch, next(model.parameters()).device):
                if "waveform" in batch:
                    found = loss(logits_of(model, batch), labels_of(batch))
                else:
                    found = embedding_response(model, batch, directions)
            found.backward()
    return samples


def predicts_tokens(model: nn.Module) -> bool:
    """Whether a model of tokens is a causal language model; if not, it is taken for an encoder."""
    return type(model).__name__.endswith(("ForCausalLM", "LMHeadModel"))


def embedding_response(model: nn.Module, batch: Batch, directions: np.random.Generator) -> torch.Tensor:
    """Return the mean-pooled embeddings, each times a random direction of its own, summed.

    For a model that predicts nothing. The gradient of this sum with respect to a gate is that of the
    embedding along the direction; its square, over random directions, is on average the squared change of
    the embedding that the gate makes to first order (Hutchinson's estimator of the Jacobian's norm).

    Parameters
    ----------
    model : nn.Module
        An encoder.
    batch : mapping
        ``input_ids`` and, where rows are padded, ``attention_mask``.
    directions : numpy.random.Generator
        Of which one direction after the other is drawn, so that they do not depend on the batch size.

    Returns
    -------
    Tensor, scalar
    """
    states = run(model.base_model, batch).last_hidden_state.float()
    mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).to(states.device)[..., None]
    pooled = (states * mask).sum(dim=1) / mask.sum(dim=1)
    drawn = torch.from_numpy(directions.standard_normal(tuple(pooled.shape))).to(pooled)
    return (pooled * drawn).sum()


@torch.no_grad()
def reference_logits(model: nn.Module, batches: Iterable[Batch]) -> list[torch.Tensor]:
    """Return the logits of ``model`` batch by batch, to measure others against."""
    with frozen(model):
        return [logits_of(model, batch) for batch in batches]


@torch.no_grad()
def sample_losses(
    model: nn.Module, batches: Iterable[Batch], references: Sequence[torch.Tensor] | None = None
) -> torch.Tensor:
    """Loss of each sample: cross-entropy, plus KL from the reference where one is given.

    Parameters
    ----------
    model : nn.Module
        A classifier of windows.
    batches : iterable of dict
        Calibration batches.
    references : sequence of Tensor, optional
        Logits of the reference model on the same batches; they are also the labels of unlabelled samples.

    Returns
    -------
    Tensor of float64, shape (samples,)
    """
    losses = []
    with frozen(model):
        for number, batch in enumerate(batches):
            logits = logits_of(model, batch).double()
            labels = labels_of(batch).to(logits.device)
            own = logits if references is None else references[number].to(logits.device).double()
            labels = torch.where(labels < 0, own.argmax(dim=-1), labels)
            loss = functional.cross_entropy(logits, labels, reduction="none")
            if references is not None:
                loss = loss + functional.kl_div(
                    logits.log_softmax(-1), own.log_softmax(-1), reduction="none", log_target=True
                ).sum(dim=-1)
            losses.append(loss.cpu())
    return torch.cat(losses)
