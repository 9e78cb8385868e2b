"""Calibration text on its way to the blocks: read, embedded, and put where each block finds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from secateur.core.errors import ConfigError
from secateur.core.progress import console
from secateur.models.block_inputs import BlockInputs, inputs_of_run
from secateur.models.calls import Batch, token_inputs, token_mask
from secateur.recovery.refit import HELD_OUT_EVERY
from secateur.workflow.streaming.block_work import CUT, DENSE, Text
from secateur.workflow.streaming.memory import Layout
from secateur.workflow.streaming.progress import Progress
from secateur.workflow.streaming.source import StreamedModel
from secateur.workflow.streaming.spill import Spill
from secateur.workflow.transformer_blocks import calibration_batches
from secateur.workflow.transformer_settings import TransformerCut
from secateur.workflow.transformer_source import Source

SCORED = "scored"
"""Stream of the dense model by which units are scored, where it is not the one that is re-fitted on."""

SCORED_AT_ONCE = 2


def texts(
    model: StreamedModel, cut: TransformerCut, layout: Layout, done: Progress
) -> tuple[Text | None, Text | None]:
    """Return the text to score on, where it takes a way of its own, and the text to re-fit on.

    Raises
    ------
    ConfigError
        If there are too few samples to hold any out, or the model takes no text.
    """
    if cut.calibration is None:
        return None, None
    source = Source(
        name=str(model.folder), model=model.model, tokenizer=model.tokenizer, history=model.history
    )
    console.print("reading and embedding the text")
    at_once = layout.blocks_at_once
    fitting = calibration_batches(source, cut, cut.refit_blocks, at_once)
    samples = sum(len(batch["input_ids"]) for batch in fitting)
    if samples < HELD_OUT_EVERY:
        raise ConfigError(
            f"{samples} calibration samples were given; a re-fit needs at least {HELD_OUT_EVERY}."
        )
    scoring = None
    if cut.criterion == "activation":
        scoring = calibration_batches(source, cut, cut.calibration_blocks, min(SCORED_AT_ONCE, at_once))
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


@torch.no_grad()
def _embedded(
    model: StreamedModel, batches: Sequence[Batch], done: Progress, streams: tuple[str, ...]
) -> Text:
    """Send a text through what stands in front of the blocks."""
    spill = Spill(done.streams)
    inputs: list[BlockInputs] = []
    begun = done.scored or done.cut
    with model.front():
        for number, batch in enumerate(batches):
            given = token_inputs(model.bound.base, batch)
            found = inputs_of_run(model.bound, lambda given=given: model.bound.base(**given, use_cache=False))
            for name in () if begun else streams:
                spill.put(f"{name}.0", number, found.stream)
            found = replace(found, stream=torch.empty(0))
            inputs.append(found.sharing(inputs[-1]) if inputs else found)
    return Text(
        calls=tuple(entry.calls for entry in inputs),
        masks=tuple(
            torch.ones_like(batch["input_ids"], dtype=torch.bool) if mask is None else mask
            for batch, mask in ((batch, token_mask(batch)) for batch in batches)
        ),
        spill=spill,
    )
