"""Where entries of a configuration contradict each other, or the same thing is asked for twice."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator
from itertools import chain, combinations
from pathlib import Path
from typing import TypeVar

from secateur.edge.agent.config.addresses import plain_host
from secateur.edge.agent.config.connections import (
    Broker,
    FolderSource,
    LogSink,
    ModbusSpeed,
    MqttSink,
    MqttSource,
    OpcUaSource,
    ReplaySource,
    Sink,
    Source,
    SparkplugSink,
    WebhookSink,
)
from secateur.edge.agent.config.settings import AgentConfig
from secateur.edge.agent.patience import NoAnswer, answered

Entry = TypeVar("Entry")

_PATIENCE_S = 2.0

OWN_SENSOR = "outbox"
"""The agent reports on itself as a machine of its own name with this sensor."""


def contradictions(config: AgentConfig) -> Iterator[str]:
    """Yield each contradiction in a sentence that names both entries; places on the disk must be absolute."""
    for find in (_names, _places, _clients, _speeds, _twice, _loops, _folders):
        yield from find(config)


def speed_feeds(config: AgentConfig) -> list[tuple[str, str]]:
    """Return the sources that give a machine's speed while it runs: their label and the machine."""
    return [(label, source.machine) for label, source in _feeds(config)]


def _feeds(config: AgentConfig) -> Iterator[tuple[str, OpcUaSource | ModbusSpeed]]:
    for label, source in _labelled("sources", config.sources):
        if isinstance(source, OpcUaSource | ModbusSpeed) and source.feeds_speed:
            yield label, source


def _repeated(entries: Iterable[tuple[str, Hashable]]) -> Iterator[tuple[str, str]]:
    """Yield pairs of labels whose values are the same; None is like nothing else."""
    first: dict[Hashable, str] = {}
    for label, value in entries:
        if value is not None and first.setdefault(value, label) != label:
            yield first[value], label


def _labelled(kind: str, entries: Iterable[Entry]) -> Iterator[tuple[str, Entry]]:
    return ((f"{kind}.{number}", entry) for number, entry in enumerate(entries))


def _names(config: AgentConfig) -> Iterator[str]:
    for one, other in _repeated(_labelled("machines", (machine.name for machine in config.machines))):
        yield f"{one} and {other}: two machines have one name; give each its own"
    for one, other in _repeated(_labelled("sinks", (sink.name for sink in config.sinks))):
        yield f"{one} and {other}: two sinks have one name; give one of them another 'name'"
    if (config.name, OWN_SENSOR) in config.places():
        yield (
            f"name: the agent reports on itself as {config.name}/{OWN_SENSOR}, which is a sensor here; "
            "rename one of the two"
        )


def _places(config: AgentConfig) -> Iterator[str]:
    machines = [machine.name for machine in config.machines]
    for label, source in _labelled("sources", config.sources):
        if not isinstance(source, ReplaySource | OpcUaSource | ModbusSpeed):
            continue
        sensor = None if isinstance(source, ModbusSpeed) else source.sensor
        if source.machine not in machines:
            yield f"{label}: names machine {source.machine}; there are {', '.join(machines)}"
        elif sensor is not None and (source.machine, sensor) not in config.places():
            yield f"{label}: names {source.machine}/{sensor}, which is no sensor here"


def _clients(config: AgentConfig) -> Iterator[str]:
    links = chain(_labelled("sources", config.sources), _labelled("sinks", config.sinks))
    for one, other in _repeated((label, _client(link)) for label, link in links):
        yield (
            f"{one} and {other}: two connections to one broker share a client_id, and would end each other; "
            "give each its own"
        )


def _client(link: Source | Sink) -> Hashable:
    if not isinstance(link, Broker) or link.client_id is None:
        return None
    return plain_host(link.host), link.port, link.client_id


def _speeds(config: AgentConfig) -> Iterator[str]:
    feeds = speed_feeds(config)
    for one, other in _repeated(feeds):
        yield f"{one} and {other}: both feed the speed of one machine; keep one"
    fixed = {machine.name for machine in config.machines if machine.speed.rpm is not None}
    for label, machine in feeds:
        if machine in fixed:
            yield f"{label}: feeds the speed of {machine}, whose speed.rpm is fixed; leave one of them out"
    ages_s = {machine.name: machine.speed.max_age_s for machine in config.machines}
    for label, source in _feeds(config):
        counts_s = ages_s.get(source.machine, source.every_s)
        if source.every_s > counts_s:
            yield (
                f"{label}: asks every {source.every_s:g} s for a speed that counts for {counts_s:g} s; lower "
                f"every_s, or raise speed.max_age_s of {source.machine}"
            )


