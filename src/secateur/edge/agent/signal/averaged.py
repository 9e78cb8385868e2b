"""Envelope spectra averaged over bursts, on an axis of shaft orders that a varying speed does not smear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secateur.signals.envelope import envelope_spectrum

_LARGEST_SPEED_RATIO = 1.5


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Amplitudes at equal steps from zero on.

    Attributes
    ----------
    amplitude : ndarray of float32, shape (lines,)
        1.0 is a full modulation.
    step : float
        Between lines: in orders of the shaft where ``in_orders``, else in Hz.
    in_orders : bool
    bursts : int
        How many it is averaged over.
    """

    amplitude: np.ndarray
    step: float
    in_orders: bool
    bursts: int


class AveragedEnvelope:
    """The running mean of power over the bursts of one sensor, in constant memory.

    The first bursts weigh alike; from ``bursts`` on the mean forgets exponentially. A speed that comes,
    goes, or
    leaves the range of one and a half times starts it anew, since the lines would no longer be resolved
    alike.

    Parameters
    ----------
    bursts : int
        How many to average over.
    band_hz : (float, float)
        Band that is demodulated.
    """

    def __init__(self, *, bursts: int, band_hz: tuple[float, float]) -> None:
        self._most, self._band_hz = bursts, band_hz
        self._count = 0
        self._power = np.empty(0, dtype=np.float32)
        self._step = 0.0
        self._rate_hz: float | None = None

    def add(self, samples: np.ndarray, sampling_rate_hz: float, shaft_rate_hz: float | None) -> Spectrum:
        """Add one burst and return the mean so far.

        Parameters
        ----------
        samples : ndarray of float32, shape (n,)
        sampling_rate_hz : float
        shaft_rate_hz : float or None
            None: bursts are averaged as they are, on an axis in Hz.
        """
        frequency_hz, amplitude = envelope_spectrum(samples, sampling_rate_hz, self._band_hz)
        power = amplitude.astype(np.float32) ** 2
        step_hz = float(frequency_hz[1])
        if not self._continues(len(power), shaft_rate_hz):
            self._count, self._rate_hz = 0, shaft_rate_hz
            self._power = np.zeros_like(power)
            self._step = step_hz if shaft_rate_hz is None else step_hz / shaft_rate_hz
        elif shaft_rate_hz is not None and shaft_rate_hz != self._rate_hz:
            wanted = np.arange(len(power)) * self._step * shaft_rate_hz
            power = np.interp(wanted, frequency_hz, power).astype(np.float32)
        self._count = min(self._count + 1, self._most)
        self._power += (power - self._power) / np.float32(self._count)
        return Spectrum(
            amplitude=np.sqrt(self._power),
            step=self._step,
            in_orders=self._rate_hz is not None,
            bursts=self._count,
        )

    def _continues(self, lines: int, shaft_rate_hz: float | None) -> bool:
        if (
            self._count == 0
            or lines != len(self._power)
            or (shaft_rate_hz is None) != (self._rate_hz is None)
        ):
            return False
        if shaft_rate_hz is None or self._rate_hz is None:
            return True
        ratio = shaft_rate_hz / self._rate_hz
        return 1 / _LARGEST_SPEED_RATIO <= ratio <= _LARGEST_SPEED_RATIO
