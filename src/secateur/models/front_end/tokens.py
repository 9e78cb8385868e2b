"""Tokens for the backbone: spectrogram frames, then fault lines seen by band and by family."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secateur.models.front_end.frames import SpectrogramFrames
from secateur.models.front_end.line_orders import geometry_figures
from secateur.models.front_end.lines import BandEnvelopes, LineLevels, impulsiveness
from secateur.models.front_end.settings import GEOMETRY_FIGURES, FrontEndSettings

_COLOURING_KNOTS = 7


class FrontEnd(nn.Module):
    """Turn raw windows and the shaft speed into tokens.

    The line levels (bands x families x harmonics) are shown twice: a *band token* holds all families'
    lines in one demodulation band and that band's impulsiveness, a *family token* holds one family's
    lines in every band. With context there is one more token of speed and geometry. Where the speed or
    the bearing is unknown (zero), they give way to learned "unknown" tokens and the frames, if there are
    any, alone carry the decision.

    Parameters
    ----------
    settings : FrontEndSettings
    hidden_size : int
        Width of the tokens.
    """

    def __init__(self, settings: FrontEndSettings, hidden_size: int) -> None:
        super().__init__()
        self.settings = settings
        self.envelopes = BandEnvelopes(settings)
        self.levels = LineLevels(settings)
        self.spectrogram = SpectrogramFrames(settings) if settings.frames else None
        bands, families = settings.n_bands, len(settings.families)
        line_tokens = bands + families + settings.context
        if settings.frames:
            self.frame_projection = nn.Linear(settings.frame_bins, hidden_size)
        self.band_projection = nn.Linear(families * settings.harmonics + 1, hidden_size)
        self.family_projection = nn.Linear(bands * (settings.harmonics + 1), hidden_size)
        if settings.frames:
            self.frame_embedding = nn.Parameter(0.02 * torch.randn(hidden_size))
        if settings.context:
            self.geometry_projection = nn.Linear(GEOMETRY_FIGURES, hidden_size)
        self.line_embedding = nn.Parameter(0.02 * torch.randn(line_tokens, hidden_size))
        self.unknown_embedding = nn.Parameter(0.02 * torch.randn(line_tokens, hidden_size))

    @property
    def n_tokens(self) -> int:
        """Tokens a window."""
        return token_count(self.settings)

    def forward(self, waveform: Tensor, shaft_rate_hz: Tensor, fault_orders: Tensor) -> Tensor:
        """Return tokens (batch, tokens, hidden).

        Parameters
        ----------
        waveform : Tensor, shape (batch, window_length)
            Raw samples; mean and level are removed here.
        shaft_rate_hz : Tensor, shape (batch,)
            Turns a second; 0 where unknown.
        fault_orders : Tensor, shape (batch, 4)
            BPFO, BPFI, twice BSF and FTF over the shaft rate; zeros where unknown.
        """
        levels, spikes, frames = self.described(waveform, shaft_rate_hz, fault_orders)
        return self.tokens(levels, spikes, frames, shaft_rate_hz, fault_orders)

    def described(
        self, waveform: Tensor, shaft_rate_hz: Tensor, fault_orders: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what does not depend on any weight, so that it can be computed once for many steps.

        Returns
        -------
        levels : Tensor, shape (batch, bands, families, harmonics)
        spikes : Tensor, shape (batch, bands)
        frames : Tensor, shape (batch, frames, bins)
            Empty where there are no frames.
        """
        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            waveform = unit_rms(waveform)
            envelopes = self.envelopes(waveform)
            levels = self.levels(envelopes, shaft_rate_hz, fault_orders)
            frames = levels.flatten(2)[:, :0] if self.spectrogram is None else self.spectrogram(waveform)
            return levels, impulsiveness(envelopes), frames

    def tokens(
        self, levels: Tensor, spikes: Tensor, frames: Tensor, shaft_rate_hz: Tensor, fault_orders: Tensor
    ) -> Tensor:
        """Return tokens (batch, tokens, hidden) of described windows, varied in training mode."""
        families = len(self.settings.families)
        if self.training:
            levels, spikes, frames = self._disturb(levels, spikes, frames)
        known = ((shaft_rate_hz > 0) & (fault_orders > 0).all(-1)).to(levels.dtype)[:, None, None]
        by_band = torch.cat([levels.flatten(2), spikes[:, :, None]], -1)
        by_family = torch.cat(
            [levels.transpose(1, 2).flatten(2), spikes[:, None].expand(-1, families, -1)], -1
        )
        lines = [self.band_projection(by_band), self.family_projection(by_family)]
        if self.settings.context:
            figures = geometry_figures(shaft_rate_hz, fault_orders, self.settings)
            lines.append(self.geometry_projection(figures)[:, None])
        line_tokens = torch.cat(lines, dim=1)
        line_tokens = known * (line_tokens + self.line_embedding) + (1 - known) * self.unknown_embedding
        if not self.settings.frames:
            return line_tokens
        frame_tokens = self.frame_projection(frames) + self.frame_embedding
        if self.training and self.settings.frame_dropout > 0:
            shown = torch.rand(len(frames), 1, 1, device=frames.device) >= self.settings.frame_dropout
            frame_tokens = frame_tokens * shown / (1 - self.settings.frame_dropout)
        return torch.cat([frame_tokens, line_tokens], dim=1)

    def _disturb(self, levels: Tensor, spikes: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Feature noise, band dropout and random colouring, for training."""
        settings, batch = self.settings, len(levels)
        shown = torch.rand(batch, settings.n_bands, device=levels.device) >= settings.band_dropout
        levels = (levels + settings.feature_noise * torch.randn_like(levels)) * shown[:, :, None, None]
        spikes = (spikes + settings.feature_noise * torch.randn_like(spikes)) * shown
        if not settings.frames:
            return levels, spikes, frames
        knots = torch.randn(batch, 1, _COLOURING_KNOTS, device=frames.device)
        gain = nn.functional.interpolate(knots, size=settings.frame_bins, mode="linear", align_corners=True)
        frames = frames + settings.feature_noise * torch.randn_like(frames) + settings.frame_colouring * gain
        return levels, spikes, frames


def token_count(settings: FrontEndSettings) -> int:
    """Return the tokens a window becomes: frames, demodulation bands and line families."""
    return settings.frames + settings.n_bands + len(settings.families) + settings.context


def unit_rms(waveform: Tensor) -> Tensor:
    """Remove the mean of each window and scale it to unit RMS; level would identify the recording."""
    centred = waveform - waveform.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-12)