def _twice(config: AgentConfig) -> Iterator[str]:
    for one, other in _repeated(_labelled("sources", map(_origin, config.sources))):
        yield f"{one} and {other}: both bring the same bursts; keep one"
    for one, other in _repeated(_labelled("sinks", map(_target, config.sinks))):
        yield f"{one} and {other}: both send to the same place; keep one"


def _origin(source: Source) -> Hashable:
    if isinstance(source, MqttSource):
        return "mqtt", plain_host(source.host), source.port, source.subscription
    if isinstance(source, ReplaySource):
        return "replay", source.machine, source.sensor
    if isinstance(source, OpcUaSource) and source.burst_node is not None:
        return "opcua", source.machine, source.sensor
    return None


def _target(sink: Sink) -> Hashable:
    if isinstance(sink, MqttSink):
        return "mqtt", plain_host(sink.host), sink.port, sink.topic
    if isinstance(sink, SparkplugSink):
        return "sparkplug", plain_host(sink.host), sink.port, sink.group, sink.node
    if isinstance(sink, WebhookSink):
        return "webhook", sink.url
    return sink.type, _real(sink.folder)


def _loops(config: AgentConfig) -> Iterator[str]:
    for label, source in _labelled("sources", config.sources):
        if not isinstance(source, MqttSource):
            continue
        for other, sink in _labelled("sinks", config.sinks):
            if not isinstance(sink, MqttSink | SparkplugSink):
                continue
            if (plain_host(source.host), source.port) == (plain_host(sink.host), sink.port):
                yield from (f"{label}.topic: {told}" for told in _heard(config, source, other, sink))


def _heard(
    config: AgentConfig, source: MqttSource, label: str, sink: MqttSink | SparkplugSink
) -> Iterator[str]:
    if isinstance(sink, SparkplugSink) and source.payload == "sparkplug":
        # results and bursts may share a group, but edge nodes are machines, and a node has one session
        if source.topic == sink.group and sink.node in {machine.name for machine in config.machines}:
            yield f"{label}.node is {sink.node}, which is a machine of that group; give the node another name"
        return
    topic = next((topic for topic in _published(config, sink) if matches(source.subscription, topic)), None)
    if topic is not None:
        yield f"it would take results of {label} for bursts, such as those on {topic}; give one another topic"


def _published(config: AgentConfig, sink: MqttSink | SparkplugSink) -> Iterator[str]:
    for machine, sensor in (*config.places(), (config.name, OWN_SENSOR)):
        if isinstance(sink, MqttSink):
            yield from (f"{sink.topic}/{machine}/{sensor}/{kind}" for kind in ("result", "alarm"))
        else:
            yield from (f"spBv1.0/{sink.group}/{kind}/{sink.node}" for kind in ("NBIRTH", "NDEATH"))
            device = f"{sink.node}/{machine}:{sensor}"
            yield from (f"spBv1.0/{sink.group}/{kind}/{device}" for kind in ("DBIRTH", "DDATA"))


def matches(subscription: str, topic: str) -> bool:
    """Whether a topic of MQTT matches a subscription, which may hold ``+`` and end in ``#``."""
    wanted, levels = subscription.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(
        one in ("+", other) for one, other in zip(wanted, levels, strict=True)
    )


def _folders(config: AgentConfig) -> Iterator[str]:
    watched = [
        (f"{label}.folder", _real(source.folder))
        for label, source in _labelled("sources", config.sources)
        if isinstance(source, FolderSource)
    ]
    if config.models.install_folder is not None:
        watched.append(("models.install_folder", _real(config.models.install_folder)))
    written = [
        (f"{label}.folder", _real(sink.folder))
        for label, sink in _labelled("sinks", config.sinks)
        if isinstance(sink, LogSink)
    ]
    written.append(("state_folder", _real(config.state_folder)))
    for (one, folder), (other, second) in combinations(watched, 2):
        if folder.is_relative_to(second) or second.is_relative_to(folder):
            yield f"{one} and {other}: one watched folder is, or lies in, the other; keep them apart"
    for label, folder in watched:
        for other, target in written:
            if target.is_relative_to(folder):
                yield f"{other} and {label}: what is written would lie in a watched folder; keep them apart"


def _real(folder: Path) -> Path:
    """Return a folder without links; as it is written where its share hangs, of which the trial tells."""
    try:
        return answered(folder.resolve, within_s=_PATIENCE_S)
    except NoAnswer:
        return Path(os.path.normpath(folder))
