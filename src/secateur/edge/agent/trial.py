"""Tries everything that a configuration names before the agent starts, and tells all troubles at once."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from secateur.bundle.signature import read_public_key
from secateur.core.errors import CheckpointError, ConfigError, SecateurError
from secateur.core.extras import explained
from secateur.core.locks import LOCK_SUFFIX, sole_owner
from secateur.edge.agent.agent import DATABASE_FILE
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.connections import (
    Broker,
    FolderSource,
    ModbusSpeed,
    MqttSource,
    ReplaySource,
    Sink,
    Source,
    Tls,
)
from secateur.edge.agent.config.consistency import contradictions, speed_feeds
from secateur.edge.agent.config.file import read_entries, require_none
from secateur.edge.agent.config.machines import Machine, Sensor
from secateur.edge.agent.config.parts import Kind, Part, kind_of
from secateur.edge.agent.config.secret import Secret
from secateur.edge.agent.config.settings import AgentConfig
from secateur.edge.agent.connect import open_sink, open_source
from secateur.edge.agent.http.address import bound_socket
from secateur.edge.agent.models.bundles import bundle_troubles, named_bundles, store_of, tried_bundle
from secateur.edge.agent.outbox.database import NEEDED_TO_START_BYTES
from secateur.edge.agent.outbox.repair import require_own
from secateur.edge.agent.patience import NoAnswer, answered
from secateur.edge.agent.pipeline import SensorPath
from secateur.edge.agent.sources.base import Inlet
from secateur.edge.agent.state.baseline import Baseline, baseline_file, basis_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is wrong with something that a configuration names.

    Attributes
    ----------
    told : str
    stops : bool
        Whether an agent cannot start with it. A folder on a share that hangs is waited for while it runs.
    """

    told: str
    stops: bool = True


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A configuration of which everything was tried.

    Attributes
    ----------
    config : AgentConfig
    bundles : dict
        Version that would be at work, by the name that sensors give.
    """

    config: AgentConfig
    bundles: dict[str, str]


def check(path: Path) -> Checked:
    """Read a configuration and try all that it names, also on behalf of an agent that runs; change nothing.

    Raises
    ------
    ConfigError
        If anything is wrong; the message holds all of it.
    """
    config = read_entries(path)
    require_none(path, _told("state_folder", partial(os.access, config.state_folder, os.F_OK)))  # it may hang
    store = store_of(config.state_folder, config.models)
    bundles = [tried_bundle(store, name) for name in named_bundles(config)]
    troubles = [
        *contradictions(config),
        *(trouble.told for trouble in tried(config, running=_is_in_use(config.state_folder))),
        *unstorable(config.state_folder),
        *idle(config),
        *unseen_lines(config),
        *damaged_baselines(config),
        *bundle_troubles(config, bundles),
    ]
    require_none(path, troubles)
    return Checked(
        config=config,
        bundles={bundle.name: bundle.runtime.version for bundle in bundles if bundle.runtime is not None},
    )


def usable_config(path: Path, *, running: bool = False) -> AgentConfig:
    """Read a configuration and try what an agent cannot start without; the log tells of the rest.

    Parameters
    ----------
    path : Path
    running : bool
        Whether an agent runs on it already, and has its port.

    Raises
    ------
    ConfigError
        If anything of that is wrong; the message holds all of it.
    """
    config = read_entries(path)
    found = list(tried(config, running=running))
    require_none(path, [*contradictions(config), *(trouble.told for trouble in found if trouble.stops)])
    for told in (*(trouble.told for trouble in found if not trouble.stops), *idle(config)):
        log.warning("%s", told)
    return config


def tried(config: AgentConfig, *, running: bool = False) -> Iterator[Trouble]:
    """Yield what is wrong with files, folders, secrets, keys, packages, recordings and the port.

    Parameters
    ----------
    config : AgentConfig
    running : bool
        Whether an agent runs on it already, and has its port.
    """
    yield from _tried("", config, leave=("sources", "sinks"))
    places = {place: sensor.burst_samples for place, (_, sensor) in config.places().items()}
    inlet = Inlet(submit=lambda _: None, set_speed=lambda *_: None, places=places)
    for number, source in enumerate(config.sources):
        label = f"sources.{number}"
        found = list(_tried(label, source))
        lost = isinstance(source, ReplaySource) and (source.machine, source.sensor) not in places
        if not found and not lost:  # of a place that is not there the contradictions tell
            found = list(_stopping(label, partial(open_source, source, inlet, config, identity="trial")))
        yield from found
    for number, sink in enumerate(config.sinks):
        label = f"sinks.{number}"
        found = list(_tried(label, sink))
        yield from found or _stopping(label, partial(_open_and_close, sink, config))
    if not running:
        yield from _stopping("http", lambda: bound_socket(config.http).close())


def unstorable(state_folder: Path) -> Iterator[str]:
    """Yield why an agent could store nothing in a folder that it can use as such.

    A start finds these by itself, and says so as a failure that may pass: a disk is full, and then it is not.
    """
    try:
        _require_folder(state_folder)
    except ConfigError:
        return
    yield from _told("state_folder", partial(_require_room, state_folder))
    if (state_folder / DATABASE_FILE).exists():
        yield from _told("state_folder", partial(require_own, state_folder / DATABASE_FILE))
    for path in state_folder.rglob("*"):
        if path.exists() and not os.access(path, os.W_OK):
            yield f"state_folder: this user may not write {path}; run 'chown' on all that is in the folder"
            return


def idle(config: AgentConfig) -> Iterator[str]:
    """Yield what would be there in vain: no bursts, no speed for a bearing, a certificate that has ended."""
    for kind, links in (("sources", config.sources), ("sinks", config.sinks)):
        for number, link in enumerate(links):
            with contextlib.suppress(NoAnswer):  # of that the trial tells
                if ended := answered(partial(_ended, link)):
                    yield f"{kind}.{number}.tls: {ended}"
    anywhere = config.http.token is not None or any(
        isinstance(source, MqttSource | FolderSource) for source in config.sources
    )
    given = {
        (source.machine, source.sensor)
        for source in config.sources
        if not isinstance(source, MqttSource | FolderSource | ModbusSpeed) and source.sensor is not None
    }
    fed = {machine for _, machine in speed_feeds(config)}
    for place, (machine, sensor) in config.places().items():
        label = f"sensor {'/'.join(place)}"
        if not anywhere and place not in given:
            yield f"{label}: no source brings its bursts; give one, or http.token for uploads"
        told_with_bursts = anywhere and place not in given
        if sensor.bearing is None or machine.speed.rpm is not None or machine.name in fed or told_with_bursts:
            continue
        yield (
            f"{label}: it has a bearing, but nobody gives the speed of {machine.name}; give speed.rpm or a "
            "feed, or leave bearing out"
        )


def unseen_lines(config: AgentConfig) -> Iterator[str]:
    """Yield the sensors whose bursts cannot show the lines of a race: those that noise does not give."""
    lost: dict[str, list[str]] = {}  # sensors that are set up alike are asked once
    for (machine_name, sensor_name), (machine, sensor) in config.places().items():
        rpm, rate_hz = machine.speed.rpm, sensor.sampling_rate_hz
        if sensor.bearing is None or rpm is None:
            continue
        alike = f"{machine.speed} {sensor.model_copy(update={'name': ''})}"
        if alike not in lost:
            lost[alike] = _lost_to_noise(machine, sensor)
        if lost[alike]:
            yield (
                f"sensor {machine_name}/{sensor_name}: at {rpm:g} rpm a burst of "
                f"{sensor.burst_samples / rate_hz:.3g} s at {rate_hz:g} Hz shows no lines of "
                f"{' and '.join(lost[alike])}; a slow shaft needs longer bursts, a fast one a higher rate"
            )


def _lost_to_noise(machine: Machine, sensor: Sensor) -> list[str]:
    noise = np.random.default_rng(0).standard_normal(sensor.burst_samples) * 0.1 * (sensor.full_scale or 1.0)
    burst = Burst(
        machine=machine.name,
        sensor=sensor.name,
        samples=noise.astype(np.float32),
        measured_unix_s=time.time(),
    )
    found = SensorPath(machine, sensor).process(burst, running_s=0.0).result["indicators"]
    return [name for name in ("bpfo", "bpfi") if found and f"line_{name}" not in found]


def _ended(link: Source | Sink) -> str | None:
    if not isinstance(link, Broker) or link.tls is None:
        return None
    from secateur.edge.agent.mqtt import ended_certificate

    return ended_certificate(link.tls)


def damaged_baselines(config: AgentConfig) -> Iterator[str]:
    """Yield the sensors that an agent would watch without their baseline, since that cannot be read."""
    for (machine, sensor), (_, settings) in config.places().items():
        file = baseline_file(config.state_folder, machine, sensor)
        yield from _told(f"sensor {machine}/{sensor}", partial(_require_baseline, settings, file))


def _tried(label: str, part: Part, *, leave: Collection[str] = ()) -> Iterator[Trouble]:
    """Try what a part of the configuration names on this machine, down to its last entry."""
    found: list[Trouble] = []
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        for number, entry in enumerate(value if isinstance(value, tuple) else (value,)):
            place = ".".join(filter(None, (label, name, str(number) if isinstance(value, tuple) else "")))
            if isinstance(entry, Secret):
                found += _stopping(place, entry.read)
            elif isinstance(entry, Part) and name not in leave:
                found += _tried(place, entry)
            elif isinstance(entry, Path):
                kind = kind_of(field)
                may_hang = kind is Kind.FOLDER and not isinstance(part, AgentConfig)
                found += _stopping(place, partial(_OPENERS[kind], entry), may_hang=may_hang)
    if isinstance(part, Tls) and not found:
        found += _stopping(label, partial(_require_certificates, part))
    yield from found


def _stopping(label: str, act: Callable[[], object], *, may_hang: bool = False) -> Iterator[Trouble]:
    try:
        with explained("this part"):
            answered(act)
    except NoAnswer as error:
        yield Trouble(told=f"{label}: {str(error).rstrip('.')}", stops=not may_hang)
    except (SecateurError, OSError, ValueError) as error:
        yield Trouble(told=f"{label}: {str(error).rstrip('.')}")


def _told(label: str, act: Callable[[], object]) -> Iterator[str]:
    return (trouble.told for trouble in _stopping(label, act))


def _open_and_close(sink: Sink, config: AgentConfig) -> None:
    open_sink(sink, config, lambda _: 0, identity="trial").close()


def _require_certificates(tls: Tls) -> None:
    from secateur.edge.agent.mqtt import tls_context

    tls_context(tls)


def _require_baseline(sensor: Sensor, file: Path) -> None:
    found = Baseline(sensor.commissioning, file, basis=basis_of(sensor))
    if found.trouble:
        raise CheckpointError(found.trouble)


def _require_file(file: Path) -> None:
    if not file.is_file():
        what = "is a folder, and a file is needed" if file.is_dir() else "is missing"
        raise ConfigError(f"the file {file} {what}; put it there or correct the path")
    if not os.access(file, os.R_OK):
        raise ConfigError(f"this user may not read {file}; run 'chown' or 'chmod' on it")


def _require_folder(folder: Path) -> None:
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
        is_folder, writable = there.is_dir(), os.access(there, os.W_OK | os.X_OK)
        is_read_only = bool(os.statvfs(there).f_flag & os.ST_RDONLY) if is_folder else False
    except OSError as error:
        raise ConfigError(f"{folder} cannot be used ({error.strerror}); name another") from None
    if not is_folder:
        raise ConfigError(
            f"{folder} must be a folder, but {there} is none; move it away, or name another folder"
        )
    if is_read_only:
        raise ConfigError(
            f"{there} lies on a disk that is mounted read-only, as one that fails may be; mount it for "
            "writing, or name another"
        )
    if not writable:
        raise ConfigError(
            f"this user may not write in {there}; run 'chown' or 'chmod' on it, or name another"
        )


def _require_room(folder: Path) -> None:
    """Check that the disk gives what a start needs; nothing of it stays."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as probe:
            os.posix_fallocate(probe.fileno(), 0, NEEDED_TO_START_BYTES)
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise ConfigError(
            f"a start needs {NEEDED_TO_START_BYTES >> 10} KiB in {there}, and the disk does not give them: "
            f"{'it is full, or its quota is used up' if is_full else error.strerror}; free some, or name "
            "another folder"
        ) from None


_OPENERS: dict[Kind, Callable[[Path], object]] = {
    Kind.FILE: _require_file,
    Kind.FOLDER: _require_folder,
    Kind.PUBLIC_KEY: read_public_key,
}


def _is_in_use(state_folder: Path) -> bool:
    try:
        if not (state_folder / LOCK_SUFFIX).exists():
            return False
        with sole_owner(state_folder):
            return False
    except ConfigError:
        return True
    except OSError:  # a folder that cannot be used is told as such
        return False
