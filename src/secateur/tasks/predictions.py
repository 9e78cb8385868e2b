"""Every single prediction of a model on a batch: logits, what they ought to say, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secateur.models.calls import Batch, rows, run
from secateur.tasks.token_losses import next_tokens


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """One row for each prediction: a sample of a classifier, a token of a language model that is no padding.

    Attributes
    ----------
    logits : Tensor of float32, shape (rows, classes)
    labels : Tensor of int64, shape (rows,)
    samples : Tensor of int64, shape (rows,)
        Position in the batch of the sample to which each belongs.
    """

    logits: Tensor
    labels: Tensor
    samples: Tensor

    def means(self, figures: Tensor, n_samples: int) -> Tensor:
        """Average figures (k, rows) over the predictions of each sample: (k, samples)."""
        sums = torch.zeros(len(figures), n_samples, dtype=figures.dtype, device=figures.device)
        places = self.samples.to(figures.device)
        sums.index_add_(1, places, figures)
        return sums / torch.bincount(places, minlength=n_samples).clamp(min=1)


def labels_of(batch: Batch) -> Tensor:
    """Return the class of each sample, int64 (B,); -1 where none is known, as of sentences without labels."""
    return batch["label"] if "label" in batch else torch.full((rows(batch),), -1)


def predictions(model: nn.Module, batch: Batch) -> Predictions:
    """Run ``model`` on one batch and return all that it predicts there."""
    found = run(model, batch)
    logits = (found if isinstance(found, Tensor) else found.logits).float()
    if logits.ndim == 2:
        return Predictions(logits=logits, labels=labels_of(batch), samples=torch.arange(len(logits)))
    targets = next_tokens(batch)
    samples, places = (targets >= 0).nonzero(as_tuple=True)
    return Predictions(
        logits=logits[:, :-1][samples, places],
        labels=targets[samples, places],
        samples=samples,
    )
