"""Everything that a configuration names is tried before the agent starts, and all troubles come at once."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from agent_machines import RATE_HZ, SAMPLES, machine_settings, sensor_settings
from secateur.bundle.signature import create_key
from secateur.core.errors import ConfigError
from secateur.core.locks import LOCK_SUFFIX, acquire
from secateur.edge.agent import trial
from secateur.edge.agent.config.machines import Sensor
from secateur.edge.agent.models.fit import misfits
from secateur.edge.agent.models.store import Choice, ModelStore
from secateur.edge.agent.service import run
from secateur.edge.agent.trial import check, usable_config

FOLDER = {"type": "folder", "folder": "in"}
REPLAY = {"type": "replay", "file": "x.npy", "machine": "pump", "sensor": "drive-end"}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration beside a recording, a key, and a file that is nothing."""
    np.save(tmp_path / "short.npy", np.zeros(SAMPLES - 1, dtype=np.float32))
    np.savez(tmp_path / "fast.npz", x=np.zeros(2 * SAMPLES), sampling_rate_hz=2 * RATE_HZ)
    noise = np.random.default_rng(0).standard_normal((2, 3 * SAMPLES))
    np.save(tmp_path / "two.npy", noise)
    np.save(tmp_path / "x.npy", noise * [[1.0], [0.0]])
    np.savez(tmp_path / "times.npz", time=np.arange(3 * SAMPLES) / (2 * RATE_HZ), acc=noise[0])
    create_key(tmp_path / "private.pem", tmp_path / "public.pem")
    (tmp_path / "text").write_text("a file")
    (tmp_path / "lines").write_text("two\nlines")
    (tmp_path / "words").write_text("pass word")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")

    def written(**changed: Any) -> Path:
        known = {"machines": [machine_settings()], "sources": [FOLDER], "http": {"port": 0}}
        path = tmp_path / "agent.yaml"
        path.write_text(yaml.safe_dump(known | changed))
        return path

    return written


def _mqtt(**changed: Any) -> dict[str, Any]:
    return {"sinks": [{"type": "mqtt", **changed}]}


def _replay(**changed: Any) -> dict[str, Any]:
    return {"sources": [REPLAY | changed]}


UNUSABLE: list[tuple[dict[str, Any], str]] = [
    (_replay(file="lost.npy"), "sources.0.file: the file .*lost.npy is missing"),
    (_replay(file="text"), "sources.0: .*text cannot be replayed"),
    (_replay(file="pipe"), "sources.0.file: the file .*pipe is missing"),
    (_replay(file="."), "is a folder, and a file is needed"),
    (_replay(channel=2), "sources.0: .*x.npy has no channel '2'; it has: 0, 1"),
    (_replay(file="two.npy"), r"2 columns that may be vibration; choose one with 'channel: NUMBER' \(from 0"),
    (_replay(file="times.npz"), "has 24000 Hz; sensor drive-end is set up for 12000 Hz"),
    (_replay(file="times.npz", channel=0), "'time' was chosen as channel, but it rises in even steps"),
    (_replay(file="short.npy"), f"holds {SAMPLES - 1} samples in a row"),
    (_replay(file="fast.npz"), "sensor drive-end is set up for 12000 Hz"),
    ({"models": {"trusted_keys": ["lost"]}}, r"models.trusted_keys.0: .*lost is missing"),
    ({"models": {"trusted_keys": ["text"]}}, r"models.trusted_keys.0: .*text holds no usable key"),
    ({"models": {"trusted_keys": ["public.pem", "private.pem"]}}, r"models.trusted_keys.1: .*no usable key"),
    ({"http": {"token": {"file": "lost"}}}, "http.token: .*lost is missing"),
    ({"http": {"token": {"file": "empty"}}}, "http.token: .*empty holds no secret"),
    ({"http": {"token": {"file": "pipe"}}}, "http.token: .*pipe is a pipe"),
    ({"http": {"token": {"file": "lines"}}}, "http.token: .*lines must hold one line"),
    ({"http": {"token": {"env": "SECATEUR_NONE"}}}, "variable SECATEUR_NONE holds no secret"),
    ({"http": {"host": "192.0.2.1", "token": {"file": "text"}}}, "visible ASCII"),
    ({"http": {"read_token": {"file": "words"}}}, "http.read_token: .*visible ASCII"),
    (_mqtt(username="a", password={"file": "lines"}), "sinks.0.password: .*must hold one line"),
    (_mqtt(tls={"ca_file": "lost"}), "sinks.0.tls.ca_file: the file .*lost is missing"),
    (_mqtt(tls={"ca_file": "text"}), "sinks.0.tls: a certificate or key of tls cannot be used"),
    (
        _mqtt(tls={"certificate_file": "public.pem"}),
        "sinks.0.tls: a certificate or key of tls cannot be used",
    ),
    (
        {"sinks": [{"type": "webhook", "url": "https://a", "token": {"file": "words"}}]},
        "sinks.0.token: .*visible ASCII",
    ),
    ({"state_folder": "text"}, "state_folder: .*text must be a folder, but .*text is none; move it away"),
    ({"state_folder": "text/below"}, "state_folder: .*below must be a folder, but .*text is none"),
    ({"state_folder": "gone"}, "but .*gone is none"),
    ({"state_folder": "x" * 300}, "state_folder: .* cannot be used .*name another"),
    ({"sinks": [{"type": "csv", "folder": "text"}]}, "sinks.0.folder: .*text must be a folder"),
    ({"models": {"install_folder": "text"}}, "models.install_folder: .*text must be a folder"),
    ({"sources": [{"type": "folder", "folder": "text"}]}, "sources.0.folder: .*text must be a folder"),
]


