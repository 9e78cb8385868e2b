"""Polyphase filtering on NumPy alone, so that a device need not load a signal-processing library."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_BLOCK_OUTPUTS = 64
_LARGEST_BLOCK = 1024
_GATHERED_OUTPUTS = 4096


def kaiser_low_pass(n_taps: int, cutoff: float, beta: float) -> np.ndarray:
    """Return a linear-phase low pass of unit gain at zero frequency: a sinc under a Kaiser window.

    Parameters
    ----------
    n_taps : int
        Length; odd, so that the delay is a whole number of samples.
    cutoff : float
        Half-amplitude frequency as a share of the Nyquist frequency.
    beta : float
        Of the window; 7.9 gives 80 dB.

    Returns
    -------
    ndarray of float64, shape (n_taps,)
    """
    place = np.arange(n_taps) - (n_taps - 1) / 2
    taps = cutoff * np.sinc(cutoff * place) * np.kaiser(n_taps, beta)
    return taps / taps.sum()


def up_filter_down(taps: np.ndarray, x: np.ndarray, up: int, down: int, n_outputs: int) -> np.ndarray:
    """Put ``up - 1`` zeros behind each sample, filter, and keep every ``down``-th result.

    ``y[m] = sum over l of taps[m * down - l * up] * x[l]``, for m from 0. Blocks of outputs are one matrix
    product, which is several times faster than sample by sample.

    Parameters
    ----------
    taps : ndarray of float32, shape (n_taps,)
    x : ndarray of float32, shape (channels, samples)
        Zero beyond its ends.
    up, down : int
        Without common divisor.
    n_outputs : int
        How many results.

    Returns
    -------
    ndarray of float32, shape (channels, n_outputs)
    """
    if up > _LARGEST_BLOCK:
        return _gathered(taps, x, up, down, n_outputs)
    matrix, lead, step, block = _block_matrix(taps.tobytes(), up, down)
    n_blocks = -(-n_outputs // block)
    needed = (n_blocks - 1) * step + len(matrix)
    padded = _padded(x, lead, needed)
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(matrix), axis=1)[:, ::step][:, :n_blocks]
    return (windows @ matrix).reshape(len(x), -1)[:, :n_outputs]


@lru_cache(maxsize=32)
def _block_matrix(taps_bytes: bytes, up: int, down: int) -> tuple[np.ndarray, int, int, int]:
    """Return the matrix of one block, samples before the block's first, its step in samples, its outputs."""
    taps = np.frombuffer(taps_bytes, dtype=np.float32)
    block = up * -(-_BLOCK_OUTPUTS // up)
    lead = -(-len(taps) // up) - 1
    n_inputs = lead + ((block - 1) * down) // up + 1
    place = np.arange(block) * down - (np.arange(n_inputs)[:, None] - lead) * up
    inside = (place >= 0) & (place < len(taps))
    matrix = np.where(inside, taps[np.clip(place, 0, len(taps) - 1)], np.float32(0.0))
    return matrix, lead, block // up * down, block


def _gathered(taps: np.ndarray, x: np.ndarray, up: int, down: int, n_outputs: int) -> np.ndarray:
    """As :func:`up_filter_down`, for factors whose block would be too large: each output on its own."""
    per_output = -(-len(taps) // up)
    flat = np.zeros(per_output * up, dtype=np.float32)
    flat[: len(taps)] = taps
    by_phase = flat.reshape(per_output, up).T
    lead = per_output - 1
    padded = _padded(x, lead, lead + (n_outputs * down) // up + 1)
    pieces = []
    for first in range(0, n_outputs, _GATHERED_OUTPUTS):
        position = np.arange(first, min(first + _GATHERED_OUTPUTS, n_outputs)) * down
        samples = (lead + position // up)[:, None] - np.arange(per_output)
        pieces.append(np.einsum("cok,ok->co", padded[:, samples], by_phase[position % up]))
    return np.concatenate(pieces, axis=1)


def _padded(x: np.ndarray, lead: int, needed: int) -> np.ndarray:
    x = x[:, : max(needed - lead, 0)]
    return np.pad(x, ((0, 0), (lead, max(needed - lead - x.shape[1], 0))))
