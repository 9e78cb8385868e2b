"""``secateur replay``: publish a recording to a broker, as a gateway would."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secateur.cli import options

if TYPE_CHECKING:
    from secateur.edge.agent.config.connections import Broker


def replay(
    file: Annotated[Path, typer.Argument(help="Recording: NPY, NPZ or WAV.", show_default=False)],
    topic: Annotated[
        str, typer.Option(help="Topic of one sensor, such as plant/pump/drive-end/burst.", show_default=False)
    ],
    host: Annotated[str, typer.Option(help="Address of the broker.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the broker.", min=1, max=65535)] = 1883,
    username: Annotated[str | None, typer.Option(help="User name at the broker.", show_default=False)] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File that holds the password of that user.", show_default=False)
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Encrypt with TLS, by the certificates of the system.")
    ] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option(help="Encrypt with TLS, by the certificates in this file.", show_default=False),
    ] = None,
    sampling_rate: Annotated[
        float | None, typer.Option(help="Sampling rate in Hz, where the file does not state it.", min=1.0)
    ] = None,
    burst_samples: Annotated[
        int | None,
        typer.Option(help="Samples in a burst; default: the bursts of the file, or one second.", min=64),
    ] = None,
    channel: Annotated[
        int | None,
        typer.Option(
            help="Number of the channel, from 0; default: the only one that can be vibration.", min=0
        ),
    ] = None,
    speed_factor: Annotated[
        float, typer.Option(help="Times real time; 0: as fast as the broker acknowledges.", min=0.0)
    ] = 1.0,
    shaft_rpm: Annotated[
        float | None, typer.Option(help="Shaft speed in rpm, sent with each burst.", min=0.1)
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Unit of the samples, such as g; sent with each burst.")
    ] = None,
    payload: Annotated[str, typer.Option(help="Form of the messages: raw or json.")] = "raw",
    parts: Annotated[int, typer.Option(help="Messages that a burst is split into.", min=1, max=4096)] = 1,
    as_json: options.AsJson = False,
) -> None:
    """Publish a recording to an MQTT broker burst by burst, for trials and tests."""
    from secateur.core.errors import ConfigError
    from secateur.core.progress import progress, quiet
    from secateur.edge.agent.publish import Replay, publish

    if payload not in ("raw", "json"):
        raise ConfigError(f"--payload '{payload}'; allowed: raw, json.")
    if any(sign in topic for sign in "#+{}") or not topic:
        raise ConfigError(f"--topic '{topic}' must name one sensor, without wildcards or braces.")
    broker = _broker(
        host=host,
        port=port,
        username=username,
        password=None if password_file is None else {"file": password_file},
        tls={"ca_file": ca_file} if tls or ca_file is not None else None,
    )
    wanted = Replay(
        file=file,
        topic=topic,
        sampling_rate_hz=sampling_rate,
        burst_samples=burst_samples,
        payload=payload,
        parts=parts,
        speed_factor=speed_factor,
        speed_rpm=shaft_rpm,
        unit=unit,
        channel=channel,
    )
    with quiet() if as_json else nullcontext(), progress("publishing bursts", None) as bar:
        count = publish(wanted, broker, sent=lambda _: bar.advance())
    typer.echo(json.dumps({"bursts": count, "topic": topic}) if as_json else f"{count} bursts to {topic}")


def _broker(**given: Any) -> Broker:
    from pydantic import ValidationError

    from secateur.core.errors import ConfigError
    from secateur.edge.agent.config.connections import Broker

    try:
        return Broker.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        told = first["msg"].removeprefix("Value error, ")
        place = "".join(f"--{name}: " for name in first["loc"][:1])
        raise ConfigError(f"{place}{told}.") from None
