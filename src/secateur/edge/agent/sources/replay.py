"""A recording as a source: its bursts at real or any other speed."""

from __future__ import annotations

import logging
import time

from secateur.core.errors import DataError
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.connections import ReplaySource as ReplaySettings
from secateur.edge.agent.config.machines import Sensor
from secateur.edge.agent.intake import IntakeFull, Submission
from secateur.edge.agent.sources.base import Inlet, SourceStatus, ThreadedSource
from secateur.edge.agent.sources.recording import open_recording

log = logging.getLogger(__name__)


class ReplaySource(ThreadedSource):
    """Submits the bursts of a recording one after the other.

    Parameters
    ----------
    settings : ReplaySettings
    inlet : Inlet
    sensor : Sensor
        Says how long a burst is.

    Raises
    ------
    DataError
        If the recording cannot be read, has another rate than the sensor, or holds no whole burst.
    """

    def __init__(self, settings: ReplaySettings, inlet: Inlet, sensor: Sensor) -> None:
        name = f"replay {settings.file.name} for {settings.machine}/{settings.sensor}"
        super().__init__(name, thread="source-replay")
        self._settings, self._inlet, self._sensor = settings, inlet, sensor
        self._recording = open_recording(settings.file, settings.channel)
        told = self._recording.another_rate(sensor.sampling_rate_hz)
        if told is not None:
            raise DataError(
                f"{settings.file} {told}; sensor {sensor.name} is set up for {sensor.sampling_rate_hz:g} Hz."
            )
        longest = self._recording.burst_samples or len(self._recording.samples)
        if longest < sensor.burst_samples:
            raise DataError(
                f"{settings.file} holds {longest} samples in a row; a burst of sensor {sensor.name} has "
                f"{sensor.burst_samples}."
            )

    def status(self) -> SourceStatus:
        """Return its state, for people."""
        return {"name": self.name, "connected": self._thread.is_alive(), "counts": dict(self.counts)}

    def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            number = self._once(number)
            if not self._settings.repeat:
                break

    def _once(self, number: int) -> int:
        started_s, factor = time.monotonic(), self._settings.speed_factor
        rate_hz = self._sensor.sampling_rate_hz
        for start_s, samples in self._recording.cut(self._sensor.burst_samples, rate_hz):
            end_s = start_s + len(samples) / rate_hz
            wait_s = 0.0 if factor == 0 else started_s + end_s / factor - time.monotonic()
            if self._stopping.wait(max(0.0, wait_s)):
                break
            burst = Burst(
                machine=self._settings.machine,
                sensor=self._settings.sensor,
                samples=samples,
                sampling_rate_hz=rate_hz,
                measured_unix_s=time.time() - len(samples) / rate_hz,
                number=number,
            )
            self._submit(burst)
            number += 1
        return number

    def _submit(self, burst: Burst) -> None:
        while not self._stopping.is_set():
            try:
                self._inlet.submit(Submission(burst=burst))
            except IntakeFull:
                continue
            self.counts["bursts"] += 1
            return
