"""A baseline learned from a recording instead of from the first hours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from secateur.core.errors import CheckpointError, ConfigError, DataError
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.file import read_config
from secateur.edge.agent.pipeline import SensorPath
from secateur.edge.agent.sources.recording import IN_COMMAND, open_recording
from secateur.edge.agent.state.baseline import baseline_file
from secateur.signals.sources.stated import SPEED_TOLERANCE, Statement, agreed


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a recording gave.

    Attributes
    ----------
    used, passed_over : int
        Bursts that the baseline was learned from, and those that are not sound, that raise a level by
        themselves, or that fall into an operating band that was learned before.
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
    path: SensorPath,
    recording: Path,
    *,
    channel: int | None = None,
    shaft_rpm: float | None = None,
    forget: bool = False,
) -> Learned:
    """Learn the baseline of a sensor from a recording, and save it; one that fails leaves what was learned.

    Parameters
    ----------
    path : SensorPath
    recording : Path
    channel : int, optional
        Default: the only one that can be vibration.
    shaft_rpm : float, optional
        Default: the speed that the recording states, else that of the configuration.
    forget : bool
        Whether what was learned before is replaced.

    Raises
    ------
    ConfigError
        If the recording has another rate, is shorter than one burst, or falls into bands alone that are
        learned already, or if the shaft does not turn at such a speed by the configuration.
    DataError
        If it cannot be read, contradicts itself, or none of its bursts is sound.
    CheckpointError
        If the baseline is damaged, and not forgotten yet.
    """
    if path.baseline.trouble and not forget:
        raise CheckpointError(f"{path.baseline.trouble.rstrip('.')} with --forget.")
    stored = open_recording(recording, channel, how=IN_COMMAND)
    rate_hz = path.sensor.sampling_rate_hz
    told = stored.another_rate(rate_hz)
    if told is not None:
        raise ConfigError(f"{recording} {told}; the sensor is set up for {rate_hz:g} Hz.")
    shaft_rpm = _believed_rpm(path, shaft_rpm, stored.speed, recording)
    kept, path.baseline = path.baseline, path.baseline.draft(empty=forget)
    learned_before = path.baseline.learned_bands()
    used = passed_over = known = 0
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
        result = path.process(burst, running_s=start_s).result
        sound, band = result["quality"]["usable"], result["bearing"]["band"]
        calm = path.baseline.is_learned(band) or not path.levels.level
        reasons.update(result["quality"]["flags"] if calm else ["a level is raised"])
        known += sound and band in learned_before
        learned = sound and calm and band not in learned_before
        used, passed_over = used + learned, passed_over + (not learned)
    if used + passed_over == 0:
        raise ConfigError(f"{recording} is shorter than one burst of {path.sensor.burst_samples} samples.")
    if used == 0 and known:
        raise ConfigError(
            f"nothing was learned from {recording}: the baseline is there already. To replace it, add "
            "--forget."
        )
    if used == 0:
        raise DataError(
            f"none of the {passed_over} bursts of {recording} is sound ({', '.join(sorted(reasons))}); "
            "give a recording of the healthy machine."
        )
    kept.take(path.baseline)
    path.baseline = kept
    return Learned(used=used, passed_over=passed_over)


def _believed_rpm(
    path: SensorPath, given_rpm: float | None, stated: Statement | None, recording: Path
) -> float | None:
    """Return the speed that is given or that the recording states; None leaves it to the configuration."""
    given = (
        None
        if given_rpm is None
        else Statement(value=given_rpm, said_by="--shaft-rpm", tolerance=SPEED_TOLERANCE)
    )
    said = agreed([given, stated], "rpm", str(recording))
    if said is None:
        return None
    name, speed = path.machine.name, path.machine.speed
    told = (
        f"--shaft-rpm {said.value:g}"
        if said is given
        else f"{recording}: {said.value:g} rpm by {said.said_by}"
    )
    if not speed.lowest_rpm <= said.value <= speed.highest_rpm:
        raise ConfigError(
            f"{told} is not believed: {name} turns at {speed.lowest_rpm:g} "
            f"to {speed.highest_rpm:g} rpm by its speed.lowest_rpm and speed.highest_rpm."
        )
    fixed = speed.rpm
    if fixed is not None and abs(said.value - fixed) > SPEED_TOLERANCE * max(said.value, fixed):
        raise ConfigError(
            f"{told} contradicts the configuration: {name} turns at {fixed:g} rpm by its "
            "speed.rpm, and the agent looks for fault lines there; allowed: within "
            f"{100 * SPEED_TOLERANCE:.0f} %. Give a recording at that speed, or correct what is wrong."
        )
    return said.value
