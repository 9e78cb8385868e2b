"""The whole configuration: machines, connections, outbox, HTTP interface and models."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from secateur.edge.agent.config.addresses import Host, Network
from secateur.edge.agent.config.connections import Sink, Source
from secateur.edge.agent.config.machines import Machine, Sensor
from secateur.edge.agent.config.parts import Folder, Name, Part, Positive, PublicKey
from secateur.edge.agent.config.secret import Token


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
    token : Token or None
        Asked for by everything that changes state; without it nothing can be changed over HTTP.
    read_token : Token or None
        Asked for by everything else too, health and the files of the dashboard aside.
    largest_upload_mib : float
    requests_per_s : float
        Of one client, on average; bursts of ten times as many are allowed.
    trusted_proxies : tuple of str
        Addresses and networks of proxies whose ``X-Forwarded-For`` tells who the client is; nobody else's is
        believed.
    """

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    token: Token | None = None
    read_token: Token | None = None
    largest_upload_mib: Positive = 64.0
    requests_per_s: Positive = 50.0
    request_timeout_s: Positive = 20.0
    trusted_proxies: tuple[Network, ...] = ()

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

    trusted_keys: tuple[PublicKey, ...] = ()
    install_folder: Folder | None = None
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
    state_folder: Folder = Path("state")
    machines: Annotated[tuple[Machine, ...], Field(min_length=1)]
    sources: tuple[Source, ...] = ()
    sinks: tuple[Sink, ...] = ()
    outbox: Outbox = Outbox()
    http: Http = Http()
    models: Models = Models()
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def places(self) -> dict[tuple[str, str], tuple[Machine, Sensor]]:
        """Return machine and sensor by their two names."""
        return {
            (machine.name, sensor.name): (machine, sensor)
            for machine in self.machines
            for sensor in machine.sensors
        }
