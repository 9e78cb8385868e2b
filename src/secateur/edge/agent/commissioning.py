"""A baseline learned from a recording instead of from the first hours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from secateur.core.errors import CheckpointError, ConfigError, DataError
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.file import read_config
from secateur.edge.agent.pipeline import SensorPath
from secateur.edge.agent.signal.quality import is_rate_of
from secateur.edge.agent.sources.recording import open_recording
from secateur.edge.agent.state.baseline import baseline_file


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a recording gave.

    Attributes
    ----------
    used, passed_over : int
        Bursts that were sound, and those that were not.
    """

    used: int
    passed_over: int


def open_path(config_file: Path, place: str) -> tuple[Path, SensorPath]:
    """Return the state folder of an agent, and what is kept there of a sensor, its baseline above all.

    Parameters
    ----------
    config_file : Path
    place : str
        ``MACHINE/SENSOR``.

    Raises
    ------
    ConfigError
        If there is no such sensor.
    """
    config = read_config(config_file)
    machine_name, _, sensor_name = place.partition("/")
    places = config.places()
    if (machine_name, sensor_name) not in places:
        known = ", ".join("/".join(names) for names in places)
        raise ConfigError(f"there is no sensor '{place}'; there are {known}.")
    machine, sensor = places[machine_name, sensor_name]
    file = baseline_file(config.state_folder, machine_name, sensor_name)
    return config.state_folder, SensorPath(machine, sensor, baseline_file=file)


def learn_from(
    path: SensorPath, recording: Path, *, channel: int = 0, shaft_rpm: float | None = None
) -> Learned:
    """Learn the baseline of a sensor from a recording, and save it.

    Raises
    ------
    ConfigError
        If the recording has another rate, or is shorter than one burst.
    DataError
        If it cannot be read, or none of its bursts is sound.
    CheckpointError
        If the baseline is damaged, and not forgotten yet.
    """
    if path.baseline.trouble:
        raise CheckpointError(f"{path.baseline.trouble.rstrip('.')} with --forget.")
    stored = open_recording(recording, channel)
    rate_hz = path.sensor.sampling_rate_hz
    if stored.sampling_rate_hz is not None and not is_rate_of(path.sensor, stored.sampling_rate_hz):
        raise ConfigError(
            f"{recording} has {stored.sampling_rate_hz:g} Hz; the sensor is set up for {rate_hz:g} Hz."
        )
    used = passed_over = 0
    reasons: set[str] = set()
    for number, (start_s, samples) in enumerate(stored.cut(path.sensor.burst_samples, rate_hz)):
        burst = Burst(
            machine=path.machine.name,
            sensor=path.sensor.name,
            samples=samples,
            measured_unix_s=start_s,
            timed=False,
            speed_rpm=shaft_rpm,
            number=number,
        )
        quality = path.process(burst, running_s=start_s).result["quality"]
        usable = quality["usable"]
        reasons.update(quality["flags"])
        used, passed_over = used + usable, passed_over + (not usable)
    if used + passed_over == 0:
        raise ConfigError(f"{recording} is shorter than one burst of {path.sensor.burst_samples} samples.")
    if used == 0:
        raise DataError(
            f"none of the {passed_over} bursts of {recording} is sound ({', '.join(sorted(reasons))}); "
            "give a recording of the healthy machine."
        )
    path.baseline.save()
    return Learned(used=used, passed_over=passed_over)
