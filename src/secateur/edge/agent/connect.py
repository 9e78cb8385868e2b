"""From the configuration to sources and sinks at work."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from secateur.edge.agent.config.connections import (
    FolderSource,
    LogSink,
    MqttSink,
    MqttSource,
    OpcUaSource,
    ReplaySource,
    Sink,
    Source,
    SparkplugSink,
)
from secateur.edge.agent.config.settings import AgentConfig
from secateur.edge.agent.sinks import base as sinks
from secateur.edge.agent.sources.base import Inlet, RunningSource


def open_source(settings: Source, inlet: Inlet, config: AgentConfig, *, identity: str) -> RunningSource:
    """Return a source that is not started yet; only its own packages are imported.

    Parameters
    ----------
    settings : Source
    inlet : Inlet
    config : AgentConfig
    identity : str
        Of the agent; stays over restarts and differs between agents of one name.

    Raises
    ------
    SecateurError
        If something it needs is missing.
    """
    if isinstance(settings, MqttSource):
        from secateur.edge.agent.sources.mqtt import MqttSource as Mqtt

        # the broker keeps the subscriptions of a client: another topic is another client
        topic = hashlib.sha256(settings.subscription.encode()).hexdigest()[:8]
        return Mqtt(settings, inlet, client_id=f"{config.name}-source-{topic}-{identity}")
    if isinstance(settings, FolderSource):
        from secateur.edge.agent.sources.folder import FolderSource as Folder

        return Folder(settings, inlet)
    if isinstance(settings, ReplaySource):
        from secateur.edge.agent.sources.replay import ReplaySource as Replay

        return Replay(settings, inlet, config.places()[settings.machine, settings.sensor][1])
    if isinstance(settings, OpcUaSource):
        from secateur.edge.agent.sources.opcua import OpcUaSource as OpcUa

        return OpcUa(settings, inlet)
    from secateur.edge.agent.sources.modbus import ModbusSource

    return ModbusSource(settings, inlet)


def open_sink(
    settings: Sink, config: AgentConfig, next_number: Callable[[str], int], *, identity: str
) -> sinks.Sink:
    """Return a sink that is not connected yet.

    Parameters
    ----------
    settings : Sink
    config : AgentConfig
    next_number : callable
        Counts up by name, over restarts too.
    identity : str
        Of the agent.

    Raises
    ------
    SecateurError
        If something it needs is missing.
    """
    client_id = f"{config.name}-{settings.name}-{identity}"
    if isinstance(settings, MqttSink):
        from secateur.edge.agent.sinks.mqtt import MqttSink as Mqtt

        return Mqtt(settings, client_id=client_id)
    if isinstance(settings, SparkplugSink):
        from secateur.edge.agent.sinks.sparkplug import SparkplugSink as Sparkplug

        return Sparkplug(
            settings,
            client_id=client_id,
            next_bdseq=lambda: next_number(f"bdseq {settings.name}"),
        )
    if isinstance(settings, LogSink):
        if settings.type == "csv":
            from secateur.edge.agent.sinks.log import CsvLog

            return CsvLog(settings)
        from secateur.edge.agent.sinks.parquet import ParquetLog

        return ParquetLog(settings)
    from secateur.edge.agent.sinks.webhook import Webhook

    return Webhook(settings)
