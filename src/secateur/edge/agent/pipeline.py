"""The path of one sensor: a burst in, its quality, indicators, level, diagnosis and evidence out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.machines import Machine, Sensor
from secateur.edge.agent.models.opinion import Opinion, ask
from secateur.edge.agent.models.slot import ModelSlot
from secateur.edge.agent.signal.averaged import AveragedEnvelope
from secateur.edge.agent.signal.indicators import band_edges_hz, line_indicators, waveform_indicators
from secateur.edge.agent.signal.quality import STANDING_STILL, MeasuredSpeed, Quality, assess
from secateur.edge.agent.state.baseline import Baseline, basis_of
from secateur.edge.agent.state.levels import Judgement, Level, Levels
from secateur.edge.agent.state.view import SensorView
from secateur.edge.own_healthy import NORMAL

RESULT_SCHEMA = "secateur.result/1"
DIAGNOSIS = "diagnosis"
"""By this name the model's answer is raised like an indicator."""


@dataclass(frozen=True, kw_only=True)
class Processed:
    """What became of a burst.

    Attributes
    ----------
    result : dict
        As it is published.
    judgement : Judgement or None
        The bearing's level; None if the burst could not be used.
    """

    result: dict[str, Any]
    judgement: Judgement | None


class SensorPath:
    """Everything that is kept for one sensor from burst to burst.

    Parameters
    ----------
    machine : Machine
    sensor : Sensor
    baseline_file : Path, optional
        Where the baseline is kept.
    model : ModelSlot, optional
        The bundle that the sensor names.
    since_running_s : float
        When the watch over it begins.

    Attributes
    ----------
    last_burst_running_s : float or None
        When the last burst was taken; None before the first.
    last_sign_running_s : float
        The same, or when the watch began: from here on silence is measured.
    """

    def __init__(
        self,
        machine: Machine,
        sensor: Sensor,
        *,
        baseline_file: Path | None = None,
        model: ModelSlot | None = None,
        since_running_s: float = 0.0,
    ) -> None:
        self.machine, self.sensor, self.model = machine, sensor, model
        self.orders = None if sensor.bearing is None else sensor.bearing.orders()
        rate_hz, indicators = sensor.sampling_rate_hz, sensor.indicators
        self.band_hz = indicators.envelope_band_hz or (0.25 * rate_hz, 0.48 * rate_hz)
        self._edges_hz = band_edges_hz(indicators.lowest_hz, rate_hz, indicators.bands)
        self._average = self._new_average()
        self.baseline = Baseline(sensor.commissioning, baseline_file, basis=basis_of(sensor))
        self.levels = Levels(sensor.limits)
        self._band = self.baseline.band(machine.speed.rpm)
        self.view = SensorView()
        self._last_number: int | None = None
        self._last_samples: np.ndarray | None = None
        self._last_speed_rpm: float | None = None
        self.latest_speed: tuple[float, float] | None = None
        self.last_burst_running_s: float | None = None
        self.last_sign_running_s = since_running_s
        self.silent = False

    def takes(self, machine: Machine, sensor: Sensor, model: ModelSlot | None) -> bool:
        """Go on with other settings if that changes nothing for this sensor; return whether it does."""
        if (machine.speed, sensor) != (self.machine.speed, self.sensor) or model is not self.model:
            return False
        self.machine = machine
        return True

    def commission_anew(self) -> None:
        """Forget what is learned, averaged and raised, for instance after a repair."""
        self._average = self._new_average()
        self.levels = Levels(self.sensor.limits)
        self.baseline.forget()

    def restore(self, causes: dict[str, Level]) -> None:
        """Go on with the levels of an open alarm, as far as there is still something to judge them by.

        A baseline that cannot be read is no reason to end an alarm.
        """
        known = {*self.baseline.names(), *self.sensor.limits.absolute}
        if self.model is not None:
            known.add(DIAGNOSIS)
        kept = {name: level for name, level in causes.items() if name in known or self.baseline.trouble}
        self.levels.restore(kept)

    def _new_average(self) -> AveragedEnvelope:
        return AveragedEnvelope(bursts=self.sensor.indicators.averaged_bursts, band_hz=self.band_hz)

    def set_speed(self, rpm: float, running_s: float) -> None:
        """Take a speed from a feed."""
        self.latest_speed = (rpm, running_s)

    def process(self, burst: Burst, *, running_s: float, received_s: float | None = None) -> Processed:
        """Turn a burst into a result.

        Parameters
        ----------
        burst : Burst
        running_s : float
            Time on a clock that only goes forward.
        received_s : float, optional
            ``time.monotonic()`` when its last sample arrived; default: now.
        """
        started_s = time.monotonic() if received_s is None else received_s
        quality = self._assess(burst, running_s)
        self.last_burst_running_s = self.last_sign_running_s = running_s
        self.silent = False
        indicators: dict[str, float] = {}
        scores: dict[str, float] = {}
        judgement, opinion, averaged = None, None, None
        band = self._band = self.baseline.band(quality.speed_rpm) if quality.usable else self._band
        if quality.usable:
            samples = burst.samples
            shaft_rate_hz = None if quality.speed_rpm is None else quality.speed_rpm / 60.0
            averaged = self._average.add(samples, self.sensor.sampling_rate_hz, shaft_rate_hz)
            indicators = waveform_indicators(samples, self.sensor.sampling_rate_hz, self._edges_hz)
            if averaged.in_orders and self.orders is not None:
                indicators |= line_indicators(averaged, self.orders)
            opinion = self._opinion(samples, shaft_rate_hz)
            if self.baseline.is_learned(band):
                scores = self.baseline.scores(band, indicators, least_ratio=self.sensor.limits.least_ratio)
            elif not self.levels.level:  # a raised level is no example of a healthy machine
                self.baseline.learn(band, indicators)
            judgement = self.levels.judge(
                indicators,
                scores | self._score_of(opinion),
                medians=self.baseline.medians(band) if self.sensor.limits.rise_per_hour else {},
                measured_s=running_s - _age_s(quality),
            )
        result = self._result(burst, quality, band, indicators, scores, judgement, opinion)
        result["latency_ms"] = round(1e3 * (time.monotonic() - started_s), 2)
        self.baseline.save_now_and_then(running_s)
        self.view.show(burst.samples, self.sensor.sampling_rate_hz, averaged, result, running_s)
        return Processed(result=result, judgement=judgement)

    def _assess(self, burst: Burst, running_s: float) -> Quality:
        latest = None
        if self.latest_speed is not None:
            rpm, at_s = self.latest_speed
            # a burst that waited, at the broker for instance, ended so long before the speed of now
            end_unix_s = burst.measured_unix_s + len(burst.samples) / self.sensor.sampling_rate_hz
            waited_s = max(0.0, time.time() - end_unix_s) if burst.timed else 0.0
            latest = MeasuredSpeed(rpm=rpm, age_s=abs(running_s - at_s - waited_s))
        number, last = burst.number, self._last_number
        after_gap = number is not None and last is not None and number > last + 1
        self._last_number = number if number is not None else last
        before, self._last_samples = self._last_samples, burst.samples
        quality = assess(
            burst,
            self.sensor,
            self.machine.speed,
            latest_speed=latest,
            after_gap=after_gap,
            last_samples=before,
            last_speed_rpm=self._last_speed_rpm,
        )
        if quality.speed_rpm is not None or STANDING_STILL in quality.flags:
            self._last_speed_rpm = quality.speed_rpm or 0.0
        return quality

    def _opinion(self, samples: np.ndarray, shaft_rate_hz: float | None) -> Opinion | None:
        if self.model is None:
            return None
        return self.model.ask(
            lambda runtime: ask(
                runtime,
                samples,
                sampling_rate_hz=self.sensor.sampling_rate_hz,
                shaft_rate_hz=shaft_rate_hz,
                fault_orders=self.orders,
                settings=self.sensor.diagnosis,
            )
        )

    def _score_of(self, opinion: Opinion | None) -> dict[str, float]:
        """Let a diagnosis vote like an indicator: a warning if it names a fault, an alarm if lines agree."""
        if opinion is None:
            return {}
        limits, score = self.sensor.limits, 0.0
        sure = opinion.confidence >= self.sensor.diagnosis.alarm_confidence
        if opinion.label not in (None, NORMAL) and sure:
            score = limits.alarm_score if opinion.agrees else limits.warning_score
        return {DIAGNOSIS: score}

    def _result(
        self,
        burst: Burst,
        quality: Quality,
        band: str,
        indicators: dict[str, float],
        scores: dict[str, float],
        judgement: Judgement | None,
        opinion: Opinion | None,
    ) -> dict[str, Any]:
        learned = self.baseline.is_learned(band)
        return {
            "schema": RESULT_SCHEMA,
            "machine": burst.machine,
            "sensor": burst.sensor,
            "key": burst.key,
            "number": burst.number,
            "measured_unix_s": quality.measured_unix_s,
            "stated_unix_s": burst.measured_unix_s if burst.timed else None,
            "age_s": round(_age_s(quality), 3),
            "quality": {"usable": quality.usable, "flags": list(quality.flags)},
            "sensor_state": quality.sensor_state,
            "speed": {"rpm": quality.speed_rpm, "age_s": quality.speed_age_s},
            "bearing": self._bearing(band, None if judgement is None or not learned else judgement.score),
            "indicators": {name: float(f"{value:.6g}") for name, value in indicators.items()},
            "scores": {name: round(value, 3) for name, value in scores.items()},
            "diagnosis": None if opinion is None else opinion.to_json(),
            "evidence": None if opinion is None else opinion.evidence,
        }

    def _bearing(self, band: str, score: float | None) -> dict[str, Any]:
        return {
            "level": self.levels.level.word,
            "causes": {name: level.word for name, level in self.levels.causes.items()},
            "score": None if score is None else round(score, 3),
            "band": band,
            "learned": round(self.baseline.progress(band), 4),
        }

    def went_silent(self, running_s: float) -> dict[str, Any]:
        """Note that nothing comes any more; return the result that says so and repeats no old values."""
        self.silent = True
        self.view.enter("silent", running_s)
        return {
            "schema": RESULT_SCHEMA,
            "machine": self.machine.name,
            "sensor": self.sensor.name,
            "key": f"{self.machine.name}/{self.sensor.name}/silent-{time.time_ns()}",
            "number": None,
            "measured_unix_s": time.time(),
            "stated_unix_s": None,
            "age_s": round(running_s - self.last_sign_running_s, 3),
            "quality": {"usable": False, "flags": ["silent"]},
            "sensor_state": "silent",
            "speed": {"rpm": None, "age_s": None},
            "bearing": self._bearing(self._band, None),
            "indicators": {},
            "scores": {},
            "diagnosis": None,
            "evidence": None,
            "latency_ms": 0.0,
        }


def _age_s(quality: Quality) -> float:
    """Return how long ago a burst was measured."""
    return max(0.0, time.time() - quality.measured_unix_s)
