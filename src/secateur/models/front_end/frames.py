"""Spectrogram frames: log power over time and frequency."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secateur.models.front_end.filters import analytic_filters, filtered_power
from secateur.models.front_end.settings import FrontEndSettings


class SpectrogramFrames(nn.Module):
    """Log-power spectrogram, averaged to few frames and bins, with the window's mean level removed."""

    def __init__(self, settings: FrontEndSettings) -> None:
        super().__init__()
        self.settings = settings
        length = settings.frame_filter_length
        frequencies = torch.arange(1, length // 2 + 1) * settings.sampling_rate_hz / length
        filters = analytic_filters(frequencies, length=length, sampling_rate_hz=settings.sampling_rate_hz)
        self.register_buffer("filters", filters, persistent=False)

    filters: Tensor

    def forward(self, waveform: Tensor) -> Tensor:
        """Return frames (batch, frames, bins) in decades, of windows (batch, samples)."""
        settings = self.settings
        power = filtered_power(waveform, self.filters, hop=settings.frame_filter_length // 2)
        steps = power.shape[-1] // settings.frames
        power = power[..., : steps * settings.frames]
        power = (
            power.unflatten(-1, (settings.frames, steps)).unflatten(1, (settings.frame_bins, -1)).mean((2, 4))
        )
        level = torch.log10(power + 1e-6)
        return (level - level.mean((1, 2), keepdim=True)).transpose(1, 2)
