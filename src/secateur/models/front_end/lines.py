"""Fault lines: how far the envelope spectrum rises at the rates that a damaged bearing would show."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secateur.models.front_end.filters import analytic_filters, filtered_power
from secateur.models.front_end.line_orders import line_orders
from secateur.models.front_end.settings import FrontEndSettings

_NEAREST_FLOOR = 3
_TINY = 1e-12


class BandEnvelopes(nn.Module):
    """Envelope of the window in several frequency bands, and one over all of them, whitened.

    The whitened envelope is the mean of the bands' log powers. Each band counts alike however strong
    it is, as with cepstrum prewhitening, and a lone spike in one band does not carry it away
    (Borghesani and Antoni, MSSP 90, 2017, on the log envelope).
    """

    def __init__(self, settings: FrontEndSettings) -> None:
        super().__init__()
        self.hop = settings.envelope_hop
        filters = analytic_filters(
            torch.tensor(settings.band_centres_hz),
            length=settings.band_filter_length,
            sampling_rate_hz=settings.sampling_rate_hz,
        )
        self.register_buffer("filters", filters, persistent=False)

    filters: Tensor

    def forward(self, waveform: Tensor) -> Tensor:
        """Return envelopes with zero mean, (batch, bands, time), of windows (batch, samples)."""
        power = filtered_power(waveform, self.filters, hop=self.hop)
        mean_power = power.mean(-1, keepdim=True)
        amplitude = torch.sqrt(power + _TINY)
        amplitude = amplitude / amplitude.mean(-1, keepdim=True)
        whitened = torch.log(power + 1e-6 * mean_power + _TINY).mean(1, keepdim=True)
        envelopes = torch.cat([amplitude, whitened], dim=1)
        return envelopes - envelopes.mean(-1, keepdim=True)


class LineLevels(nn.Module):
    """Level of each fault line over the local median of the envelope spectrum, in decades.

    A line is the highest of some points within the slip tolerance; its floor is the median of points
    beside it. Both are read off the zero-padded spectrum by linear interpolation, so that the
    levels are smooth in the shaft speed.
    """

    def __init__(self, settings: FrontEndSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("taper", torch.hann_window(settings.envelope_length), persistent=False)
        peak = torch.linspace(-1.0, 1.0, settings.peak_points) if settings.peak_points > 1 else torch.zeros(1)
        right = torch.arange(settings.floor_points // 2) + float(_NEAREST_FLOOR)
        self.register_buffer("peak_offsets", peak, persistent=False)
        self.register_buffer("floor_offsets", torch.cat([-right.flip(0), right]), persistent=False)

    taper: Tensor
    peak_offsets: Tensor
    floor_offsets: Tensor

    def forward(self, envelopes: Tensor, shaft_rate_hz: Tensor, fault_orders: Tensor) -> Tensor:
        """Read the levels.

        Parameters
        ----------
        envelopes : Tensor, shape (batch, bands, time)
        shaft_rate_hz : Tensor, shape (batch,)
        fault_orders : Tensor, shape (batch, 4)
            BPFO, BPFI, twice BSF and FTF over the shaft rate.

        Returns
        -------
        Tensor, shape (batch, bands, families, harmonics)
        """
        settings = self.settings
        transform = torch.fft.rfft(envelopes * self.taper, n=settings.spectrum_length)
        power = transform.real.square() + transform.imag.square()
        spectrum = torch.log10(power + 1e-9 * power.mean(-1, keepdim=True) + _TINY)
        orders = line_orders(fault_orders, settings)
        lines_hz = (shaft_rate_hz[:, None, None] * orders).flatten(1)
        slip_hz = (settings.slip_tolerance * lines_hz).clamp(min=settings.resolution_hz)
        peak_hz = lines_hz[..., None] + slip_hz[..., None] * self.peak_offsets
        floor_hz = (
            lines_hz[..., None]
            + slip_hz[..., None] * torch.sign(self.floor_offsets)
            + settings.resolution_hz * self.floor_offsets
        )
        peak = self._read(spectrum, peak_hz).amax(-1)
        floor = self._read(spectrum, floor_hz).sort(-1).values
        middle = floor.shape[-1] // 2
        levels = peak - 0.5 * (floor[..., middle - 1] + floor[..., middle])
        return levels.unflatten(-1, (len(settings.families), settings.harmonics))

    def _read(self, spectrum: Tensor, frequency_hz: Tensor) -> Tensor:
        """Interpolate (batch, bands, bins) at (batch, lines, points) -> (batch, bands, lines, points)."""
        bin_hz = self.settings.envelope_rate_hz / self.settings.spectrum_length
        last = self.settings.spectrum_length // 2
        position = (frequency_hz / bin_hz).clamp(0.0, last - 1e-3).flatten(1)[:, None, :]
        below = position.floor()
        share = position - below
        index = below.to(torch.int64).expand(-1, spectrum.shape[1], -1)
        level = spectrum.gather(-1, index) * (1 - share) + spectrum.gather(-1, index + 1) * share
        return level.unflatten(-1, frequency_hz.shape[1:])


def impulsiveness(envelopes: Tensor) -> Tensor:
    """Return the log kurtosis of each envelope, (batch, bands)."""
    square = envelopes.square()
    second, fourth = square.mean(-1), square.square().mean(-1)
    return torch.log((fourth / (second.square() + _TINY)).clamp(1.0, 60.0))
