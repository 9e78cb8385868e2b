"""The configuration file: strict, with secrets elsewhere."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from agent_machines import machine_settings
from secateur.core.errors import ConfigError
from secateur.edge.agent.config.connections import Sink, Source
from secateur.edge.agent.config.file import parse_config, read_config
from secateur.edge.agent.config.parts import Part, parts_in
from secateur.edge.agent.config.settings import AgentConfig
from secateur.edge.agent.state.baseline import baseline_file


def _written(tmp_path: Path, **changed: Any) -> Path:
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump({"machines": [machine_settings()], **changed}))
    return path


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    config = read_config(_written(tmp_path))
    assert config.http.is_loopback
    assert config.state_folder == tmp_path / "state"
    assert config.places()["pump", "drive-end"][1].bearing.orders().bpfo == pytest.approx(3.585, abs=0.001)


MISTAKES = [
    (
        {"machines": [machine_settings(indicators={"envelope_band_hz": [3000, 3005]})]},
        "envelope_band_hz: demodulation band 3000 to 3005 Hz",
    ),
    ({"machine": []}, "machine: there is no such key; machines is meant? allowed: name, state_folder, "),
    (
        {"machines": [machine_settings(limits={"absolute": {"rms": {"warning": 1, "alarm": float("inf")}}})]},
        "rms.alarm: inf is not allowed here; allowed: a finite number",
    ),
    ({"outbox": {"replay_per_s": float("nan")}}, "replay_per_s: nan is not allowed here; allowed: a"),
    ({"http": {"host": "0.0.0.0"}}, "give http.token"),
    ({"sinks": [{"type": "mqtt", "password": "secret"}]}, "never stands in this file"),
    ({"sinks": [{"type": "csv", "folder": "a"}, {"type": "csv", "folder": "b"}]}, "two sinks have one name"),
    ({"sources": [{"type": "mqtt", "topic": "plant/burst"}]}, "must hold {machine} and {sensor}"),
    ({"sources": [{"type": "mqtt", "topic": "plant/{machine}/{sensor}/#"}]}, "topic"),
    ({"sources": [{"type": "replay", "file": "x.npy", "machine": "fan", "sensor": "a"}]}, "there are pump"),
    (
        {"sources": [{"type": "telnet"}]},
        "sources.0.type: 'telnet' is not allowed; allowed: 'mqtt', 'folder',",
    ),
    (
        {"sources": [{"type": "mqtt", "topic": "{machine}/{sensor}", "host_id": "x"}]},
        "host_id belongs to payload",
    ),
    ({"sinks": [{"type": "sparkplug", "group": "STATE", "node": "n"}]}, "group: STATE is no group"),
    ({"sources": [{"type": "mqtt", "topic": "STATE", "payload": "sparkplug"}]}, "STATE is no group"),
    ({"sources": [{"topic": "x"}]}, "sources.0.type: must be given: 'mqtt',"),
    ({"sources": {"type": "mqtt"}}, "sources: a mapping is not allowed here; allowed: a list"),
    (
        {"sinks": [{"type": "mqtt", "port": "1883a"}]},
        "sinks.0.port: '1883a' is not allowed here; allowed: a whole",
    ),
    ({"sinks": [{"type": "mqtt", "port": 0}]}, "sinks.0.port: 0 is not allowed here; allowed: at least 1"),
    (
        {"sinks": [{"type": "mqtt", "tls": True}]},
        "tls: True is not allowed here; allowed: a mapping with ca_file",
    ),
    ({"sinks": [{"type": "mqtt", "username": "u", "password": 4711}]}, "password: what stands there is not"),
    ({"outbox": {"drop": "old"}}, "outbox.drop: 'old' is not allowed here; allowed: 'oldest' or 'newest'"),
    (
        {"machines": [machine_settings() | {"speed": 1797}]},
        "speed: 1797 is not allowed here; allowed: a mapping",
    ),
    (
        {"machines": [machine_settings(silent_after_s=True)]},
        "silent_after_s is true, which is neither number",
    ),
    (
        {"machines": [machine_settings() | {"name": "no"}, machine_settings() | {"name": False}]},
        "name is false",
    ),
    ({"machines": [machine_settings(unit="G")]}, "unit: 'G' is not allowed here; allowed: 'g', 'm/s2'"),
    ({"machines": [machine_settings(bearing="99999x")]}, "unknown bearing"),
    ({"machines": [machine_settings(name="../up")]}, "name"),
    ({"machines": [machine_settings(indicators={"envelope_band_hz": [4000, 9000]})]}, "within 0 to 6000"),
    ({"machines": [machine_settings(limits={"warning_score": 9, "alarm_score": 8})]}, "must be lower"),
    ({"machines": []}, "machines"),
]


@pytest.mark.parametrize(("changed", "told"), MISTAKES)
def test_mistakes_are_named(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_config(_written(tmp_path, **changed))
    assert told in str(error.value)


@pytest.mark.parametrize("content", ["", "[1, 2]", "a: [", "machines: &a [*a]", "\x00"])
def test_what_is_no_configuration(tmp_path: Path, content: str) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError):
        read_config(path)


def test_secrets_come_from_environment_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("abc\n")
    config = read_config(
        _written(
            tmp_path,
            http={"token": {"file": "token"}},
            sinks=[{"type": "mqtt", "username": "a", "password": {"env": "BROKER_PASSWORD"}}],
        )
    )
    assert isinstance(config, AgentConfig)
    assert config.http.token.read() == "abc"
    with pytest.raises(ConfigError, match="BROKER_PASSWORD holds no secret"):
        config.sinks[0].password.read()
    monkeypatch.setenv("BROKER_PASSWORD", "xyz")
    assert config.sinks[0].password.read() == "xyz"


def test_only_the_cause_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_config(_written(tmp_path, machines=[machine_settings(unit="m/s")]))
    assert "sensors.0.unit" in str(error.value)
    assert "at least 1 item" not in str(error.value)


LINKS = [
    (kind, tag, part)
    for kind, union in (("sources", Source), ("sinks", Sink))
    for part in parts_in(union)
    for tag in get_args(part.model_fields["type"].annotation)
]


@pytest.mark.parametrize(("kind", "tag", "part"), LINKS)
def test_a_misspelt_key_names_the_keys_of_its_own_type(
    tmp_path: Path, kind: str, tag: str, part: type[Part]
) -> None:
    own = [name for name in part.model_fields if name != "type"]
    for name in own:
        misspelt = f"{name}x"
        with pytest.raises(ConfigError) as error:
            read_config(_written(tmp_path, **{kind: [{"type": tag, misspelt: 1}]}))
        told = f"{kind}.0.{misspelt}: there is no such key; {name} is meant? allowed: "
        assert f"{told}{', '.join(part.model_fields)}" in str(error.value)


def test_a_key_of_another_type_is_no_key(tmp_path: Path) -> None:
    for kind, wrong, told in [
        ("sources", {"type": "mqtt", "folder": "in"}, "0.folder: there is no such key; allowed: host, port"),
        ("sinks", {"type": "csv", "folder": "x", "topik": "y"}, "allowed: type, name, folder, days"),
        ("sources", {"type": "folder", "folder": 3}, "sources.0.folder: 3 is not allowed here"),
    ]:
        with pytest.raises(ConfigError) as error:
            read_config(_written(tmp_path, **{kind: [wrong]}))
        assert told in str(error.value)
        assert "is meant" not in str(error.value)


def _opcua(**changed: Any) -> dict[str, Any]:
    return {"sources": [{"type": "opcua", "machine": "pump", "speed_node": "i=1", **changed}]}


def _modbus(**changed: Any) -> dict[str, Any]:
    return {"sources": [{"type": "modbus", "machine": "pump", "address": 0, **changed}]}


TWICE = [{"type": "mqtt", "topic": "{machine}/{sensor}", "client_id": "x"}]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"machines": []}, "machines: an empty list is not allowed here; allowed: a list of at least 1"),
        ({"name": "a b"}, "name: 'a b' is not allowed here; allowed: letters, digits"),
        (
            {"machines": [machine_settings(name="a/b")]},
            "name: 'a/b' is not allowed here; allowed: letters of any language",
        ),
        ({"machines": [machine_settings(name="a#")]}, "'a#' is not allowed here"),
        ({"machines": [machine_settings(name="a ")]}, "no space last"),
        ({"machines": [machine_settings(name="a\u200bb")]}, "is not allowed here"),
        ({"machines": [machine_settings(name="u\u0308")]}, "write it composed"),
        ({"machines": [machine_settings(name="\U00020000" * 40)]}, "more than 128 bytes"),
        ({"name": 10}, "name: 10 is not allowed here; allowed: text; write it in quotes"),
        ({"sources": TWICE, "sinks": [{"type": "mqtt", "client_id": "x"}]}, "two connections to one broker"),
        ({"sources": TWICE * 2}, "two connections to one broker"),
        ({"sources": [{"type": "mqtt", "topic": "$share/g/{machine}/{sensor}"}]}, "does not begin with"),
        ({"sinks": [{"type": "mqtt", "topic": "a/{machine}"}]}, "without wildcards, braces"),
        ({"sinks": [{"type": "mqtt", "topic": "a/"}]}, "empty levels"),
        ({"sinks": [{"type": "mqtt", "topic": "$SYS/a"}]}, "does not begin with"),
        ({"state_folder": "~/state"}, "state_folder: '~/state' begins with '~'"),
        ({"state_folder": ""}, "state_folder: '' is no path"),
        ({"sinks": [{"type": "webhook", "url": "http://"}]}, "sinks.0.url: 'http://' is no address"),
        ({"sinks": [{"type": "webhook", "url": "http://:80/x"}]}, "give http://HOST or https://HOST"),
        ({"sinks": [{"type": "webhook", "url": "plant.example/x"}]}, "is no address"),
        ({"sinks": [{"type": "webhook", "url": "http://h:99999"}]}, "is no address .Port out of range"),
        ({"sinks": [{"type": "webhook", "url": "http://a b/x"}]}, "is no address"),
        ({"sinks": [{"type": "webhook", "url": "http://ada:pw@h/x"}]}, "no user and no password"),
        ({"sinks": [{"type": "webhook", "url": "http://h/x#y"}]}, "ends in '#'"),
        (_opcua(url="opc.tcp://:4840"), "give opc.tcp://HOST"),
        (_opcua(url="http://h"), "give opc.tcp://HOST"),
        ({"sinks": [{"type": "mqtt", "host": "mqtt://broker"}]}, "'mqtt://broker' is no host; .* as 'port'"),
        ({"sinks": [{"type": "mqtt", "host": "broker:1883"}]}, "'broker:1883' is no host"),
        ({"sinks": [{"type": "mqtt", "host": ""}]}, "'' is no host"),
        ({"sinks": [{"type": "mqtt", "host": "192.168.1.300"}]}, "'192.168.1.300' is no host"),
        ({"http": {"host": "hall 3"}}, "http.host: 'hall 3' is no host"),
        (
            {"http": {"trusted_proxies": ["*"]}},
            "trusted_proxies.0: '\\*' is neither an address nor a network",
        ),
        ({"http": {"trusted_proxies": ["10.0.0.7/8"]}}, "neither an address nor a network; give numbers"),
        ({"sinks": [{"type": "mqtt", "password": {"env": "A"}}]}, "password belongs to a username"),
        ({"sinks": [{"type": "mqtt", "tls": {"key_file": "a"}}]}, "key_file belongs to a certificate_file"),
        ({"sinks": [{"type": "sparkplug", "group": "a/b", "node": "n"}]}, "sinks.0.group: 'a/b'"),
        ({"sinks": [{"type": "sparkplug", "group": "a", "node": "+"}]}, "sinks.0.node: .* is not allowed"),
        (_modbus(address=65535, number="float32"), "takes two registers"),
    ],
)
def test_what_would_go_wrong_in_silence(changed: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told.replace("$", r"\$")):
        parse_config({"machines": [machine_settings()], **changed}, tmp_path / "agent.yaml")


def test_connections_to_two_brokers_may_have_one_name(tmp_path: Path) -> None:
    sinks = [{"type": "mqtt", "client_id": "x", "port": 1884}]
    value = {"machines": [machine_settings()], "sources": TWICE, "sinks": sinks}
    assert parse_config(value, tmp_path / "agent.yaml").sinks[0].topic == "secateur"


def test_every_sensor_has_a_baseline_of_its_own(tmp_path: Path) -> None:
    names = ["a", "a.b", "a.b.c", "a-b", "a_b"]
    files = {baseline_file(tmp_path, machine, sensor) for machine in names for sensor in names}
    assert len(files) == len(names) ** 2
