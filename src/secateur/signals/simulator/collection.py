"""A collection of simulated recordings: rigs, specimens, loads and defect sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from secateur.core.errors import ConfigError
from secateur.core.seeds import generator
from secateur.signals.recording import FAULT_LOCATIONS, ArraySource, Recording
from secateur.signals.simulator.parameters import (
    DEFAULT_RIGS,
    DefectPhysics,
    Measurement,
    Mode,
    Rig,
)
from secateur.signals.simulator.physics import background, knocks, ring, through_structure, tones

DATASET = "simulated"
_LETTERS = {"normal": "n", "inner_race": "ir", "outer_race": "or", "ball": "b"}


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """One bearing in one rig.

    Parameters
    ----------
    name : str
        Its group in splits.
    rig : Rig
        With the mode frequencies and gains of this mounting.
    location : str
        Fault location, or "normal".
    size_mil : float or None
        Defect diameter.
    snr_db : float or None
        Power of the knocks over the rest.
    """

    name: str
    rig: Rig
    location: str
    size_mil: float | None = None
    snr_db: float | None = None


def simulated_recordings(
    seed: int,
    *,
    rigs: Sequence[Rig] = DEFAULT_RIGS,
    physics: DefectPhysics | None = None,
    measurement: Measurement | None = None,
) -> list[Recording]:
    """Simulate every specimen of every rig at every load.

    Parameters
    ----------
    seed : int
        The same seed gives the same samples; a recording does not depend on which others are made.
    rigs : sequence of Rig
        Machines; :data:`~secateur.signals.simulator.parameters.SLEWING_RIG` is one that turns slowly.
    physics : DefectPhysics, optional
    measurement : Measurement, optional

    Returns
    -------
    list of Recording
        One channel each, with speed, load, defect size and fault orders known.

    Raises
    ------
    ConfigError
        If a mode lies beyond the Nyquist rate or there is not one ratio for each size.
    """
    physics = physics if physics is not None else DefectPhysics()
    measurement = measurement if measurement is not None else Measurement()
    _check(rigs, physics, measurement)
    return [
        _record(specimen, load, physics, measurement, seed)
        for rig in rigs
        for specimen in _specimens(rig, physics, measurement, seed)
        for load in range(len(rig.speeds_rpm))
    ]


def _check(rigs: Sequence[Rig], physics: DefectPhysics, measurement: Measurement) -> None:
    if len(physics.sizes_mil) != len(physics.snr_db):
        raise ConfigError(
            f"{len(physics.sizes_mil)} defect sizes and {len(physics.snr_db)} signal-to-noise ratios; "
            "give one for each size."
        )
    for rig in rigs:
        for mode in rig.modes:
            if not 0.0 < mode.frequency_hz < measurement.sampling_rate_hz / 2.2:
                raise ConfigError(
                    f"rig {rig.name}: mode at {mode.frequency_hz:g} Hz, sampled at "
                    f"{measurement.sampling_rate_hz:g} Hz; modes must lie below the rate over 2.2."
                )


def _specimens(rig: Rig, physics: DefectPhysics, measurement: Measurement, seed: int) -> list[Specimen]:
    specimens = []
    for location in FAULT_LOCATIONS:
        is_normal = location == "normal"
        sizes = [(None, None)] if is_normal else list(zip(physics.sizes_mil, physics.snr_db, strict=True))
        count = measurement.normal_specimens if is_normal else measurement.fault_specimens
        for size, snr_db in sizes:
            for number in range(1, count + 1):
                size_text = "" if size is None else f"{size:03g}"
                name = f"sim_{rig.name}_{_LETTERS[location]}{size_text}_{number}"
                specimens.append(
                    Specimen(
                        name=name,
                        rig=_mounted(rig, measurement, generator(seed, name, "mounting")),
                        location=location,
                        size_mil=size,
                        snr_db=snr_db,
                    )
                )
    return specimens


def _mounted(rig: Rig, measurement: Measurement, rng: np.random.Generator) -> Rig:
    spread = measurement.mode_spread
    modes = tuple(
        Mode(
            frequency_hz=mode.frequency_hz * float(np.exp(spread * rng.standard_normal())),
            damping_ratio=mode.damping_ratio,
            gain=mode.gain * float(np.exp(10.0 * spread * rng.standard_normal())),
        )
        for mode in rig.modes
    )
    return replace(rig, modes=modes)


def _record(
    specimen: Specimen, load: int, physics: DefectPhysics, measurement: Measurement, seed: int
) -> Recording:
    recording_id = f"{specimen.name}_load{load}"
    rng = generator(seed, recording_id)
    rig, rate_hz = specimen.rig, measurement.sampling_rate_hz
    n_samples = round(measurement.duration_s * rate_hz)
    nominal_rpm = rig.speeds_rpm[load]
    true_rpm = nominal_rpm * (1.0 + measurement.speed_spread * rng.standard_normal())
    shaft_rate_hz = true_rpm / 60.0
    response = ring(rig.modes, rate_hz)
    waveform = background(response, rig.structural_noise, n_samples, rng)
    waveform += tones(shaft_rate_hz, rig.shaft_amplitudes, rig.gear, n_samples, rate_hz, rng)
    if specimen.size_mil is not None and specimen.snr_db is not None:
        force = knocks(
            specimen.location, specimen.size_mil, shaft_rate_hz, rig, physics, n_samples, rate_hz, rng
        )
        rung = through_structure(force, response)
        ratio = 10.0 ** (specimen.snr_db / 20.0) * (1.0 + physics.load_gain * load)
        waveform += rung * (ratio * np.sqrt(np.mean(waveform**2) / np.mean(rung**2)))
    waveform *= 10.0 ** (measurement.gain_spread_db * rng.standard_normal() / 20.0)
    return Recording(
        recording_id=recording_id,
        source=ArraySource(waveform.astype(np.float32)[None, :]),
        channels=("acceleration",),
        sampling_rate_hz=rate_hz,
        group_id=specimen.name,
        dataset=DATASET,
        fault_location=specimen.location,  # type: ignore[arg-type]
        shaft_speed_rpm=round(true_rpm) if nominal_rpm > 100.0 else round(true_rpm, 2),
        nominal_speed_rpm=nominal_rpm,
        load=float(load),
        fault_size_mil=specimen.size_mil,
        position="6:00" if specimen.location == "outer_race" else None,
        fault_orders=rig.bearing.orders,
        notes=f"simulated rig '{rig.name}', seed {seed}",
    )
