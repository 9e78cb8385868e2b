"""Entries of a configuration that contradict each other are refused, each by the names of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_machines import machine_settings
from secateur.core.errors import ConfigError
from secateur.edge.agent.config.addresses import plain_host
from secateur.edge.agent.config.consistency import matches
from secateur.edge.agent.config.file import parse_config

paho = pytest.importorskip("paho.mqtt.client")

FAN = machine_settings() | {"name": "fan"}
FREE = [machine_settings() | {"speed": {}}]
MODBUS = {"type": "modbus", "machine": "pump", "address": 1}
REPLAY = {"type": "replay", "file": "x.npy", "machine": "pump", "sensor": "drive-end"}
SPARKPLUG = {"type": "mqtt", "topic": "plant", "payload": "sparkplug"}
NODE = {"type": "sparkplug", "group": "plant", "node": "gateway"}


def _mqtt(topic: str, **changed: Any) -> dict[str, Any]:
    return {"type": "mqtt", "topic": topic, **changed}


def _folder(folder: str) -> dict[str, Any]:
    return {"type": "folder", "folder": folder}


def _csv(folder: str, **changed: Any) -> dict[str, Any]:
    return {"type": "csv", "folder": folder, **changed}


def _loop(source: str, sink: str) -> dict[str, Any]:
    return {"sources": [_mqtt(source)], "sinks": [_mqtt(sink, host="localhost")]}


LOOP = "sources.0.topic: it would take results of sinks.0 for bursts"
CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"machines": [FAN, FAN]}, "machines.0 and machines.1: two machines have one name"),
    ({"sinks": [_csv("a"), _csv("b")]}, "sinks.0 and sinks.1: two sinks have one name"),
    ({"name": "pump", "machines": [machine_settings(name="outbox")]}, "reports on itself as pump/outbox"),
    ({"sources": [REPLAY | {"machine": "fan"}]}, "sources.0: names machine fan; there are pump"),
    ({"sources": [REPLAY | {"sensor": "x"}]}, "sources.0: names pump/x, which is no sensor here"),
    ({"machines": FREE, "sources": [MODBUS, MODBUS | {"address": 3}]}, "both feed the speed of one machine"),
    ({"sources": [MODBUS]}, "sources.0: feeds the speed of pump, whose speed.rpm is fixed"),
    (
        {"machines": FREE, "sources": [MODBUS | {"every_s": 61}]},
        "every 61 s for a speed that counts for 60 s",
    ),
    ({"sources": [REPLAY, REPLAY | {"file": "y.npy"}]}, "both bring the same bursts"),
    (
        {"sources": [_mqtt("a/{machine}/{sensor}"), _mqtt("a/{sensor}/{machine}", payload="raw")]},
        "the same",
    ),
    ({"sinks": [_csv("a"), _csv("./a/../a", name="b")]}, "both send to the same place"),
    ({"sinks": [_mqtt("a"), _mqtt("a", name="b", host="::1")]}, "both send to the same place"),
    ({"sinks": [NODE, NODE | {"name": "b"}]}, "both send to the same place"),
    (
        _loop("results/{machine}/{sensor}/result", "results"),
        f"{LOOP}, such as those on results/pump",
    ),
    (_loop("a/{machine}/{sensor}/alarm", "a"), LOOP),
    (_loop("{machine}/{sensor}/drive-end/result", "a"), LOOP),
    (_loop("a/b/{sensor}/{machine}/result", "a/b"), LOOP),
    (_loop("a/secateur/{machine}/{sensor}", "a"), f"{LOOP}, such as those on a/secateur/outbox/result"),
    ({"sources": [_mqtt("spBv1.0/{machine}/{sensor}/gateway")], "sinks": [NODE]}, LOOP),
    (
        {"sources": [SPARKPLUG], "sinks": [NODE | {"node": "pump"}]},
        "sinks.0.node is pump, which",
    ),
    (
        {"sources": [_folder("in")], "sinks": [_csv("in")]},
        "sinks.0.folder and sources.0.folder: what",
    ),
    ({"sources": [_folder("in")], "sinks": [_csv("in/pump/drive-end")]}, "would lie in a watched folder"),
    ({"sources": [_folder("in")], "state_folder": "in/state"}, "state_folder and sources.0.folder"),
    (
        {"models": {"install_folder": "log"}, "sinks": [_csv("log")]},
        "sinks.0.folder and models.install",
    ),
    ({"sources": [_folder("in"), _folder("in")]}, "one watched folder is, or lies in, the other"),
    ({"sources": [_folder("in")], "models": {"install_folder": "in/x"}}, "one watched folder is, or lies in"),
]


@pytest.mark.parametrize(("changed", "told"), CONTRADICTIONS)
def test_what_contradicts_itself(changed: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config({"machines": [machine_settings()], **changed}, tmp_path / "agent.yaml")
    assert told in str(error.value)


AGREEING: list[dict[str, Any]] = [
    _loop("plant/{machine}/{sensor}/burst", "plant"),
    {"sources": [_mqtt("a/{machine}/{sensor}/result")], "sinks": [_mqtt("a", port=1884)]},
    {"sources": [SPARKPLUG], "sinks": [NODE]},
    {"sources": [_folder("state/in")], "sinks": [_csv("state/log")]},
    {"sinks": [_csv("a"), _csv("a", type="parquet", name="b")]},
    {"machines": FREE, "sources": [MODBUS]},
]


@pytest.mark.parametrize("changed", AGREEING)
def test_what_agrees(changed: dict[str, Any], tmp_path: Path) -> None:
    parse_config({"machines": [machine_settings()], **changed}, tmp_path / "agent.yaml")


def test_a_link_leads_into_a_watched_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "log").symlink_to(tmp_path / "in")
    value = {"machines": [machine_settings()], "sources": [_folder("in")], "sinks": [_csv("log")]}
    with pytest.raises(ConfigError, match="would lie in a watched folder"):
        parse_config(value, tmp_path / "agent.yaml")


LEVELS = st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=4)


@given(LEVELS, st.booleans(), st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=4))
def test_subscriptions_match_as_in_the_client(levels: list[str], all_below: bool, topic: list[str]) -> None:
    subscription = "/".join([*levels, "#"] if all_below else levels)
    assert matches(subscription, "/".join(topic)) == paho.topic_matches_sub(subscription, "/".join(topic))


def test_spellings_of_one_host() -> None:
    assert len({plain_host(host) for host in ("localhost", "127.0.0.1", "::1", "LOCALHOST.")}) == 1
    assert plain_host("Broker.Plant.") == plain_host("broker.plant") != plain_host("broker")


SENSORS: list[tuple[dict[str, Any], str]] = [
    (
        {"limits": {"absolute": {"rmss": {"warning": 1, "alarm": 2}}}},
        "limits.absolute names rmss; this sensor",
    ),
    ({"limits": {"rise_per_hour": {"band_7": 1.0}}}, "limits.rise_per_hour names band_7"),
    ({"bearing": None, "limits": {"rise_per_hour": {"line_bpfo": 1.0}}}, "names line_bpfo"),
    ({"burst_samples": 64}, "resolve 188 Hz, so a band is empty"),
    ({"silent_after_s": 0.3}, "a burst lasts 0.341333 s; silent_after_s must be longer"),
]


@pytest.mark.parametrize(("changed", "told"), SENSORS)
def test_a_sensor_that_contradicts_itself(changed: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config({"machines": [machine_settings(**changed)]}, tmp_path / "agent.yaml")
    assert told in str(error.value)


@pytest.mark.parametrize("speed", [{"lowest_rpm": 9, "highest_rpm": 9}, {"rpm": 5, "lowest_rpm": 9}])
def test_a_speed_that_is_never_believed(speed: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lower than highest_rpm|no speed is believed"):
        parse_config({"machines": [machine_settings() | {"speed": speed}]}, tmp_path / "agent.yaml")
