"""Speeds and bursts from servers of Modbus and OPC UA on loopback."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from mosquitto import free_port
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.connections import ModbusSpeed, OpcUaSource
from secateur.edge.agent.sources.base import Inlet


class _Plant:
    """Notes what sources bring."""

    def __init__(self) -> None:
        self.speeds: list[tuple[str, float]] = []
        self.bursts: list[Burst] = []
        self.inlet = Inlet(
            submit=lambda submission: self.bursts.append(submission.burst),
            set_speed=lambda machine, rpm: self.speeds.append((machine, rpm)),
            places={("fan", "a"): 4096},
        )


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def _run(loop: asyncio.AbstractEventLoop, work: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(work, loop).result(90)


MODBUS = [
    ("uint16", [14850], 0.1, 1485.0),
    ("int16", [1500], 1.0, 1500.0),
    ("uint32", [1, 2], 1.0, 65538.0),
    ("float32", [0x44B9, 0xA000], 1.0, 1485.0),
]


@pytest.mark.parametrize(("number", "registers", "factor", "rpm"), MODBUS)
def test_modbus_speed(number: str, registers: list[int], factor: float, rpm: float) -> None:
    pytest.importorskip("pymodbus", reason="run: pip install 'secateur[modbus]'")
    from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext
    from pymodbus.server import ModbusTcpServer

    try:
        from pymodbus.datastore import ModbusDeviceContext
    except ImportError:
        from pymodbus.datastore import ModbusSlaveContext as ModbusDeviceContext
    from secateur.edge.agent.sources.modbus import ModbusSource

    port, plant = free_port(), _Plant()
    store = ModbusDeviceContext(hr=ModbusSequentialDataBlock(1, [0] * 10 + registers + [0] * 5))

    async def serve() -> Any:
        server = ModbusTcpServer(ModbusServerContext(store, single=True), address=("127.0.0.1", port))
        await server.serve_forever(background=True)
        return server

    settings = ModbusSpeed.model_validate(
        {"type": "modbus", "port": port, "machine": "fan", "address": 10, "number": number, "factor": factor}
    )
    source = ModbusSource(settings, plant.inlet)
    with pytest.raises(Exception, match="does not answer"):
        source.ask()
    with _loop() as loop:
        server = _run(loop, serve())
        source.ask()
        source.close()
        _run(loop, server.shutdown())
    assert plant.speeds == [("fan", pytest.approx(rpm))]


def test_an_opcua_server_that_is_away_leaves_no_threads() -> None:
    pytest.importorskip("asyncua", reason="run: pip install 'secateur[opcua]'")
    from secateur.edge.agent.sources.opcua import OpcUaSource as Source

    url = f"opc.tcp://127.0.0.1:{free_port()}/plant"
    settings = {"type": "opcua", "url": url, "machine": "fan", "speed_node": "ns=2;i=3"}
    source = Source(OpcUaSource.model_validate(settings), _Plant().inlet)
    before = threading.active_count()
    for _ in range(2):
        with pytest.raises(OSError, match="Connect call failed"):
            source.ask()
        source._close_quietly()
    assert threading.active_count() == before


@pytest.mark.slow
def test_opcua_speed_and_bursts() -> None:
    pytest.importorskip("asyncua", reason="run: pip install 'secateur[opcua]'")
    from asyncua import Server

    from secateur.edge.agent.sources.opcua import OpcUaSource as Source

    port, plant = free_port(), _Plant()
    url = f"opc.tcp://127.0.0.1:{port}/plant"
    samples = np.random.default_rng(0).standard_normal(64)

    async def serve() -> Any:
        server = Server()
        await server.init()
        server.set_endpoint(url)
        index = await server.register_namespace("urn:plant")
        speed = await server.nodes.objects.add_variable(index, "speed", 1492.5)
        burst = await server.nodes.objects.add_variable(index, "burst", samples.tolist())
        await server.start()
        return server, speed, burst

    with _loop() as loop:
        server, speed, burst = _run(loop, serve())
        settings = OpcUaSource.model_validate(
            {
                "type": "opcua",
                "url": url,
                "machine": "fan",
                "sensor": "a",
                "speed_node": speed.nodeid.to_string(),
                "burst_node": burst.nodeid.to_string(),
            }
        )
        source = Source(settings, plant.inlet)
        source.ask()
        source.ask()  # the same burst again
        _run(loop, burst.write_value((2 * samples).tolist()))
        source.ask()
        source.close()
        _run(loop, server.stop())
    assert plant.speeds == [("fan", 1492.5)] * 3
    assert [len(found.samples) for found in plant.bursts] == [64, 64]
    np.testing.assert_allclose(plant.bursts[1].samples, 2 * samples, rtol=1e-6)


def test_two_machines_of_one_controller_are_told_apart() -> None:
    pytest.importorskip("pymodbus", reason="run: pip install 'secateur[modbus]'")
    from secateur.edge.agent.sources.modbus import ModbusSource

    names = {
        ModbusSource(
            ModbusSpeed.model_validate({"type": "modbus", "machine": machine, "address": 1}), _Plant().inlet
        ).name
        for machine in ("fan", "pump")
    }
    assert names == {"modbus 127.0.0.1:502 for fan", "modbus 127.0.0.1:502 for pump"}
