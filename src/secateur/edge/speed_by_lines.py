"""The speed to diagnose by: the stated one, or that of the shaft's own lines where they contradict it."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.signals.recording import WaveformSource
from secateur.signals.speed import LEAST_GAP, LOOKED_AT_S, RefinedSpeed, refine_shaft_rate


@dataclass(frozen=True, kw_only=True)
class SpeedByLines:
    """What a recording is diagnosed by.

    Attributes
    ----------
    shaft_rate_hz : float
        Turns a second; 0 if unknown.
    doubts : tuple of str
        Why nothing can be said at this speed; empty if it can.
    found : RefinedSpeed or None
        What the lines say; None where no speed was stated.
    """

    shaft_rate_hz: float
    doubts: tuple[str, ...] = ()
    found: RefinedSpeed | None = None


def speed_by_lines(
    source: WaveformSource, *, channel: int, sampling_rate_hz: float, shaft_rate_hz: float
) -> SpeedByLines:
    """Hold a stated speed against the lines in the first 30 s of a waveform.

    The lines are gone by where they clearly stand more than 1 % beside the stated speed, and doubted together
    with it where they point further away than 3 %. Where they are not clear, or the waveform holds fewer than
    80 turns, the stated speed stays. See :func:`secateur.signals.speed.refine_shaft_rate`.

    Parameters
    ----------
    source : WaveformSource
    channel : int
    sampling_rate_hz : float
    shaft_rate_hz : float
        As stated; 0 if unknown.
    """
    if not shaft_rate_hz > 0:
        return SpeedByLines(shaft_rate_hz=shaft_rate_hz)
    looked_at = min(source.n_samples, round(LOOKED_AT_S * sampling_rate_hz))
    found = refine_shaft_rate(source.read(0, looked_at)[channel], sampling_rate_hz, shaft_rate_hz)
    if found.points_beyond:
        doubt = f"the speed is doubtful: {found.doubt}"
        return SpeedByLines(shaft_rate_hz=shaft_rate_hz, doubts=(doubt,), found=found)
    if found.refined_hz is None or found.gap is None or abs(found.gap) <= LEAST_GAP:
        return SpeedByLines(shaft_rate_hz=shaft_rate_hz, found=found)
    return SpeedByLines(shaft_rate_hz=found.refined_hz, found=found)
