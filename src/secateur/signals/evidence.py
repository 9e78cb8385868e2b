"""What a waveform shows of its bearing: how far each fault line stands out of the envelope spectra.

This is the evidence that stands beside every diagnosis. It needs NumPy alone, so a device can compute it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur.core.errors import DataError
from secateur.signals.envelope import prewhiten, spectrum_of_envelope, squared_envelope
from secateur.signals.kinematics import FaultOrders
from secateur.signals.lines import (
    FAMILIES,
    HARMONICS,
    MAIN_LOBE,
    STANDS_OUT_DB,
    peaks,
    reach,
    reach_of_noise_db,
    taken,
)
from secateur.signals.stray_lines import StrayLines, stray_lines

BANDS = ((0.042, 0.12), (0.12, 0.22), (0.22, 0.32), (0.32, 0.41), (0.042, 0.45))
"""Edges of the demodulation bands over the sampling rate; one more band is the last one, whitened."""

TOLERANCE = 0.01
"""Rolling elements slip by 1 to 2 % (Randall and Antoni, MSSP 25, 2011)."""

_SURROUNDINGS_HZ = 35.0
_MEDIAN_POINTS = 25
_SHAFT_MULTIPLES = 64
_SEGMENT_TURNS = 64
_MOST_SEGMENT_SAMPLES = 1 << 17
_MOST_SEGMENTS = 24


@dataclass(frozen=True, kw_only=True)
class FaultLine:
    """How far one family of lines stands out.

    Attributes
    ----------
    family : str
        One of :data:`FAMILIES`.
    rate_hz : float
        Where its first line lies.
    strength_db : float
        Mean height of its first four lines over the local median of the envelope spectrum, in the best
        band, less what noise alone reaches there. Where a line cannot be told from a multiple of the
        shaft rate, only what it has above its neighbours among them counts.
    harmonics : int
        Lines of the four that stand out.
    sidebands : int
        Of the eight sidebands that load-zone modulation gives (shaft rate beside BPFI, cage rate beside
        twice BSF), those that stand out; 0 for other families.
    band_hz : (float, float)
        The best band.
    beside_shaft : bool
        True if all lines lie too close to multiples of the shaft rate to be told from them.
    """

    family: str
    rate_hz: float
    strength_db: float
    harmonics: int
    sidebands: int
    band_hz: tuple[float, float]
    beside_shaft: bool


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Fault lines of a waveform at one speed and geometry.

    Attributes
    ----------
    lines : tuple of FaultLine
        In the order of :data:`FAMILIES`.
    shaft_rate_hz : float
    turns : float
        Shaft turns in one averaged segment; lines are the sharper the more there are.
    segments : int
        How many were averaged.
    kurtosis : float
        Of the waveform: 3 for noise, more for impacts.
    stray : StrayLines or None
        Strong lines that neither shaft nor bearing explains.
    frequency_hz, level_db : ndarray, shape (points,)
        Envelope spectrum over its local median, in the band where a fault line stands out most.
    """

    lines: tuple[FaultLine, ...]
    shaft_rate_hz: float
    turns: float
    segments: int
    kurtosis: float
    stray: StrayLines | None
    frequency_hz: np.ndarray
    level_db: np.ndarray

    def line(self, family: str) -> FaultLine:
        """Return one family's line."""
        return self.lines[FAMILIES.index(family)]

    def shows(self, line: FaultLine) -> bool:
        """Whether a line and its double lie within the envelope spectrum, so that they would be seen."""
        return bool(2.0 * line.rate_hz <= self.frequency_hz[-1])

    def to_record(self) -> dict[str, Any]:
        """Return the evidence as JSON values, the spectrum left out."""
        return {
            "shaft_rate_hz": self.shaft_rate_hz,
            "turns": round(self.turns, 1),
            "segments": self.segments,
            "kurtosis": round(self.kurtosis, 2),
            "stray_lines": None if self.stray is None else self.stray.to_record(),
            "lines": {
                line.family: {
                    "rate_hz": round(line.rate_hz, 2),
                    "strength_db": round(line.strength_db, 1),
                    "harmonics": line.harmonics,
                    "sidebands": line.sidebands,
                    "band_hz": [round(edge) for edge in line.band_hz],
                    "beside_shaft": line.beside_shaft,
                }
                for line in self.lines
            },
        }


