"""Fixed complex filters as convolution kernels: no Fourier operator is needed to run them."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def analytic_filters(frequencies_hz: Tensor, *, length: int, sampling_rate_hz: float) -> Tensor:
    """Return Hann-windowed complex exponentials as convolution kernels.

    Parameters
    ----------
    frequencies_hz : Tensor, shape (filters,)
        Centre of each filter.
    length : int
        Samples a filter.
    sampling_rate_hz : float
        Rate of the signal to be filtered.

    Returns
    -------
    Tensor, shape (2 * filters, 1, length)
        All real parts, then all imaginary parts.
    """
    time_s = (torch.arange(length) - (length - 1) / 2) / sampling_rate_hz
    phase = 2 * math.pi * frequencies_hz[:, None] * time_s
    window = torch.hann_window(length, periodic=False)
    return torch.cat([window * torch.cos(phase), window * torch.sin(phase)])[:, None, :]


def filtered_power(waveform: Tensor, filters: Tensor, *, hop: int) -> Tensor:
    """Return the power behind each filter of :func:`analytic_filters`.

    Parameters
    ----------
    waveform : Tensor, shape (batch, samples)
    filters : Tensor, shape (2 * filters, 1, length)
    hop : int
        Samples from one output to the next.

    Returns
    -------
    Tensor, shape (batch, filters, outputs)
    """
    in_phase, quadrature = torch.nn.functional.conv1d(waveform[:, None, :], filters, stride=hop).chunk(
        2, dim=1
    )
    return in_phase.square() + quadrature.square()
