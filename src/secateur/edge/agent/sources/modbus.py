"""The shaft speed from registers of a Modbus TCP device (extra ``modbus``)."""

from __future__ import annotations

import struct
from typing import Any

from secateur.core.errors import ConfigError, TransportError
from secateur.edge.agent.config.connections import ModbusSpeed as ModbusSettings
from secateur.edge.agent.sources.base import Inlet
from secateur.edge.agent.sources.polling import PollingSource

_FORMS = {"uint16": ">H", "int16": ">h", "uint32": ">I", "float32": ">f"}


class ModbusSource(PollingSource):
    """Reads one number and sets it as the speed of a machine.

    Parameters
    ----------
    settings : ModbusSettings
    inlet : Inlet

    Raises
    ------
    ConfigError
        If pymodbus is not installed.
    """

    def __init__(self, settings: ModbusSettings, inlet: Inlet) -> None:
        name = f"modbus {settings.host}:{settings.port} for {settings.machine}"
        super().__init__(name, every_s=settings.every_s)
        try:
            from pymodbus.client import ModbusTcpClient
        except ImportError:
            raise ConfigError(
                "a modbus source needs the package pymodbus; run: pip install 'secateur[modbus]'"
            ) from None
        self._settings, self._inlet = settings, inlet
        self._client: Any = ModbusTcpClient(settings.host, port=settings.port, timeout=3, retries=0)

    def ask(self) -> None:
        """Read the registers."""
        settings = self._settings
        if not self._client.connected and not self._client.connect():
            raise TransportError(f"{settings.host}:{settings.port} does not answer.")
        form = _FORMS[settings.number]
        read = (
            self._client.read_holding_registers
            if settings.registers == "holding"
            else self._client.read_input_registers
        )
        answer = read(settings.address, count=struct.calcsize(form) // 2, device_id=settings.device_id)
        if answer.isError():
            raise TransportError(f"register {settings.address} cannot be read: {answer}.")
        (value,) = struct.unpack(form, struct.pack(f">{len(answer.registers)}H", *answer.registers))
        self._inlet.set_speed(settings.machine, float(value) * settings.factor)

    def close(self) -> None:
        """Give up the connection."""
        self._client.close()
