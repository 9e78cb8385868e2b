"""Figures for Prometheus, in its text format."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.responses import PlainTextResponse

from secateur.core.memory import resident_bytes
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.http.endpoint import Call, Endpoint
from secateur.edge.agent.http.reading import brief
from secateur.edge.agent.state.levels import Level

Samples = list[tuple[dict[str, str], float]]
_STATES = ("ok", "defect", "wrongly set up", "silent", "waiting")


def metrics(call: Call) -> PlainTextResponse:
    """Return all figures."""
    lines = "\n".join(_lines(call.agent)) + "\n"
    return PlainTextResponse(lines, media_type="text/plain; version=0.0.4; charset=utf-8")


def _lines(agent: Agent) -> Iterator[str]:
    yield from _family("secateur_ready", "gauge", "Whether bursts are taken", [({}, float(agent.is_ready))])
    yield from _family("secateur_memory_bytes", "gauge", "Resident memory", [({}, resident_bytes())])
    yield from _family(
        "secateur_bursts_total",
        "counter",
        "Bursts since the start, by what became of them",
        [({"outcome": name}, count) for name, count in agent.intake.counts.items()],
    )
    yield from _family(
        "secateur_source_total",
        "counter",
        "What came from a source since the start, by what became of it",
        [
            ({"source": name, "outcome": outcome}, count)
            for (name, outcome), count in agent.source_counts().items()
        ],
    )
    status = agent.outbox.status()
    yield from _family("secateur_outbox_rows", "gauge", "Results that wait", [({}, status.rows)])
    yield from _family("secateur_outbox_share", "gauge", "Filled share of the outbox", [({}, status.share)])
    if status.hours_left is not None:
        hours: Samples = [({}, status.hours_left)]
        said = "Hours until the first result is lost, at the rate of the last 5 min, if nothing is sent"
        yield from _family("secateur_outbox_hours_left", "gauge", said, hours)
    yield from _family(
        "secateur_dropped_total",
        "counter",
        "Results given up, by reason",
        [({"reason": name}, count) for name, count in status.dropped.items()],
    )
    yield from _family(
        "secateur_sink_available",
        "gauge",
        "Whether the last attempt of a sink succeeded",
        [({"sink": delivery.sink.name}, float(delivery.available)) for delivery in agent.deliveries],
    )
    yield from _family(
        "secateur_sink_sent_total",
        "counter",
        "Results that a sink has acknowledged since the start",
        [({"sink": delivery.sink.name}, delivery.sent) for delivery in agent.deliveries],
    )
    yield from _sensors(agent)


def _sensors(agent: Agent) -> Iterator[str]:
    levels: Samples = []
    learned: Samples = []
    states: Samples = []
    ages: Samples = []
    indicators: Samples = []
    for (machine, sensor), path in agent.paths.items():
        place, now = {"machine": machine, "sensor": sensor}, brief(agent, path)
        learned.append((place, now["learned"]))
        if now["bearing_state"] == now["level"]:
            levels.append((place, float(Level[now["level"].upper()])))
        states.extend((place | {"state": state}, float(state == now["sensor_state"])) for state in _STATES)
        if now["last_burst_age_s"] is not None:
            ages.append((place, now["last_burst_age_s"]))
        result = path.view.result
        if result is not None and not now["stale"]:
            indicators.extend((place | {"name": n}, value) for n, value in result["indicators"].items())
    yield from _family(
        "secateur_bearing_level", "gauge", "0 normal, 1 warning, 2 alarm; left out where nobody knows", levels
    )
    yield from _family("secateur_baseline_learned", "gauge", "Share of the baseline that is there", learned)
    yield from _family("secateur_sensor_state", "gauge", "1 for the state that holds", states)
    yield from _family("secateur_burst_age_seconds", "gauge", "Time since the last burst", ages)
    yield from _family(
        "secateur_indicator", "gauge", "Indicators of the last burst, unless its sensor is silent", indicators
    )


def _family(name: str, kind: str, meaning: str, samples: Samples) -> Iterator[str]:
    if not samples:
        return
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{{{inside}}} {value:.10g}" if inside else f"{name} {value:.10g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


ENDPOINTS = (
    Endpoint(
        path="/metrics",
        handler=metrics,
        answer=str,
        summary="Figures for Prometheus",
        answer_type="text/plain",
    ),
)