def gather_evidence(
    waveform: np.ndarray, *, sampling_rate_hz: float, shaft_rate_hz: float, fault_orders: FaultOrders
) -> Evidence:
    """Look for the fault lines of a bearing in a waveform of any length.

    The waveform is cut into segments of about 64 shaft turns (or taken whole if it is shorter), and the power
    of their envelope spectra is averaged, so that noise evens out.

    Parameters
    ----------
    waveform : ndarray, shape (samples,)
    sampling_rate_hz : float
    shaft_rate_hz : float
        Turns a second.
    fault_orders : FaultOrders

    Raises
    ------
    DataError
        If the speed is not positive, or the waveform is not finite, flat, or shorter than eight shaft turns.
    """
    if not (math.isfinite(shaft_rate_hz) and shaft_rate_hz > 0):
        raise DataError(f"a shaft rate of {shaft_rate_hz} turns a second was given; it must be positive.")
    segments = _segments(np.asarray(waveform), sampling_rate_hz, shaft_rate_hz)
    length = segments.shape[1]
    rate, orders = np.array([shaft_rate_hz]), fault_orders.as_array()[None]
    power, step_hz = _envelope_powers(segments, sampling_rate_hz, _highest_hz(rate, orders))
    levels = _levels(np.sqrt(power.mean(axis=1, keepdims=True)), step_hz)
    read = _read_lines(levels, step_hz, rate, orders, averaged=len(segments))
    bands_hz = [(low * sampling_rate_hz, high * sampling_rate_hz) for low, high in (*BANDS, BANDS[-1])]
    lines = tuple(
        FaultLine(
            family=family,
            rate_hz=float(read.rates_hz[0, number, 0]),
            strength_db=float(read.strength_db[:, 0, number].max()),
            harmonics=int(read.harmonics[:, 0, number].max()),
            sidebands=int(read.sidebands[:, 0, number].max()),
            band_hz=bands_hz[int(read.strength_db[:, 0, number].argmax())],
            beside_shaft=bool(read.beside_shaft[0, number]),
        )
        for number, family in enumerate(FAMILIES)
    )
    band = int(read.strength_db[:, 0, :3].max(axis=1).argmax())
    return Evidence(
        lines=lines,
        shaft_rate_hz=float(shaft_rate_hz),
        turns=length / sampling_rate_hz * shaft_rate_hz,
        segments=len(segments),
        kurtosis=float(np.mean(segments**4) / np.mean(segments**2) ** 2),
        stray=stray_lines(levels[:, 0], step_hz, shaft_rate_hz, orders[0], averaged=len(segments)),
        frequency_hz=step_hz * np.arange(levels.shape[-1]),
        level_db=levels[band, 0],
    )


