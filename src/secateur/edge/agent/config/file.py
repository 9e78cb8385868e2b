"""The whole configuration file, read and checked."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from secateur.core.documents import read_yaml
from secateur.core.errors import ConfigError, DataError
from secateur.edge.agent.config.connections import PREFIX_PATTERN, TOPIC_PATTERN, Broker, Sink, Source
from secateur.edge.agent.config.machines import Machine, Sensor
from secateur.edge.agent.config.parts import NAME_PATTERN, Name, Part, Positive, Secret

_LARGEST_FILE = 4 << 20


class Outbox(Part):
    """Bounds of the store of results that wait for their sinks.

    Attributes
    ----------
    max_mib : int
        Most that waiting results take.
    max_age_h : float
        A result that waited longer, in hours of running, is dropped.
    drop : {"oldest", "newest"}
        Which result goes where the store is full. Alarms go last in either case.
    replay_per_s : float
        Most results a second while a backlog is sent.
    historical_after_s : float
        A result that waited longer is marked as historical.
    """

    max_mib: Annotated[int, Field(ge=1, le=1 << 20)] = 512
    max_age_h: Positive = 24.0 * 14
    drop: Literal["oldest", "newest"] = "oldest"
    replay_per_s: Positive = 500.0
    historical_after_s: Positive = 10.0


class Http(Part):
    """The HTTP interface.

    Attributes
    ----------
    host : str
        Loopback by default; another address needs a token.
    port : int
        0: any free one.
    token : Secret or None
        Asked for by everything that changes state; without it nothing can be changed over HTTP.
    read_token : Secret or None
        Asked for by everything else too, health and metrics aside.
    largest_upload_mib : float
    requests_per_s : float
        Of one client, on average; bursts of ten times as many are allowed.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    token: Secret | None = None
    read_token: Secret | None = None
    largest_upload_mib: Positive = 64.0
    requests_per_s: Positive = 50.0
    request_timeout_s: Positive = 20.0

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @model_validator(mode="after")
    def _token_beyond_loopback(self) -> Http:
        if not self.is_loopback and self.token is None:
            raise ValueError(f"http.host {self.host} can be reached from elsewhere; give http.token")
        return self


class Models(Part):
    """Installed bundles.

    Attributes
    ----------
    trusted_keys : tuple of Path
        PEM files of public keys; a bundle must be signed by one of them. Without any, none can be installed
        over HTTP.
    accept_unfit : bool
        Whether a bundle is used that the run which made it found unfit for use.
    shadow_bursts : int
        So many bursts a new bundle runs beside the active one.
    least_agreement : float
        Share of those bursts on which both must say the same before the new one is activated by itself.
    activate : {"by_hand", "after_shadow"}
    roll_back_after : int
        The former bundle comes back after so many failed diagnoses in a row.
    """

    trusted_keys: tuple[Path, ...] = ()
    install_folder: Path | None = None
    accept_unfit: bool = False
    shadow_bursts: Annotated[int, Field(ge=1)] = 100
    least_agreement: Annotated[float, Field(ge=0, le=1)] = 0.9
    activate: Literal["by_hand", "after_shadow"] = "by_hand"
    roll_back_after: Annotated[int, Field(ge=1)] = 3


class AgentConfig(Part):
    """The whole file.

    Attributes
    ----------
    name : str
        Of this agent.
    state_folder : Path
        Outbox, baselines, alarms, trends and bundles; relative to the file.
    """

    name: Name = "secateur"
    state_folder: Path = Path("state")
    machines: Annotated[tuple[Machine, ...], Field(min_length=1)]
    sources: tuple[Source, ...] = ()
    sinks: tuple[Sink, ...] = ()
    outbox: Outbox = Outbox()
    http: Http = Http()
    models: Models = Models()
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _consistent(self) -> AgentConfig:
        names = [machine.name for machine in self.machines]
        if len(set(names)) < len(names):
            raise ValueError("two machines have one name")
        clients = [
            (link.host, link.port, link.client_id)
            for link in (*self.sources, *self.sinks)
            if isinstance(link, Broker) and link.client_id is not None
        ]
        if len(set(clients)) < len(clients):
            raise ValueError(
                "two connections to one broker share a client_id, and would end each other; give each its own"
            )
        sinks = [sink.name for sink in self.sinks]
        if len(set(sinks)) < len(sinks):
            raise ValueError("two sinks have one name; give each its own")
        places = self.places()
        for source in self.sources:
            machine, sensor = getattr(source, "machine", None), getattr(source, "sensor", None)
            if machine is not None and machine not in names:
                raise ValueError(
                    f"source {source.type} names machine {machine}; there are {', '.join(names)}"
                )
            if sensor is not None and (machine, sensor) not in places:
                raise ValueError(f"source {source.type} names {machine}/{sensor}, which is no sensor here")
        return self

    def places(self) -> dict[tuple[str, str], tuple[Machine, Sensor]]:
        """Return machine and sensor by their two names."""
        return {
            (machine.name, sensor.name): (machine, sensor)
            for machine in self.machines
            for sensor in machine.sensors
        }


