"""Shaft speed and bursts from nodes of an OPC UA server (extra ``opcua``)."""

from __future__ import annotations

import time
from datetime import UTC
from typing import Any

import numpy as np

from secateur.core.errors import ConfigError, DataError
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.connections import OpcUaSource as OpcUaSettings
from secateur.edge.agent.intake import Submission
from secateur.edge.agent.sources.base import Inlet
from secateur.edge.agent.sources.payloads import MOST_SAMPLES
from secateur.edge.agent.sources.polling import PollingSource


class OpcUaSource(PollingSource):
    """Reads the speed each time, and a burst whenever its source time has changed.

    Parameters
    ----------
    settings : OpcUaSettings
    inlet : Inlet

    Raises
    ------
    ConfigError
        If asyncua is not installed, or a node has no identifier such as ``ns=2;i=3``.
    """

    def __init__(self, settings: OpcUaSettings, inlet: Inlet) -> None:
        super().__init__(f"opcua {settings.url} for {settings.machine}", every_s=settings.every_s)
        try:
            import asyncua.sync  # noqa: F401
            from asyncua.ua import NodeId
        except ImportError:
            raise ConfigError(
                "an opcua source needs the package asyncua; run: pip install 'secateur[opcua]'"
            ) from None
        for node in (settings.speed_node, settings.burst_node):
            try:
                NodeId.from_string(node or "i=1")
            except Exception as error:  # asyncua raises classes of its own
                raise ConfigError(
                    f"'{node}' is no node of OPC UA ({error}); write it like ns=2;i=3"
                ) from None
        self._settings, self._inlet = settings, inlet
        self._client: Any = None
        self._last_time: object = None

    def ask(self) -> None:
        """Read the nodes."""
        if self._client is None:
            from asyncua.sync import Client

            self._client = Client(self._settings.url, timeout=4)  # has a thread, so it is closed in any case
            self._client.connect()
        if self._settings.speed_node is not None:
            value = self._client.get_node(self._settings.speed_node).read_value()
            self._inlet.set_speed(self._settings.machine, float(value))
        if self._settings.burst_node is not None:
            self._read_burst(self._settings.burst_node)

    def _read_burst(self, node: str) -> None:
        found = self._client.get_node(node).read_data_value()
        stamp = found.SourceTimestamp or found.ServerTimestamp
        if stamp is None or stamp == self._last_time:
            return
        values = np.asarray(found.Value.Value)
        if values.ndim != 1 or values.dtype.kind not in "fiu" or not 0 < len(values) <= MOST_SAMPLES:
            raise DataError(f"node {node} holds no array of 1 to {MOST_SAMPLES} numbers.")
        burst = Burst(
            machine=self._settings.machine,
            sensor=self._settings.sensor or "",
            samples=values.astype(np.float32),
            measured_unix_s=stamp.replace(tzinfo=UTC).timestamp()
            if stamp.tzinfo is None
            else stamp.timestamp(),
        )
        self._inlet.submit(Submission(burst=burst, received_s=time.monotonic()))
        self._last_time = stamp
        self.counts["bursts"] += 1

    def close(self) -> None:
        """Give up the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
