"""What a streaming cut holds at once, and the batches that keep it within a limit."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from secateur.blockwise.least_squares import Size, fit_bytes
from secateur.blockwise.samples import HELD_OUT_EVERY
from secateur.core.errors import ConfigError
from secateur.core.memory import in_words
from secateur.structure.closure import LayerWidths
from secateur.workflow.streaming.source import StreamedModel

MOST_BLOCKS_AT_ONCE = 8
"""Blocks of text in a batch; more are no faster."""

ALLOWANCE = 128 * 2**20
"""For what the allocator does not give back, and buffers of input, output and threads."""

GRAM_TYPES = (torch.float64, torch.float32)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the work is split.

    Attributes
    ----------
    blocks_at_once : int
        Blocks of text in a batch; 0 where there is no text.
    gram : str
        Type in which Gram matrices are gathered, "float64" or "float32".
    needed_bytes : int
        Estimate of the most memory that the process will hold.
    """

    blocks_at_once: int
    gram: str
    needed_bytes: int


@dataclass(frozen=True, kw_only=True)
class Work:
    """The size of a streaming cut.

    Attributes
    ----------
    model : StreamedModel
    samples, length : int
        Samples of calibration text to re-fit on, and tokens in each; 0 samples without text.
    widths : tuple of LayerWidths
        Widths of each layer after the cut, or before it where they are not known yet.
    resident_bytes : int
        Memory that the process holds before it starts.
    """

    model: StreamedModel
    samples: int
    length: int
    widths: tuple[LayerWidths, ...]
    resident_bytes: int

    def bytes_with(self, blocks_at_once: int, gram: torch.dtype) -> dict[str, int]:
        """Return the memory of each phase by its name in words, what is resident anyhow included."""
        model = self.model
        layers = range(len(model.bound.layers))
        sizes = [
            {name: _bytes_as(stored.shape, model.dtype) for name, stored in model.of_block(layer).items()}
            for layer in layers
        ]
        block = max(sum(size.values()) for size in sizes)
        largest = max(max(size.values()) for size in sizes)
        phases = {"cutting a block": block + 2 * largest}
        if self.samples:
            activations = max(self._activations(layer, blocks_at_once) for layer in layers)
            front = sum(_bytes_as(stored.shape, model.dtype) for stored in model.in_front().values())
            phases["embedding the text"] = front + 4 * self._stream(blocks_at_once)
            # one more of the largest: matrix products in half precision rearrange their weights
            phases["running a block"] = block + largest + activations
            phases["re-fitting a block"] = block + max(self._refit(layer, gram) for layer in layers)
        return {name: self.resident_bytes + ALLOWANCE + size for name, size in phases.items()}

    def _stream(self, blocks_at_once: int) -> int:
        return blocks_at_once * self.length * self.model.bound.shape.hidden * self.model.dtype.itemsize

    def _activations(self, layer: int, blocks_at_once: int) -> int:
        """Activations of a block: the stream, its branches, and the widest tensors inside them."""
        dense = LayerWidths.of(self.model.bound.shape, layer)
        tokens = blocks_at_once * self.length
        attention = 4 * (dense.attention_width + dense.key_width)
        inside = max(attention, 4 * dense.channels)
        states = tokens * (8 * dense.hidden + inside) * self.model.dtype.itemsize
        patterns = 2 * 4 * blocks_at_once * dense.heads * self.length**2
        return states + patterns

    def _refit(self, layer: int, gram: torch.dtype) -> int:
        widths = self.widths[layer]
        held_out = self.samples // HELD_OUT_EVERY * self.length
        fitted = self.samples * self.length - held_out
        inputs = max(widths.attention_width, widths.channels)
        batch = MOST_BLOCKS_AT_ONCE * self.length * (inputs + widths.hidden) * 4 * 2
        return batch + max(
            fit_bytes(Size(fitted=fitted, held_out=held_out, inputs=width, outputs=widths.hidden), gram)
            for width in (widths.attention_width, widths.channels)
        )


def choose_layout(work: Work, max_memory_bytes: int) -> Layout:
    """Return the largest batches, and the finest Gram matrices, that stay within the limit.

    Raises
    ------
    ConfigError
        If even the smallest do not; the message tells what would be needed, and for what.
    """
    batches = range(min(MOST_BLOCKS_AT_ONCE, work.samples), 0, -1) if work.samples else (0,)
    phases: dict[str, int] = {}
    for gram in GRAM_TYPES:
        for blocks_at_once in batches:
            phases = work.bytes_with(blocks_at_once, gram)
            needed = max(phases.values())
            if needed <= max_memory_bytes:
                return Layout(
                    blocks_at_once=blocks_at_once,
                    gram=str(gram).removeprefix("torch."),
                    needed_bytes=needed,
                )
    phase = max(phases, key=lambda name: phases[name])
    raise ConfigError(
        f"{in_words(max_memory_bytes)} is too little: {phase} needs about {in_words(phases[phase])}, "
        f"{in_words(work.resident_bytes)} of which the program holds anyhow. Give --max-memory "
        f"{_rounded_up(phases[phase])}"
        + (", or less or shorter text." if work.samples and "block" in phase else ".")
    )


def _bytes_as(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    return torch.Size(shape).numel() * dtype.itemsize


def _rounded_up(size: int) -> str:
    return f"{-(-size // (64 * 2**20)) * 64}MiB"
