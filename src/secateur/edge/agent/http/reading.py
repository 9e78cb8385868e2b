"""What can be read: fleet, machines, sensors with their spectra, alarms, outbox, models, the agent."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import numpy as np
from starlette.responses import StreamingResponse

from secateur.core.memory import peak_resident_bytes, resident_bytes
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.http import answers
from secateur.edge.agent.http.endpoint import Call, Endpoint, NotFound, Parameter
from secateur.edge.agent.pipeline import SensorPath
from secateur.edge.agent.state.alarms import Alarm
from secateur.edge.agent.state.levels import Level, limit_values
from secateur.edge.agent.state.trends import TIERS
from secateur.signals.kinematics import FaultOrders

_SENSOR = "/api/machines/{machine}/sensors/{sensor}"
_RANK = {level.word: int(level) for level in Level}


def sensor_of(call: Call) -> SensorPath:
    """Return the sensor that an address names.

    Raises
    ------
    NotFound
        If there is none.
    """
    machine, sensor = call.path["machine"], call.path["sensor"]
    path = call.agent.paths.get((machine, sensor))
    if path is None:
        raise NotFound(f"there is no sensor '{machine[:64]}/{sensor[:64]}'.")
    found: SensorPath = path
    return found


def brief(agent: Agent, path: SensorPath) -> answers.SensorBrief:
    """Return the state of a sensor in short."""
    result = path.view.result
    last_s = path.last_burst_running_s
    state = "silent" if path.silent else "waiting" if result is None else result["sensor_state"]
    diagnosis = None if result is None else result["diagnosis"]
    level: answers.Level = path.levels.level.word
    # before the first burst nobody knows which operating band counts
    learned = path.baseline.furthest() if result is None else result["bearing"]["learned"]
    bearing_state: answers.BearingState = level
    if level == "normal" and (state != "ok" or learned < 1):
        bearing_state = "unknown" if state != "ok" or path.baseline.trouble else "learning"
    return {
        "sensor": path.sensor.name,
        "sensor_state": state,
        "level": level,
        "bearing_state": bearing_state,
        "causes": {name: cause.word for name, cause in path.levels.causes.items()},
        "learned": learned,
        "baseline_trouble": path.baseline.trouble,
        "label": None if diagnosis is None else diagnosis["label"],
        "confidence": None if diagnosis is None else diagnosis["confidence"],
        "last_burst_age_s": None if last_s is None else round(agent.clock.now_s() - last_s, 3),
        "stale": last_s is None or agent.clock.now_s() - last_s > path.sensor.silent_after_s,
    }


def fleet(call: Call) -> answers.Fleet:
    """Return all machines with the worst level of their sensors."""
    agent: Agent = call.agent
    machines: list[answers.Machine] = []
    for machine in agent.config.machines:
        sensors = [brief(agent, agent.paths[machine.name, sensor.name]) for sensor in machine.sensors]
        worst = max((entry["level"] for entry in sensors), key=_RANK.__getitem__)
        machines.append(
            {"machine": machine.name, "description": machine.description, "level": worst, "sensors": sensors}
        )
    return {"agent": agent.config.name, "unix_s": time.time(), "machines": machines}


def machine(call: Call) -> answers.Machine:
    """Return one machine."""
    for entry in fleet(call)["machines"]:
        if entry["machine"] == call.path["machine"]:
            return entry
    raise NotFound(f"there is no machine '{call.path['machine'][:64]}'.")


def sensor(call: Call) -> dict[str, Any]:
    """Return one sensor: settings, state, latest result, baseline."""
    path = sensor_of(call)
    speed = None if path.latest_speed is None else path.latest_speed[0]
    return {
        "machine": path.machine.name,
        **brief(call.agent, path),
        "settings": path.sensor.model_dump(mode="json"),
        "band_hz": list(path.band_hz),
        "fault_orders": _orders(path.orders),
        "feed_speed_rpm": speed,
        "baseline": path.baseline.summary(),
        "result": path.view.result,
        **path.view.history(call.agent.clock.now_s()),
    }


def _orders(orders: FaultOrders | None) -> dict[str, float] | None:
    if orders is None:
        return None
    return {"bpfo": orders.bpfo, "bpfi": orders.bpfi, "bsf2": orders.bsf2, "ftf": orders.ftf, "shaft": 1.0}


def _with_lines(path: SensorPath, spectrum: dict[str, Any]) -> dict[str, Any]:
    """Add where the fault lines lie, in the unit of the axis."""
    result = path.view.result
    rpm = None if result is None else result["speed"]["rpm"]
    orders = _orders(path.orders)
    factor = 1.0 if spectrum.get("in_orders") else None if rpm is None else rpm / 60.0
    if orders is None or factor is None:
        return spectrum | {"lines": None, "speed_rpm": rpm}
    return spectrum | {"lines": {name: rate * factor for name, rate in orders.items()}, "speed_rpm": rpm}


def envelope(call: Call) -> dict[str, Any]:
    """Return the envelope spectrum with fault lines."""
    path, low, high = sensor_of(call), call.query["low_hz"], call.query["high_hz"]
    band = None
    if low is not None or high is not None:
        band = (low or 0.0, high if high is not None else path.sensor.sampling_rate_hz / 2)
    return _with_lines(path, path.view.envelope(band))


def trend(call: Call) -> dict[str, Any]:
    """Return indicators over time."""
    path, tier = sensor_of(call), call.query["tier"]
    entries = call.agent.trends.read(
        path.machine.name,
        path.sensor.name,
        tier=tier,
        most=call.query["most"],
        indicator=call.query["indicator"],
    )
    result = path.view.result
    band = None if result is None else result["bearing"]["band"]
    return {
        "tier": tier,
        "entries": entries,
        "medians": path.baseline.medians(band) if band else {},
        "limits": limit_values(path.sensor.limits, path.baseline, band) if band else {},
    }


def alarms(call: Call) -> dict[str, Any]:
    """Return alarms, the latest first."""
    found = call.agent.alarms.latest(
        open_only=call.query["open"], most=call.query["most"], machine=call.query["machine"]
    )
    return {"alarms": [alarm.to_json() for alarm in found]}


def alarm(call: Call) -> dict[str, Any]:
    """Return one alarm with what happened to it."""
    name = call.path["alarm"]
    found: Alarm | None = call.agent.alarms.find(name)
    if found is None:
        raise NotFound(f"there is no alarm '{name[:120]}'.")
    return found.to_json() | {"events": call.agent.alarms.events(name)}


def alarms_csv(call: Call) -> StreamingResponse:
    """Return all alarms as CSV."""
    headers = {"Content-Disposition": 'attachment; filename="alarms.csv"'}
    return StreamingResponse(call.agent.alarms.csv(), media_type="text/csv", headers=headers)


def outbox(call: Call) -> answers.Outbox:
    """Return how full the outbox is, and how the sinks are."""
    agent: Agent = call.agent
    status = agent.outbox.status()
    return {
        "rows": status.rows,
        "bytes": status.bytes,
        "most_bytes": status.most_bytes,
        "room_bytes": status.room_bytes,
        "share": status.share,
        "filling": status.filling,
        "bytes_per_s": status.bytes_per_s,
        "rate_over_s": status.rate_over_s,
        "hours_left": status.hours_left,
        "drop_policy": agent.config.outbox.drop,
        "dropped": status.dropped,
        "storage_trouble": agent.storage_trouble,
        "sinks": [
            {
                "name": delivery.sink.name,
                "available": delivery.available,
                "trouble": "" if delivery.available else delivery.trouble,
                "sent": delivery.sent,
                "waiting": status.waiting.get(delivery.sink.name, 0),
            }
            for delivery in agent.deliveries
        ],
    }


def status(call: Call) -> answers.Status:
    """Return the agent itself: version, times, memory, latency, sources."""
    agent: Agent = call.agent
    latencies = np.array(agent.latencies_ms)

    def share(percent: int) -> float | None:
        return float(np.percentile(latencies, percent)) if len(latencies) else None

    return {
        "agent": agent.config.name,
        "version": version("secateur"),
        "started_unix_s": agent.started_unix_s,
        "running_s": agent.clock.now_s(),
        "ready": agent.is_ready,
        "config_trouble": agent.config_trouble,
        "memory_bytes": resident_bytes(),
        "peak_memory_bytes": peak_resident_bytes(),
        "latency_ms": {"p50": share(50), "p90": share(90), "p99": share(99)},
        "bursts": {**agent.intake.counts, "twice": agent.twice, "waiting": agent.intake.waiting},
        "database_repairs": agent.database.repairs,
        "sources": [source.status() for source in agent.sources],
    }


def models(call: Call) -> dict[str, Any]:
    """Return all bundles: those that sensors name, and others that are installed."""
    found: dict[str, Any] = call.agent.bundles.status()
    return found


def _view(name: str) -> Any:
    return lambda call: _with_lines(sensor_of(call), getattr(sensor_of(call).view, name)())


_MOST = Parameter(name="most", kind="integer", default=500, lowest=1, highest=5000)
ENDPOINTS = (
    Endpoint(
        path="/api/fleet", handler=fleet, answer=answers.Fleet, summary="All machines with their levels"
    ),
    Endpoint(path="/api/machines/{machine}", handler=machine, answer=answers.Machine, summary="One machine"),
    Endpoint(
        path=_SENSOR,
        handler=sensor,
        answer=answers.Sensor,
        summary="One sensor: state, latest result, baseline",
    ),
    Endpoint(
        path=f"{_SENSOR}/waveform",
        handler=lambda call: sensor_of(call).view.waveform(),
        answer=answers.Waveform,
        summary="Latest waveform",
    ),
    Endpoint(
        path=f"{_SENSOR}/spectrum",
        handler=_view("spectrum"),
        answer=answers.Spectrum,
        summary="Latest spectrum with fault lines",
    ),
    Endpoint(
        path=f"{_SENSOR}/envelope",
        handler=envelope,
        answer=answers.Envelope,
        summary="Envelope spectrum with fault lines: averaged, or of the latest burst in a given band",
        query=(
            Parameter(name="low_hz", kind="number", lowest=0, highest=1e6),
            Parameter(name="high_hz", kind="number", lowest=0, highest=1e6),
        ),
    ),
    Endpoint(
        path=f"{_SENSOR}/waterfall",
        handler=lambda call: sensor_of(call).view.waterfall(),
        answer=answers.Waterfall,
        summary="Spectra over time",
    ),
    Endpoint(
        path=f"{_SENSOR}/trend",
        handler=trend,
        answer=answers.Trend,
        summary="Indicators over time",
        query=(
            Parameter(
                name="tier", kind="string", default="bursts", choices=tuple(name for name, _, _ in TIERS)
            ),
            Parameter(name="indicator", kind="string"),
            _MOST,
        ),
    ),
    Endpoint(
        path="/api/alarms",
        handler=alarms,
        answer=answers.Alarms,
        summary="Alarms, the latest first; open: only those that are open or not acknowledged",
        query=(
            Parameter(name="open", kind="boolean", default=False),
            Parameter(name="machine", kind="string"),
            _MOST,
        ),
    ),
    Endpoint(
        path="/api/alarms.csv",
        handler=alarms_csv,
        answer=str,
        summary="All alarms as CSV",
        answer_type="text/csv",
    ),
    Endpoint(
        path="/api/alarms/{alarm}",
        handler=alarm,
        answer=answers.AlarmWithEvents,
        summary="One alarm with its events",
    ),
    Endpoint(
        path="/api/outbox",
        handler=outbox,
        answer=answers.Outbox,
        summary="How full the outbox is, and how the sinks are",
    ),
    Endpoint(
        path="/api/status",
        handler=status,
        answer=answers.Status,
        summary="The agent: memory, latency, sources",
    ),
    Endpoint(path="/api/models", handler=models, answer=answers.Models, summary="Bundles and their versions"),
)