def read_config(path: Path) -> AgentConfig:
    """Read a configuration file; relative paths in it start at its folder.

    Raises
    ------
    ConfigError
        If it is missing, no YAML, or holds unknown, missing or impossible values; the message names all of
        them.
    """
    path = Path(path)
    try:
        value = read_yaml(path, limit=_LARGEST_FILE)
    except DataError as error:
        raise ConfigError(f"the configuration cannot be used: {error}") from None
    return parse_config(value, path)


def parse_config(value: object, path: Path) -> AgentConfig:
    """Check the content of a configuration file; see :func:`read_config`."""
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds no mapping; it must name at least 'machines'. See docs/agent.md.")
    try:
        config = AgentConfig.model_validate(value)
    except ValidationError as error:
        told = "; ".join(f"{_place(entry['loc'])}: {_reason(entry)}" for entry in _causes(error)[:8])
        raise ConfigError(f"{path}: {told}. See docs/agent.md for what is allowed.") from None
    return _resolved(config, path.absolute().parent)


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) or "the file"


def _causes(error: ValidationError) -> list[Any]:
    """Return what is wrong, without lists that are wrong only because of an entry."""
    found = error.errors(include_url=False)
    return [
        entry
        for entry in found
        if not any(
            len(other["loc"]) > len(entry["loc"]) and other["loc"][: len(entry["loc"])] == entry["loc"]
            for other in found
        )
    ]


_ALLOWED = {
    NAME_PATTERN: "letters, digits, '.', '_' and '-', at most 64, a letter or digit first",
    TOPIC_PATTERN: "a topic without wildcards that does not begin with '$'",
    PREFIX_PATTERN: "a topic without wildcards, braces and empty levels that does not begin with '$'",
}


def _reason(entry: Any) -> str:
    context = entry.get("ctx", {})
    plain = {
        "extra_forbidden": "there is no such key",
        "missing": "must be given",
        "too_short": f"must hold at least {context.get('min_length')}",
        "string_type": "must be text; write it in quotes",
    }
    told = plain.get(entry["type"], entry["msg"])
    if entry["type"] == "string_pattern_mismatch":
        allowed = _ALLOWED.get(context["pattern"], entry["msg"])
        told = f"'{str(entry['input'])[:80]}' is not allowed here; {allowed}"
    return str(told).removeprefix("Value error, ").rstrip(".")


def require_surroundings(part: Part) -> None:
    """Check that what a configuration names can be used: secrets, keys, certificates, recordings, folders.

    Folders are made when they are needed.

    Raises
    ------
    ConfigError
        If an environment variable is not set, a file is missing, or a folder can be neither made nor written.
    """
    if isinstance(part, Secret):
        part.read()
        return
    for name in type(part).model_fields:
        value = getattr(part, name)
        for entry in value if isinstance(value, tuple) else (value,):
            if isinstance(entry, Part):
                require_surroundings(entry)
            elif isinstance(entry, Path) and name.endswith("folder"):
                _require_folder(name, entry)
            elif isinstance(entry, Path) and not entry.is_file():
                what = "is a folder, and a file is needed" if entry.is_dir() else "is missing"
                raise ConfigError(f"{name}: the file {entry} {what}; put it there or correct the path.")


def _require_folder(name: str, folder: Path) -> None:
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
        is_folder, writable = there.is_dir(), os.access(there, os.W_OK | os.X_OK)
    except OSError as error:
        raise ConfigError(f"{name}: {folder} cannot be used ({error.strerror}); name another.") from None
    if not is_folder:
        raise ConfigError(
            f"{name}: {folder} must be a folder, but {there} is none; move it away, or name another folder."
        )
    if not writable:
        raise ConfigError(
            f"{name}: this user may not write in {there}; run 'chown' or 'chmod' on it, or name another."
        )


def _resolved(part: Part, folder: Path) -> Part:
    """Return a part with all its relative paths made absolute."""
    changed: dict[str, object] = {}
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Path):
            if str(value).startswith("~"):
                raise ConfigError(f"{name}: '{value}' begins with '~', which is not expanded; write it out.")
            changed[name] = folder / value
        elif isinstance(value, Part):
            changed[name] = _resolved(value, folder)
        elif isinstance(value, tuple) and value:
            changed[name] = tuple(
                _resolved(entry, folder)
                if isinstance(entry, Part)
                else folder / entry
                if isinstance(entry, Path)
                else entry
                for entry in value
            )
    return part.model_copy(update=changed)
