"""Pictures of recordings: waveform, spectrum and envelope spectrum with the fault lines marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.signal import welch

from secateur.core.files import folder_aside
from secateur.core.provenance import provenance
from secateur.core.records import write_json
from secateur.core.svg import save_svg
from secateur.signals.describe import UNLABELLED
from secateur.signals.envelope import envelope_spectrum
from secateur.signals.recording import Recording

PICTURES_RECORD = "pictures.json"
"""Which recording each picture shows, and the command that drew them."""

EXCERPT_S = 10.0
WAVEFORM_TURNS = 5
SPECTRUM_STEP_HZ = 5.0
HARMONICS = 3
# Okabe and Ito's colours, told apart by colour-blind readers too.
LINE_COLOURS = {"BPFO": "#0072B2", "BPFI": "#D55E00", "2xBSF": "#009E73", "shaft": "#999999"}


def picture_recordings(recordings: Sequence[Recording], folder: Path) -> list[Path]:
    """Draw one example of each class of each data set.

    The example is the first recording, by name, at the sampling rate that is most common in its data set.

    Parameters
    ----------
    recordings : sequence of Recording
    folder : Path
        Gets one SVG a class, ``<dataset>_<class>.svg``, and ``pictures.json``; former pictures go.

    Returns
    -------
    list of Path
        The pictures.
    """
    shown = {}
    with folder_aside(folder) as aside:
        for recording in examples(recordings):
            label = recording.fault_location or UNLABELLED
            name = f"{recording.dataset}_{label}".lower().replace("/", "_").replace(" ", "_")
            save_svg(draw(recording), aside / f"{name}.svg", name)
            shown[f"{name}.svg"] = recording.recording_id
        write_json(aside / PICTURES_RECORD, {"recordings": shown, "provenance": provenance()})
    return [folder / name for name in shown]


def examples(recordings: Sequence[Recording]) -> list[Recording]:
    """Return one recording of each class of each data set."""
    rates: dict[str, Counter[float]] = {}
    for recording in recordings:
        rates.setdefault(recording.dataset, Counter())[recording.sampling_rate_hz] += 1
    chosen: dict[tuple[str, str], Recording] = {}

    def unlike_the_rest(recording: Recording) -> tuple[bool, str]:
        usual_hz = rates[recording.dataset].most_common(1)[0][0]
        return recording.sampling_rate_hz != usual_hz, recording.recording_id

    for recording in sorted(recordings, key=unlike_the_rest):
        chosen.setdefault((recording.dataset, recording.fault_location or UNLABELLED), recording)
    return [chosen[key] for key in sorted(chosen)]


def draw(recording: Recording) -> Figure:
    """Draw the first channel of a recording: a few turns, its spectrum, its envelope spectrum."""
    rate_hz = recording.sampling_rate_hz
    samples = recording.read(0, round(EXCERPT_S * rate_hz))[0].astype(np.float64)
    samples -= samples.mean()
    figure = Figure(figsize=(9, 8), layout="constrained")
    waveform, spectrum, envelope = figure.subplots(3, 1)
    speed = "" if recording.shaft_speed_rpm is None else f", {recording.shaft_speed_rpm:g} rpm"
    label = (recording.fault_location or UNLABELLED).replace("_", " ")
    figure.suptitle(
        f"{recording.dataset}: {label}\n{recording.recording_id}, channel {recording.channels[0]}, "
        f"{rate_hz:g} Hz{speed}",
        parse_math=False,  # names are text, whatever signs they hold
    )
    _draw_waveform(waveform, recording, samples)
    _draw_spectrum(spectrum, rate_hz, samples)
    _draw_envelope(envelope, recording, samples)
    return figure


def _draw_waveform(axes: Axes, recording: Recording, samples: np.ndarray) -> None:
    duration_s = WAVEFORM_TURNS / recording.shaft_rate_hz if recording.shaft_rate_hz else 0.2
    shown = samples[: max(2, round(duration_s * recording.sampling_rate_hz))]
    axes.plot(np.arange(len(shown)) / recording.sampling_rate_hz, shown, linewidth=0.6, color="black")
    axes.set(xlabel="time (s)", ylabel=f"as recorded ({recording.unit or 'unit unknown'})")


def _draw_spectrum(axes: Axes, rate_hz: float, samples: np.ndarray) -> None:
    segment = min(len(samples), round(rate_hz / SPECTRUM_STEP_HZ))
    frequency_hz, density = welch(samples, rate_hz, nperseg=segment)
    decibel = 10.0 * np.log10(density + np.finfo(float).tiny)
    axes.plot(frequency_hz[1:], decibel[1:], linewidth=0.8, color="black")
    axes.set(xlabel="frequency (Hz)", ylabel="power density (dB)", xlim=(0, rate_hz / 2))


def _draw_envelope(axes: Axes, recording: Recording, samples: np.ndarray) -> None:
    frequency_hz, amplitude = envelope_spectrum(samples, recording.sampling_rate_hz)
    lines_hz = fault_lines_hz(recording)
    limit_hz = min(1.2 * max((max(family) for family in lines_hz.values()), default=500.0), frequency_hz[-1])
    shown = (frequency_hz > 0) & (frequency_hz <= limit_hz)
    for name, family in lines_hz.items():
        for harmonic, line_hz in enumerate(family):
            axes.axvline(
                line_hz,
                color=LINE_COLOURS[name],
                linestyle="--",
                linewidth=0.9,
                alpha=0.8,
                label=name if harmonic == 0 else None,
            )
    axes.plot(frequency_hz[shown], amplitude[shown], linewidth=0.8, color="black")
    axes.set(xlabel="envelope frequency (Hz)", ylabel="relative amplitude", xlim=(0, limit_hz))
    if lines_hz:
        axes.legend(loc="upper right", ncols=len(lines_hz), fontsize="small")
    else:
        axes.set_title("speed unknown: no fault lines", fontsize="small", loc="right")


def fault_lines_hz(recording: Recording) -> dict[str, list[float]]:
    """Return where the lines of each family lie, harmonics included; empty if the speed is unknown."""
    shaft_hz = recording.shaft_rate_hz
    if shaft_hz is None:
        return {}
    orders = {"shaft": 1.0}
    if recording.fault_orders is not None:
        known = recording.fault_orders
        orders |= {"BPFO": known.bpfo, "BPFI": known.bpfi, "2xBSF": known.bsf2}
    return {
        name: [order * shaft_hz * harmonic for harmonic in range(1, HARMONICS + 1)]
        for name, order in orders.items()
    }
