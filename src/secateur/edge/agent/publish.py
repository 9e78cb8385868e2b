"""Publishes a recording to a broker burst by burst, as a gateway would: for trials and tests."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from secateur.core.errors import ConfigError
from secateur.edge.agent.config.connections import Broker
from secateur.edge.agent.config.machines import Unit
from secateur.edge.agent.sinks.mqtt_session import Message, MqttSession
from secateur.edge.agent.sources.payloads import Piece, to_json, to_raw
from secateur.edge.agent.sources.recording import IN_COMMAND, open_recording


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What to publish, and how.

    Attributes
    ----------
    file : Path
    topic : str
        Of one sensor, without wildcards.
    sampling_rate_hz : float or None
        Where the file does not state it.
    burst_samples : int or None
        Default: the bursts of the file, or one second.
    payload : {"json", "raw"}
    parts : int
        Messages a burst.
    speed_factor : float
        1 is real time; 0 as fast as the broker acknowledges.
    speed_rpm, unit : optional
        Sent with each burst.
    channel : int or None
        None: the only one that can be vibration.
    """

    file: Path
    topic: str
    sampling_rate_hz: float | None = None
    burst_samples: int | None = None
    payload: str = "raw"
    parts: int = 1
    speed_factor: float = 1.0
    speed_rpm: float | None = None
    unit: str | None = None
    channel: int | None = None


def bursts_of(replay: Replay) -> Iterator[tuple[float, Piece]]:
    """Return the end of each burst in seconds from the start, and the burst, one after the other.

    Raises
    ------
    ConfigError
        If nobody says the sampling rate, two say different ones, the recording is shorter than a burst, or no
        sensor has such a unit.
    """
    units = get_args(Unit)
    if replay.unit not in (None, *units):
        raise ConfigError(f"--unit '{replay.unit}' is no unit of a sensor; allowed: {', '.join(units)}.")
    recording = open_recording(replay.file, replay.channel, how=IN_COMMAND)
    rate_hz = recording.sampling_rate_hz or replay.sampling_rate_hz
    if rate_hz is None:
        raise ConfigError(f"{replay.file} does not state its sampling rate; give --sampling-rate in Hz.")
    said_hz = replay.sampling_rate_hz or rate_hz
    told = recording.another_rate(said_hz)
    if told is not None:
        raise ConfigError(f"{replay.file} {told}, not {said_hz:g} Hz.")
    length = replay.burst_samples or recording.burst_samples or round(rate_hz)
    longest = recording.burst_samples or len(recording.samples)
    if length > longest:
        raise ConfigError(
            f"{replay.file} holds {longest} samples in a row, fewer than a burst of {length}; "
            "give fewer with --burst-samples, or another --channel."
        )
    if replay.parts > length:
        raise ConfigError(f"--parts {replay.parts} is more than the {length} samples of a burst; give fewer.")
    said: dict[str, Any] = {"sampling_rate_hz": rate_hz, "speed_rpm": replay.speed_rpm, "unit": replay.unit}
    return (
        (start_s + length / rate_hz, Piece(samples=samples, number=number, **said))
        for number, (start_s, samples) in enumerate(recording.cut(length, rate_hz))
    )


def publish(
    replay: Replay,
    broker: Broker,
    *,
    sent: Callable[[int], None] | None = None,
    client_id: str | None = None,
) -> int:
    """Publish a recording and return how many bursts the broker acknowledged.

    Parameters
    ----------
    replay : Replay
    broker : Broker
    sent : callable, optional
        Told the number of bursts after each.
    client_id : str, optional
        Default: one of its own, since several recordings may be published at once.

    Raises
    ------
    ConfigError
        As :func:`bursts_of`.
    SinkUnavailable
        If the broker does not answer.
    """
    write = to_json if replay.payload == "json" else to_raw
    bursts = bursts_of(replay)
    session = MqttSession(
        broker, client_id=client_id or f"secateur-replay-{secrets.token_hex(6)}", acknowledged_within_s=10.0
    )
    started_s, count = time.monotonic(), 0
    try:
        for end_s, piece in bursts:
            if replay.speed_factor > 0:
                time.sleep(max(0.0, started_s + end_s / replay.speed_factor - time.monotonic()))
            length_s = len(piece.samples) / (piece.sampling_rate_hz or 1.0)
            # as if it ended now: by the recording's own clock a fast replay would run ahead of the receiver's
            at = replace(piece, measured_unix_s=time.time() - length_s)
            session.publish(
                [
                    Message(topic=replay.topic, content=write(part), properties={})
                    for part in _parts(at, replay.parts)
                ]
            )
            count += 1
            if sent is not None:
                sent(count)
    finally:
        session.close()
    return count


def _parts(piece: Piece, parts: int) -> list[Piece]:
    pieces = np.array_split(piece.samples, parts)
    return [
        replace(piece, samples=samples, part=number, parts=parts) for number, samples in enumerate(pieces)
    ]