def line_strengths(
    windows: np.ndarray, sampling_rate_hz: float, shaft_rate_hz: np.ndarray, fault_orders: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the strength of every family in each window by itself; see :class:`FaultLine`.

    Parameters
    ----------
    windows : ndarray, shape (windows, samples)
    sampling_rate_hz : float
    shaft_rate_hz : ndarray, shape (windows,)
    fault_orders : ndarray, shape (windows, 4)

    Returns
    -------
    strength_db : ndarray, shape (windows, families)
        NaN where speed or bearing is unknown (zero).
    beside_shaft : ndarray of bool, shape (windows, families)
    """
    rate = np.asarray(shaft_rate_hz, dtype=np.float64)
    orders = np.asarray(fault_orders, dtype=np.float64)
    known = (rate > 0) & (orders > 0).all(axis=1)
    strength = np.full((len(windows), len(FAMILIES)), np.nan)
    beside = np.zeros(strength.shape, dtype=bool)
    if known.any():
        highest_hz = _highest_hz(rate[known], orders[known])
        power, step_hz = _envelope_powers(windows[known], sampling_rate_hz, highest_hz)
        levels = _levels(np.sqrt(power), step_hz)
        read = _read_lines(levels, step_hz, rate[known], orders[known], averaged=1)
        strength[known], beside[known] = read.strength_db.max(axis=0), read.beside_shaft
    return strength, beside


def _segments(waveform: np.ndarray, sampling_rate_hz: float, shaft_rate_hz: float) -> np.ndarray:
    """Return standardised segments (n, samples) in float32, evenly spread over a long waveform."""
    if waveform.ndim != 1:
        raise DataError(f"a waveform is one channel, shape (samples,); this one has shape {waveform.shape}.")
    if bad := np.count_nonzero(~np.isfinite(waveform)):
        raise DataError(f"{bad} of {len(waveform)} samples are NaN or infinite; cut them out or repair them.")
    turn = sampling_rate_hz / shaft_rate_hz
    if len(waveform) < 8 * turn:
        raise DataError(
            f"the waveform holds {len(waveform) / turn:.1f} shaft turns; fault lines need at least 8."
        )
    length = min(len(waveform), round(_SEGMENT_TURNS * turn), _MOST_SEGMENT_SAMPLES)
    length -= length % 2
    count = min(len(waveform) // length, _MOST_SEGMENTS)
    starts = np.linspace(0, len(waveform) - length, count).astype(int)
    segments = np.stack([waveform[start : start + length] for start in starts]).astype(np.float32)
    segments -= segments.mean(axis=1, keepdims=True)
    deviation = segments.std(axis=1, keepdims=True)
    if not (deviation > 0).all():
        raise DataError("a stretch of the waveform is flat, so it shows nothing of the bearing.")
    return segments / deviation


def _highest_hz(shaft_rate_hz: np.ndarray, fault_orders: np.ndarray) -> float:
    """Return the highest frequency that is looked at, with the surroundings of its line."""
    highest = (HARMONICS * fault_orders.max(axis=1) + 2.0) * shaft_rate_hz
    return float((1.0 + 2.0 * TOLERANCE) * highest.max() + 2.0 * _SURROUNDINGS_HZ)


def _envelope_powers(
    segments: np.ndarray, sampling_rate_hz: float, highest_hz: float
) -> tuple[np.ndarray, float]:
    """Return power spectra of the envelopes, (bands, segments, points), and the distance of points in Hz."""
    views = [(segments, band) for band in BANDS] + [(prewhiten(segments), BANDS[-1])]
    powers, step_hz = [], sampling_rate_hz / segments.shape[1]
    for series, (low, high) in views:
        squared, rate_hz = squared_envelope(
            series, sampling_rate_hz, (low * sampling_rate_hz, high * sampling_rate_hz)
        )
        _, amplitude = spectrum_of_envelope(squared, rate_hz)
        powers.append(amplitude**2)
    n_points = min(math.ceil(highest_hz / step_hz) + 1, *(power.shape[1] for power in powers))
    return np.stack([power[:, :n_points] for power in powers]), step_hz


def _levels(amplitude: np.ndarray, step_hz: float) -> np.ndarray:
    """Return spectra (..., points) in decibels over their local median."""
    half = max(_MEDIAN_POINTS // 2, round(_SURROUNDINGS_HZ / step_hz))
    half = min(half, amplitude.shape[-1] - 1)
    padded = np.pad(amplitude, [(0, 0)] * (amplitude.ndim - 1) + [(half, half)], mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=-1)
    median = np.median(around[..., :: max(1, 2 * half // (_MEDIAN_POINTS - 1))], axis=-1)
    levels = 20.0 * np.log10((amplitude + 1e-12) / (median + 1e-12))
    levels[..., :2] = 0.0  # what is left of the mean
    return levels


@dataclass(frozen=True, kw_only=True)
class _Read:
    """Lines read off spectra of n windows; arrays over (bands, windows, families)."""

    strength_db: np.ndarray
    harmonics: np.ndarray
    sidebands: np.ndarray
    rates_hz: np.ndarray
    beside_shaft: np.ndarray


def _read_lines(
    levels: np.ndarray, step_hz: float, shaft_rate_hz: np.ndarray, fault_orders: np.ndarray, *, averaged: int
) -> _Read:
    shaft = shaft_rate_hz[:, None, None]
    orders = np.concatenate([fault_orders, np.ones((len(fault_orders), 1))], axis=1)
    rates = shaft * orders[:, :, None] * np.arange(1, HARMONICS + 1)
    around = reach(rates, step_hz, TOLERANCE)
    height = peaks(levels, step_hz, rates, TOLERANCE) - reach_of_noise_db(around, averaged)

    # a line beside a shaft multiple has what it has above the two next multiples
    multiples = shaft[:, :, 0] * np.arange(_SHAFT_MULTIPLES)
    of_shaft = np.maximum(peaks(levels, step_hz, multiples, 0.003), 0.0)
    of_shaft[..., 0] = of_shaft[..., 1]
    nearest = np.clip(np.rint(rates / shaft), 1, _SHAFT_MULTIPLES - 2).astype(int)
    near = np.abs(rates - shaft * np.rint(rates / shaft)) < (around + MAIN_LOBE) * step_hz
    near[:, FAMILIES.index("shaft")] = False
    flat = nearest.reshape(len(nearest), -1)
    beside = 0.5 * (taken(of_shaft, flat - 1) + taken(of_shaft, flat + 1))
    height = np.where(near, height - beside.reshape(height.shape), height)

    first, second = rates[:, :, 0], rates[:, :, 1]
    sidebands = np.zeros(height.shape[:3], dtype=int)
    for family, spacing in (("bpfi", shaft_rate_hz), ("bsf2", first[:, FAMILIES.index("ftf")])):
        number = FAMILIES.index(family)
        offsets = spacing[:, None] * np.array([-2, -1, 1, 2])
        places = np.concatenate([first[:, number, None] + offsets, second[:, number, None] + offsets], axis=1)
        seen = peaks(levels, step_hz, places, TOLERANCE) - reach_of_noise_db(
            reach(places, step_hz, TOLERANCE), averaged
        )
        sidebands[:, :, number] = (seen > STANDS_OUT_DB).sum(axis=-1)
    return _Read(
        strength_db=height.mean(axis=-1),
        harmonics=(height > STANDS_OUT_DB).sum(axis=-1),
        sidebands=sidebands,
        rates_hz=rates,
        beside_shaft=near.all(axis=-1),
    )
