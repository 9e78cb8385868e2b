"""Windows of one tone a class in noise: what a small model learns within a few steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from secateur.signals.recording import ArraySource, Recording
from secateur.signals.segment import Segment
from secateur.signals.windows import Windows, WindowSpec


def tone_windows(
    counts: Sequence[int],
    *,
    seed: int = 0,
    tones_hz: Sequence[float] = (64.0, 160.0, 320.0),
    labels: Sequence[int] = (0, 1, 2),
    noise: float = 0.3,
    random_phase: bool = True,
    group: str | None = None,
    rate_hz: float = 1024.0,
    length: int = 128,
) -> Windows:
    """Return ``counts`` windows of each tone; recordings are named after ``group``, else after the seed.

    Without ``random_phase`` all windows of a tone are alike but for the noise: models that see the waveform
    itself learn no more than that in a few steps.
    """
    rng = np.random.default_rng(seed)
    segments = []
    for label, count, tone_hz in zip(labels, counts, tones_hz, strict=True):
        t = np.arange(count * length) / rate_hz
        phase = rng.uniform(0, 6) if random_phase else 0.0
        samples = np.sin(2 * np.pi * tone_hz * t + phase) + noise * rng.standard_normal(len(t))
        name = f"{seed if group is None else group}-{tone_hz:g}"
        recording = Recording(
            recording_id=name,
            source=ArraySource(samples[None].astype(np.float32)),
            channels=("x",),
            sampling_rate_hz=rate_hz,
            group_id=name,
            dataset="tones",
            shaft_speed_rpm=600.0,
        )
        segments.append(Segment.whole(recording, label))
    return Windows(segments, WindowSpec(sampling_rate_hz=rate_hz, length=length), hop=length)
