"""The latest burst of a sensor as a dashboard shows it: waveform, spectra, waterfall, time in each state."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from typing import Any

import numpy as np

from secateur.edge.agent.signal.averaged import Spectrum
from secateur.edge.agent.signal.quality import LOUDEST

WATERFALL_ROWS, WATERFALL_POINTS = 64, 256
LEAST_SAMPLES = 16
"""Shorter bursts have no spectrum to show."""
CLASSES_KEPT = 500
POINTS_SHOWN = 2048


class SensorView:
    """What can be shown of one sensor, in bounded memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples = np.empty(0, dtype=np.float32)
        self._rate_hz = 1.0
        self._averaged: Spectrum | None = None
        self._waterfall: deque[tuple[float, np.ndarray]] = deque(maxlen=WATERFALL_ROWS)
        self._classes: deque[tuple[float, str | None]] = deque(maxlen=CLASSES_KEPT)
        self._time_in_state: defaultdict[str, float] = defaultdict(float)
        self._last: tuple[float, str] | None = None
        self.result: dict[str, Any] | None = None

    def show(
        self,
        samples: np.ndarray,
        sampling_rate_hz: float,
        averaged: Spectrum | None,
        result: dict[str, Any],
        running_s: float,
    ) -> None:
        """Take a burst and its result."""
        row = _peaks(_amplitudes(samples), WATERFALL_POINTS) if _has_spectrum(samples) else None
        bearing, state = result["bearing"], result["sensor_state"]
        if state == "ok":
            is_learning = bearing["level"] == "normal" and bearing["learned"] < 1
            state = "learning" if is_learning else bearing["level"]
        with self._lock:
            self._samples, self._rate_hz, self.result = samples, sampling_rate_hz, result
            self._averaged = averaged or self._averaged
            if row is not None:
                self._waterfall.append((result["measured_unix_s"], row.astype(np.float32)))
            if result["diagnosis"] is not None:
                self._classes.append((result["measured_unix_s"], result["diagnosis"]["label"]))
            self._enter(state, running_s)

    def enter(self, state: str, running_s: float) -> None:
        """Note that another state holds from now on, without a burst."""
        with self._lock:
            self._enter(state, running_s)

    def _enter(self, state: str, running_s: float) -> None:
        if self._last is not None:
            self._time_in_state[self._last[1]] += running_s - self._last[0]
        self._last = (running_s, state)

    def waveform(self) -> dict[str, Any]:
        """Return the latest burst, thinned to its highest and lowest points where it is long."""
        with self._lock:
            samples, rate_hz = self._samples, self._rate_hz
        shown, step = _envelope_of(samples)
        return {"step_s": step / rate_hz, "samples": _rounded(shown), "duration_s": len(samples) / rate_hz}

    def spectrum(self) -> dict[str, Any]:
        """Return the amplitude spectrum of the latest burst."""
        with self._lock:
            samples, rate_hz = self._samples, self._rate_hz
        if not _has_spectrum(samples):
            return {"step_hz": 1.0, "amplitude": []}
        amplitude = _amplitudes(samples)
        shown = _peaks(amplitude, POINTS_SHOWN)
        step_hz = rate_hz / len(samples) * -(-len(amplitude) // POINTS_SHOWN)
        return {"step_hz": step_hz, "amplitude": _rounded(shown)}

    def envelope(self, band_hz: tuple[float, float] | None = None) -> dict[str, Any]:
        """Return the envelope spectrum: averaged as it is watched, or of the latest burst in another band.

        Raises
        ------
        ConfigError
            If the band is not within the spectrum.
        """
        from secateur.signals.envelope import envelope_spectrum

        with self._lock:
            samples, rate_hz, averaged = self._samples, self._rate_hz, self._averaged
        if band_hz is not None and _has_spectrum(samples):
            frequency_hz, amplitude = envelope_spectrum(samples, rate_hz, band_hz)
            shown = amplitude[:POINTS_SHOWN]
            return {
                "step": float(frequency_hz[1]),
                "in_orders": False,
                "bursts": 1,
                "amplitude": _rounded(shown),
                "band_hz": list(band_hz),
            }
        if averaged is None:
            return {"step": 1.0, "in_orders": False, "bursts": 0, "amplitude": [], "band_hz": None}
        return {
            "step": averaged.step,
            "in_orders": averaged.in_orders,
            "bursts": averaged.bursts,
            "amplitude": _rounded(averaged.amplitude[:POINTS_SHOWN]),
            "band_hz": None,
        }

    def waterfall(self) -> dict[str, Any]:
        """Return spectra over time, oldest first, each thinned to its peaks."""
        with self._lock:
            rows, rate_hz = list(self._waterfall), self._rate_hz
        return {
            "highest_hz": rate_hz / 2,
            "rows": [{"unix_s": unix_s, "amplitude": _rounded(row)} for unix_s, row in rows],
        }

    def history(self, running_s: float) -> dict[str, Any]:
        """Return the classes named lately, and the seconds spent in each state from the start until now."""
        with self._lock:
            classes, times = list(self._classes), dict(self._time_in_state)
            if self._last is not None:
                since_s, state = self._last
                times[state] = times.get(state, 0.0) + running_s - since_s
        return {
            "classes": [{"unix_s": unix_s, "label": label} for unix_s, label in classes],
            "seconds_in_state": times,
        }


def _has_spectrum(samples: np.ndarray) -> bool:
    return len(samples) >= LEAST_SAMPLES and bool((np.abs(samples) <= LOUDEST).all())


def _amplitudes(samples: np.ndarray) -> np.ndarray:
    taper, wide = np.hanning(len(samples) + 1)[:-1], samples.astype(np.float64)
    return np.abs(np.fft.rfft((wide - wide.mean()) * taper)) * (2.0 / taper.sum())


def _peaks(values: np.ndarray, most: int) -> np.ndarray:
    """Thin to at most ``most`` values, each the highest of equally many neighbours."""
    step = -(-len(values) // most)
    padded = np.pad(values, (0, -len(values) % step))
    return padded.reshape(-1, step).max(axis=1)


def _envelope_of(samples: np.ndarray) -> tuple[np.ndarray, float]:
    if len(samples) <= POINTS_SHOWN:
        return samples, 1.0
    step = -(-len(samples) // (POINTS_SHOWN // 2))
    blocks = samples[: len(samples) // step * step].reshape(-1, step)
    return np.stack([blocks.min(axis=1), blocks.max(axis=1)], axis=1).ravel(), step / 2


def _rounded(values: np.ndarray) -> list[float | None]:
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.astype(np.float64)]
