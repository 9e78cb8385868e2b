"""Calibration text on its way to the blocks: read, embedded, and put where each block finds it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from secateur.blockwise.activations import OnDisk
from secateur.blockwise.samples import Samples, embed, require_enough
from secateur.blockwise.walk import CUT, DENSE
from secateur.core.progress import console
from secateur.models.calls import Batch, rows, token_inputs
from secateur.workflow.cut_model import calibration_batches
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.source import Source
from secateur.workflow.streaming.memory import Layout
from secateur.workflow.streaming.progress import Progress
from secateur.workflow.streaming.source import StreamedModel

SCORED = "scored"
"""Stream of the dense model by which units are scored, where it is not the one that is re-fitted on."""

SCORED_AT_ONCE = 2


def texts(
    model: StreamedModel, cut: CutSettings, layout: Layout, done: Progress
) -> tuple[Samples | None, Samples | None]:
    """Return the text to score on, where it takes a way of its own, and the text to re-fit on.

    Raises
    ------
    ConfigError
        If there are too few samples to hold any out, or the model takes no text.
    """
    if (data := cut.data) is None:
        return None, None
    source = Source(
        name=str(model.folder),
        model=model.model,
        tokenizer=model.tokenizer,
        folder=model.folder,
    )
    console.print("reading and embedding the text")
    at_once = layout.blocks_at_once
    fitting = calibration_batches(source, cut, data.fitted_blocks, at_once)
    require_enough(sum(map(rows, fitting)))
    scoring = None
    if cut.criterion == "activation":
        scoring = calibration_batches(source, cut, data.blocks, min(SCORED_AT_ONCE, at_once))
    if scoring is not None and cut.uniform and _same_blocks(scoring, fitting):
        scoring = None
    return (
        None if scoring is None else _embedded(model, scoring, done, (SCORED,)),
        _embedded(model, fitting, done, (DENSE, CUT)),
    )


def _same_blocks(first: Sequence[Batch], second: Sequence[Batch]) -> bool:
    """Whether two texts have the same tokens; those with padding depend on their batches and never do."""
    if any("attention_mask" in batch for batch in (*first, *second)):
        return False
    one, other = (torch.cat([batch["input_ids"] for batch in text]) for text in (first, second))
    return torch.equal(one, other)


def _embedded(
    model: StreamedModel, batches: Sequence[Batch], done: Progress, streams: tuple[str, ...]
) -> Samples:
    """Send a text through what stands in front of the blocks."""
    begun = done.scored or done.cut
    base = model.bound.base
    with model.front():
        return embed(
            model.bound,
            batches,
            OnDisk(done.streams),
            () if begun else streams,
            call=lambda batch: base(**token_inputs(base, batch), use_cache=False),
        )
