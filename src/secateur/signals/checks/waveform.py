"""Look at the samples of one recording, block by block."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from secateur.signals.checks.channel import ChannelFigures
from secateur.signals.checks.landmarks import KnownStretches, Landmarks, Shared
from secateur.signals.findings import Finding, error, note, warning
from secateur.signals.no_machine import first_samples, why_no_machine
from secateur.signals.recording import Recording
from secateur.signals.short_windows import LEAST_SHARE
from secateur.signals.speed import LEAST_GAP, LOOKED_AT_S, REACH, RefinedSpeed, refine_shaft_rate
from secateur.signals.windows import HIGHEST_RATE_HZ, WINDOW_LENGTH

DEFAULT_WINDOW_S = WINDOW_LENGTH / HIGHEST_RATE_HZ
CLIPPED_SHARE = 1e-4
CLIPPED_SAMPLES = 10
STUCK_SHARE = 0.1
"""Share of a recording that may be stuck before it is unusable."""
SMALLEST, LARGEST = 1e-18, 1e18
"""Values of sensors in any unit lie between."""
SLOW_RPM, FAST_RPM = 100.0, 30_000.0
_BLOCK = 1 << 18
_BEGINNING = 4096


@dataclass
class Seen:
    """What earlier recordings of a set hold, by which copies and levels are compared.

    Parameters
    ----------
    whole, beginning : dict
        Recording by the digest of its first channel, and of its first 4096 samples.
    stretches : KnownStretches
        By which shared stretches are recognised, and copies at another scale.
    level : dict
        Root mean square of the first channel by recording id.
    """

    whole: dict[bytes, Recording] = field(default_factory=dict)
    beginning: dict[bytes, Recording] = field(default_factory=dict)
    stretches: KnownStretches = field(default_factory=KnownStretches)
    level: dict[str, float] = field(default_factory=dict)


def check_waveform(
    recording: Recording,
    seen: Seen,
    *,
    window_s: float = DEFAULT_WINDOW_S,
    channel: int | str | None = None,
) -> Iterator[Finding]:
    """Look at the samples of one recording.

    Parameters
    ----------
    recording : Recording
    seen : Seen
        Of the recordings so far; this one's figures are added.
    window_s : float
        Length of the windows that a model takes.
    channel : int or str, optional
        The one that is used, by number or name; all by default.

    Raises
    ------
    DataError
        If the waveform cannot be read.
    """
    looked_at = _channels(recording, channel)
    figures = [ChannelFigures() for _ in looked_at]
    whole, beginning, landmarks = hashlib.blake2b(digest_size=16), b"", Landmarks()
    for start in range(0, recording.n_samples, _BLOCK):
        block = recording.read(start, start + _BLOCK)
        first = np.ascontiguousarray(block[looked_at[0]])
        whole.update(first.tobytes())
        landmarks.add(first, start)
        if start == 0 and first.size > _BEGINNING and np.ptp(first[:_BEGINNING]) > 0:
            beginning = hashlib.blake2b(first[:_BEGINNING].tobytes(), digest_size=16).digest()
        for number, found in zip(looked_at, figures, strict=True):
            found.add(block[number], start)
    if recording.duration_s < window_s:
        is_lost = recording.duration_s < LEAST_SHARE * window_s
        yield (warning if is_lost else note)(
            "too_short",
            recording.recording_id,
            f"{recording.duration_s:.3f} s long; a window takes {window_s:.3f} s. "
            + ("It is passed over." if is_lost else "Its end is mirrored to fill one."),
        )
    for number, found in zip(looked_at, figures, strict=True):
        found.stuck.close(recording.n_samples)
        yield from _channel_findings(recording, recording.channels[number], found, window_s)
    seen.level[recording.recording_id] = figures[0].rms
    shared = seen.stretches.meet(recording, looked_at[0], landmarks.places)
    yield from _copy_findings(recording, seen, whole.digest(), beginning, shared)


def _channels(recording: Recording, channel: int | str | None) -> list[int]:
    if channel is None:
        return list(range(len(recording.channels)))
    if isinstance(channel, int):
        return [channel]
    return [recording.channels.index(channel)] if channel in recording.channels else [0]


def _channel_findings(
    recording: Recording, label: str, figures: ChannelFigures, window_s: float
) -> Iterator[Finding]:
    name, n_samples = recording.recording_id, recording.n_samples
    if figures.not_finite:
        yield error(
            "not_finite",
            name,
            f"channel {label}: sample {figures.first_not_finite} "
            f"({figures.first_not_finite / recording.sampling_rate_hz:.3f} s) is NaN or infinite, the first "
            f"of {figures.not_finite}; cut them out or repair them.",
        )
    if figures.high <= figures.low:
        yield error("constant", name, f"channel {label} never changes; the sensor was not connected.")
        return
    largest = max(abs(figures.low), abs(figures.high))
    if largest > LARGEST or figures.rms < SMALLEST:
        yield error(
            "out_of_range",
            name,
            f"channel {label}: values up to {largest:.3g}, RMS {figures.rms:.3g}; those of a sensor lie "
            f"between {SMALLEST:g} and {LARGEST:g} in any unit. The file is damaged or misread.",
        )
    yield from _stuck_findings(recording, label, figures, window_s)
    clipped = max(figures.at_low, figures.at_high) - figures.stuck.n_samples
    if clipped >= max(CLIPPED_SAMPLES, CLIPPED_SHARE * n_samples):
        yield warning(
            "clipping",
            name,
            f"channel {label}: {clipped} samples lie at the very limit; the amplifier or converter was "
            "overdriven.",
        )


def _stuck_findings(
    recording: Recording, label: str, figures: ChannelFigures, window_s: float
) -> Iterator[Finding]:
    stuck = figures.stuck
    if not stuck.stretches:
        return
    rate = recording.sampling_rate_hz
    begin, end = max(stuck.stretches, key=lambda stretch: stretch[1] - stretch[0])
    share = stuck.n_samples / recording.n_samples
    grave = error if share > STUCK_SHARE or (end - begin) / rate >= window_s else warning
    places = f"samples {begin} to {end} ({begin / rate:.3f} to {end / rate:.3f} s)"
    if len(stuck.stretches) > 1:
        first, last = stuck.stretches[0][0], stuck.stretches[-1][1]
        places += f", the longest of {len(stuck.stretches)} stretches from {first} to {last},"
    yield grave(
        "stuck",
        recording.recording_id,
        f"channel {label}: {places} hold one value, or two in turns: {100 * share:.1f} % of the recording. "
        "The sensor or the recorder stood still; cut this part out.",
    )


def _copy_findings(
    recording: Recording, seen: Seen, whole: bytes, beginning: bytes, shared: Shared | None
) -> Iterator[Finding]:
    original = seen.whole.setdefault(whole, recording)
    if original is not recording:
        differs = original.fault_location != recording.fault_location
        labels = f" under another label ({recording.fault_location}, {original.fault_location})" * differs
        yield error(
            "copy",
            recording.recording_id,
            f"the waveform is the same as that of {original.recording_id}{labels}; remove one, or both sides "
            "of a split may hold it.",
        )
        return
    original = seen.beginning.setdefault(beginning, recording) if beginning else recording
    if original is not recording:
        yield error(
            "copy",
            recording.recording_id,
            f"the waveform begins as that of {original.recording_id} ({_BEGINNING} equal samples); remove "
            "one, or both sides of a split may hold the same stretch.",
        )
    elif shared is not None:
        one_specimen = recording.specimens_documented and recording.group_id == shared.original.group_id
        yield (warning if one_specimen else error)(
            "copy",
            recording.recording_id,
            f"samples {shared.begin} to {shared.end} are those of {shared.original.recording_id} from sample "
            f"{shared.original_begin} on, perhaps at another scale; remove one, or both sides of a split may "
            "hold the same stretch.",
        )


def check_machine(recording: Recording, channel: int | str | None = None) -> Iterator[Finding]:
    """Ask whether a machine turns in a recording, where its samples can be those of a sensor at all.

    Parameters
    ----------
    recording : Recording
    channel : int or str, optional
        The one that is used, by number or name; all by default.

    Raises
    ------
    DataError
        If the waveform cannot be read.
    """
    for number in _channels(recording, channel):
        samples = first_samples(recording.source, number)
        finite = samples[np.isfinite(samples)]
        if finite.size == 0 or np.ptp(finite) == 0 or np.abs(finite).max() > LARGEST:
            continue
        if lacks := why_no_machine(samples):
            yield warning(
                "no_machine",
                recording.recording_id,
                f"channel {recording.channels[number]}: {lacks}. Nothing of a bearing can be learnt from it.",
            )


def check_speed(
    recording: Recording, channel: int = 0, *, found: RefinedSpeed | None = None
) -> Iterator[Finding]:
    """Compare the stated shaft speed with the lines of the recording, for mistaken units too.

    Parameters
    ----------
    recording : Recording
    channel : int
    found : RefinedSpeed, optional
        What the lines say of the stated speed, where that was sought before.

    Raises
    ------
    DataError
        If the waveform cannot be read.
    """
    stated_rpm, subject = recording.shaft_speed_rpm, recording.recording_id
    if stated_rpm is None:
        return

    def sought(rpm: float) -> RefinedSpeed:
        samples = recording.read(0, round(LOOKED_AT_S * recording.sampling_rate_hz))[channel]
        return refine_shaft_rate(samples, recording.sampling_rate_hz, rpm / 60.0)

    found = found or sought(stated_rpm)
    if found.gap is not None and abs(found.gap) > LEAST_GAP:
        yield warning(
            "speed_contradicted",
            subject,
            f"{stated_rpm:g} rpm is stated, but the shaft's lines stand at {found.refined_rpm:.0f} rpm "
            f"({100 * found.gap:+.1f} %, confidence {found.confidence:.2f}); fault lines are missed by that "
            f"much. Check the tachometer (looked for within {100 * REACH:g} %).",
        )
    elif found.points_beyond:
        yield warning(
            "speed_contradicted",
            subject,
            f"{stated_rpm:g} rpm is stated, but {found.doubt}. Check the tachometer.",
        )
    for factor, meant in ((60.0, stated_rpm < SLOW_RPM), (1.0 / 60.0, stated_rpm > FAST_RPM)):
        other_rpm = factor * stated_rpm
        if meant and sought(other_rpm).refined_hz is not None:
            yield error(
                "speed_unit",
                subject,
                f"shaft speed {stated_rpm:g} rpm, but the shaft's lines stand at {other_rpm:g} rpm: Hz "
                f"and rpm were confused. Write {other_rpm:g} rpm.",
            )