@pytest.mark.parametrize(("changed", "told"), UNUSABLE)
def test_what_cannot_be_used_stops_the_start_and_the_check(
    write: Write, changed: dict[str, Any], told: str
) -> None:
    path = write(**changed)
    for act in (check, usable_config, run):
        with pytest.raises(ConfigError, match=told):
            act(path)


def test_a_certificate_a_recording_and_a_key_that_can_be_used(write: Write, tmp_path: Path) -> None:
    keys = {"models": {"trusted_keys": ["public.pem"]}}
    found = check(write(**_replay(channel=1), **keys, sinks=[{"type": "csv", "folder": "c/d"}]))
    assert found.config.sources[0].channel == 1
    assert not (tmp_path / "c").exists()  # to look changes nothing
    assert not (tmp_path / "state").exists()


def test_what_another_user_owns(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = {tmp_path / "text": os.R_OK, tmp_path / "closed": os.W_OK | os.X_OK}
    (tmp_path / "closed").mkdir()
    monkeypatch.setattr(trial.os, "access", lambda path, mode: closed.get(path) != mode)
    changed = {"state_folder": "closed/state", **_mqtt(tls={"ca_file": "text"})}
    with pytest.raises(ConfigError, match=r"may not write in .*closed; .*may not read .*text"):
        check(write(**changed))


def test_the_check_tells_where_nothing_could_be_stored(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(trial.os, "posix_fallocate", full)
        with pytest.raises(ConfigError, match=r"state_folder: a start needs 1024 KiB in .*: it is full"):
            check(write())
    with monkeypatch.context() as patched:
        patched.setattr(trial.os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
        for act in (check, usable_config):
            with pytest.raises(ConfigError, match=r"state_folder: .* is mounted read-only"):
                act(write())
    state = tmp_path / "state"
    (state / "baselines").mkdir(parents=True)
    with monkeypatch.context() as patched:  # what root has left there
        patched.setattr(trial.os, "access", lambda path, mode: Path(path).name != "baselines")
        with pytest.raises(ConfigError, match=r"this user may not write .*baselines; run 'chown'"):
            check(write())
    check(write())
    assert [path.name for path in state.iterdir()] == ["baselines"]
    with sqlite3.connect(state / "agent.sqlite") as other:
        other.execute("CREATE TABLE pages (name TEXT)")
    other.close()
    with pytest.raises(ConfigError, match=r"state_folder: .*agent.sqlite is the database of another program"):
        check(write())


def test_a_damaged_baseline_is_told(write: Write, tmp_path: Path) -> None:
    folder = tmp_path / "state" / "baselines" / "pump"
    folder.mkdir(parents=True)
    (folder / "drive-end.json").write_text('{"bands": 3}')
    with pytest.raises(ConfigError, match=r"sensor pump/drive-end: .*is not a baseline"):
        check(write())


def test_a_port_in_use_is_told_unless_the_agent_itself_has_it(write: Write, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path = write(http={"port": port})
        for act in (check, usable_config):
            with pytest.raises(ConfigError, match=f"http: http.host 127.0.0.1 port {port} cannot be used"):
                act(path)
        with pytest.raises(ConfigError, match=r"http: http.host .*cannot be used"):
            check(write(http={"host": "192.0.2.1", "token": {"env": "HOME"}}))
        path = write(http={"port": port})
        (tmp_path / "state").mkdir()
        held = acquire(tmp_path / "state" / LOCK_SUFFIX)
        assert check(path).config.http.port == port
        os.close(held)
        with pytest.raises(ConfigError, match="cannot be used"):
            check(path)


def test_all_troubles_come_at_once(write: Write) -> None:
    changed = {
        "models": {"trusted_keys": ["text"]},
        "sinks": [
            {"type": "mqtt", "tls": {"ca_file": "lost"}},
            {"type": "csv", "folder": "in"},
            {"type": "sparkplug", "group": "a", "node": "b", "name": "mqtt"},
        ],
        "http": {"port": 0, "token": {"file": "empty"}},
    }
    with pytest.raises(ConfigError) as error:
        check(write(**changed))
    told = str(error.value)
    assert "5 troubles: " in told
    for part in (
        "models.trusted_keys.0:",
        "sinks.0.tls.ca_file:",
        "sinks.1.folder and sources.0",
        "http.token:",
    ):
        assert part in told
    assert "two sinks have one name" in told


def _speed(**changed: Any) -> list[dict[str, Any]]:
    return [machine_settings() | {"speed": changed}]


def test_what_would_be_there_in_vain(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    modbus = {"type": "modbus", "machine": "pump", "address": 1}
    with pytest.raises(ConfigError, match="sensor pump/drive-end: no source brings its bursts"):
        check(write(sources=[]))
    with pytest.raises(ConfigError, match="nobody gives the speed of pump"):
        check(write(machines=_speed(), sources=[REPLAY]))
    good = [
        {"sources": [], "http": {"port": 0, "token": {"env": "HOME"}}},
        {"machines": _speed(), "sources": [REPLAY, modbus]},
        {"machines": _speed()},  # bursts in files may state the speed
        {"machines": [machine_settings(bearing=None) | {"speed": {}}], "sources": [REPLAY]},
    ]
    for changed in good:
        check(write(**changed))
    run(write(sources=[]), for_s=0.1)  # the watch goes on all the same
    assert "no source brings its bursts" in caplog.text


@pytest.mark.parametrize(
    ("rpm", "samples", "lost"),
    [
        (2.0, SAMPLES, "bpfo and bpfi"),
        (70_000.0, SAMPLES, "bpfo and bpfi"),
        (2.0, 1 << 20, None),
        (20_000.0, SAMPLES, None),
    ],
)
def test_a_bearing_whose_lines_no_burst_can_show(
    write: Write, rpm: float, samples: int, lost: str | None
) -> None:
    machines = [machine_settings(burst_samples=samples) | {"speed": {"rpm": rpm}}]
    if lost is None:
        check(write(machines=machines))
        return
    with pytest.raises(ConfigError, match=f"at {rpm:g} rpm a burst of 0.341 s .* shows no lines of {lost};"):
        check(write(machines=machines))


def _manifest(**changed: Any) -> Any:
    known = {
        "sampling_rate_hz": RATE_HZ,
        "window_length": SAMPLES,
        "resampling": None,
        "labels": ("normal", "ball"),
        "channel": None,
    }
    return SimpleNamespace(**(known | changed))


RULE = SimpleNamespace(allowed=True, lowest_hz=20_000.0)
UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"sampling_rate_hz": 24_000.0}, "it takes 24000 Hz, and the sensor has 12000 Hz"),
    (
        {"sampling_rate_hz": 25_000.0, "resampling": RULE, "window_length": 512},
        "or 20000 Hz and more",
    ),
    ({"window_length": 2 * SAMPLES}, "it needs bursts of 0.478 s"),
    ({"labels": ("ball", "inner_race")}, "it has no class 'normal' but ball, inner_race"),
    ({"labels": ("normal", "IR007")}, r"none of its classes \(normal, IR007\)"),
    ({"channel": SimpleNamespace(unit="mm/s")}, r"trained on velocity \(mm/s\)"),
]


@pytest.mark.parametrize(("changed", "told"), UNFIT)
def test_a_bundle_that_does_not_fit_its_sensor(changed: dict[str, Any], told: str) -> None:
    (reason,) = misfits(_manifest(**changed), Sensor.model_validate(sensor_settings()))
    assert re.search(told, reason)


def test_a_bundle_that_fits_its_sensor() -> None:
    sensor = Sensor.model_validate(sensor_settings(unit="m/s2"))
    lower = SimpleNamespace(allowed=True, lowest_hz=RATE_HZ)
    for changed in (
        {"channel": SimpleNamespace(unit="g")},
        {"sampling_rate_hz": 16_000.0, "window_length": 4096, "resampling": lower},
    ):
        assert list(misfits(_manifest(**changed), sensor)) == []


def test_bundles_are_tried_with_their_sensors(write: Write, tmp_path: Path, bundle_folder: Path) -> None:
    machines = [machine_settings(bundle="pumps", burst_samples=256, indicators={"bands": 2})]
    with pytest.raises(ConfigError, match=r"pump/drive-end, bundle pumps: no version .*models install"):
        check(write(machines=machines))
    store = ModelStore(tmp_path / "state" / "models")
    installed = store.install(bundle_folder, name="pumps")
    store.choose("pumps", Choice(active=installed.version))
    with pytest.raises(ConfigError, match=r"bundle pumps: it needs bursts of 0\.030 s"):
        check(write(machines=machines))
    machines = [machine_settings(bundle="pumps", burst_samples=512, indicators={"bands": 2})]
    assert check(write(machines=machines)).bundles == {"pumps": installed.version}
    assert json.loads((tmp_path / "state/models/pumps/active.json").read_text())["candidate"] is None
