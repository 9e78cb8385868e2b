"""Recordings for replays and commissioning: WAV of every width, NPZ, NPY, and damaged ones."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_machines import RATE_HZ, SAMPLES, machine_settings
from secateur.core.errors import ConfigError, DataError
from secateur.edge.agent.commissioning import learn_from
from secateur.edge.agent.config.machines import Machine
from secateur.edge.agent.pipeline import SensorPath
from secateur.edge.agent.publish import Replay, bursts_of
from secateur.edge.agent.sources.folder import read_burst_file
from secateur.edge.agent.sources.recording import open_recording
from secateur.signals.sources import time_axis

WAVS = [
    ("PCM_U8", 2**-7),
    ("PCM_16", 2**-15),
    ("PCM_24", 2**-23),
    ("PCM_32", 2**-24),
    ("FLOAT", 2**-24),
    ("DOUBLE", 2**-24),
]


@pytest.mark.parametrize(("kind", "step"), WAVS)
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
def test_wav_of_every_width(tmp_path: Path, kind: str, step: float, container: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    wave = np.stack([0.9 * np.cos(np.arange(101.0)), np.sin(np.arange(101.0))], axis=1)
    soundfile.write(tmp_path / "a.wav", wave, 12_000, subtype=kind, format=container)
    for channel in range(2):
        recording = open_recording(tmp_path / "a.wav", channel)
        assert recording.sampling_rate_hz == 12_000
        ((_, samples),) = recording.cut(101, 12_000.0)
        np.testing.assert_allclose(samples, wave[:, channel], atol=step)
    with pytest.raises(DataError, match="has no channel '2'; it has: 0, 1"):
        open_recording(tmp_path / "a.wav", 2)
    with pytest.raises(DataError, match="2 columns that may be vibration"):
        open_recording(tmp_path / "a.wav")
    with pytest.raises(DataError, match="2 channels"):
        read_burst_file("m", "s", tmp_path / "a.wav", 4096)
    soundfile.write(tmp_path / "b.wav", wave[:, 1], 12_000, subtype=kind, format=container)
    burst = read_burst_file("m", "s", tmp_path / "b.wav", 4096)
    np.testing.assert_allclose(burst.samples, wave[:, 1], atol=step)
    assert burst.sampling_rate_hz == 12_000
    content = (tmp_path / "b.wav").read_bytes()
    for cut in (3, 20, len(content) - 60):
        (tmp_path / "cut.wav").write_bytes(content[:cut])
        with pytest.raises(DataError):
            open_recording(tmp_path / "cut.wav")


def test_a_recording_with_bits_that_flipped_is_told(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    np.savez_compressed(tmp_path / "whole.npz", a=random.standard_normal(2000), sampling_rate_hz=10.0)
    whole = (tmp_path / "whole.npz").read_bytes()
    for _ in range(60):
        content = bytearray(whole)
        for place in random.integers(30, len(content), size=3):
            content[place] = random.integers(256)
        (tmp_path / "flipped.npz").write_bytes(content)
        with contextlib.suppress(DataError):
            list(open_recording(tmp_path / "flipped.npz").cut(100, 10.0))


def test_a_compressed_wav_is_refused(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 8000, subtype="ULAW")
    with pytest.raises(DataError, match="kind 7 with 8 bits"):
        open_recording(tmp_path / "a.wav")


def test_bursts_of_a_recording_reach_over_no_seam(tmp_path: Path) -> None:
    values = np.arange(30, dtype=np.int16)[::-1] ** 2
    np.savez(
        tmp_path / "r.npz",
        burst_time_s=np.array([0.0, 20.0, 40.0]),
        H=values,
        scale_H=0.5,
        sampling_rate_hz=10.0,
        burst_length=10,
    )
    recording = open_recording(tmp_path / "r.npz")
    bursts = list(recording.cut(4, 10.0))
    assert [start for start, _ in bursts] == [0.0, 0.4, 20.0, 20.4, 40.0, 40.4]
    assert bursts[3][1].tolist() == (values[14:18] / 2).tolist()
    assert list(open_recording(tmp_path / "r.npz", 0).cut(4, 10.0))[3][0] == 20.4
    for name, content in (("a.npz", b"PK"), ("a.wav", b"RIFF"), ("a.npy", b""), ("a.txt", b"1")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError):
            open_recording(tmp_path / name)


SOUND = {
    "a": np.zeros(100, np.float32),
    "sampling_rate_hz": 10.0,
    "burst_length": 50,
    "burst_time_s": [0.0, 9.0],
}


@pytest.mark.parametrize(
    "changed",
    [
        {"sampling_rate_hz": 0.0},
        {"sampling_rate_hz": np.nan},
        {"burst_length": -5},
        {"burst_time_s": [0.0]},
        {"burst_time_s": [0.0, np.nan]},
    ],
)
def test_what_a_recording_says_must_fit_its_samples(tmp_path: Path, changed: dict[str, object]) -> None:
    np.savez(tmp_path / "sound.npz", **SOUND)
    assert len(list(open_recording(tmp_path / "sound.npz").cut(50, 10.0))) == 2
    np.savez(tmp_path / "wrong.npz", **(SOUND | changed))
    with pytest.raises(DataError, match=r"wrong\.npz"):
        open_recording(tmp_path / "wrong.npz")


N, RATE = 4096, 12_000.0
ACC = np.random.default_rng(1).standard_normal(N)
TIME = np.arange(N) / RATE
WARM = 40.0 + np.cumsum(np.random.default_rng(2).standard_normal(N)) / 100


def _recorded(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "r.npz", **arrays)
    return folder / "r.npz"


@pytest.mark.parametrize(
    ("arrays", "rate_hz"),
    [
        ({"time": TIME, "acc": ACC, "fs": RATE}, RATE),
        ({"time": TIME, "acc": ACC}, RATE),
        ({"acc": ACC, "time": TIME}, RATE),
        ({"time_ms": 1e3 * TIME, "acc": ACC}, RATE),
        ({"acc": ACC, "fs": 25_600}, 25_600.0),
        ({"acc": ACC, "sr": [25_600.0]}, 25_600.0),
        ({"temperature": WARM, "acc": ACC, "sampling_rate_hz": RATE}, RATE),
        ({"x": np.stack([TIME, ACC], axis=1)}, RATE),
        ({"number": np.arange(N), "acc": ACC}, None),
    ],
)
def test_what_is_no_vibration_is_no_channel_and_the_rate_is_found(
    tmp_path: Path, arrays: dict[str, Any], rate_hz: float | None
) -> None:
    found = open_recording(_recorded(tmp_path, **arrays))
    np.testing.assert_array_equal(found.samples, ACC)
    assert found.sampling_rate_hz == rate_hz


def test_a_long_time_axis_is_read_without_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(time_axis, "FEW_BLOCKS", 0)
    open_recording(_recorded(tmp_path, time=TIME, acc=ACC))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("axis", [0, 1])
def test_an_npy_of_times_and_samples_is_told_apart(tmp_path: Path, axis: int) -> None:
    np.save(tmp_path / "t.npy", np.stack([TIME, ACC], axis=axis))
    found = open_recording(tmp_path / "t.npy")
    np.testing.assert_array_equal(found.samples, ACC)
    assert found.sampling_rate_hz == RATE
    with pytest.raises(DataError, match="'0' was chosen as channel, but it rises in even steps"):
        open_recording(tmp_path / "t.npy", 0)


@pytest.mark.parametrize(
    ("arrays", "channel", "told"),
    [
        ({"x": ACC, "y": ACC[::-1]}, None, r"2 columns that may be vibration; choose one with 'channel: NUM"),
        ({"x": np.stack([ACC, ACC[::-1]])}, None, "2 columns that may be vibration"),
        ({"time": TIME, "acc": ACC}, 0, "'time' was chosen as channel, but it rises in even steps"),
        ({"time": TIME, "acc": ACC}, 2, "has no column '2'; it has: time, acc"),
        ({"time": TIME}, None, "no column that looks like vibration"),
        ({"time": TIME, "acc": ACC, "fs": 25_600.0}, None, "'fs' says 25600 Hz, and the column 'time' steps"),
        ({"acc": ACC, "fs": 25_600.0, "sampling_rate_hz": RATE}, None, "'fs' says 25600 Hz and the file's"),
        ({"acc": ACC, "scale_acc": []}, None, "no recording that can be read"),
    ],
)
def test_what_could_be_meant_otherwise_is_refused(
    tmp_path: Path, arrays: dict[str, Any], channel: int | None, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        open_recording(_recorded(tmp_path, **arrays), channel)


def _learn(machine: Machine, recording: Path, **options: Any) -> SensorPath:
    path = SensorPath(machine, machine.sensors[0], baseline_file=recording.with_suffix(".json"))
    learn_from(path, recording, **options)
    return path


def test_a_baseline_is_learned_from_the_signal_beside_its_times(tmp_path: Path, machine: Machine) -> None:
    long = np.random.default_rng(3).standard_normal(40 * SAMPLES)
    times = np.arange(len(long)) / RATE_HZ
    learned = _learn(machine, _recorded(tmp_path, time=times, acc=long, fs=RATE_HZ))
    medians = learned.baseline.summary()["bands"]["all speeds"]["medians"]
    assert medians["rms"] == pytest.approx(1.0, rel=0.05)
    assert medians["kurtosis"] == pytest.approx(3.0, rel=0.1)
    with pytest.raises(
        ConfigError, match=rf"has {2 * RATE_HZ:g} Hz; the sensor is set up for {RATE_HZ:g} Hz"
    ):
        _learn(machine, _recorded(tmp_path, acc=long, fs=2 * RATE_HZ), forget=True)
    with pytest.raises(DataError, match=r"choose one with --channel NUMBER \(from 0\)"):
        _learn(machine, _recorded(tmp_path, x=long, y=long[::-1]), forget=True)
    with pytest.raises(
        ConfigError, match=r"r\.npz: 900 rpm by the file's 'rpm' contradicts the configuration"
    ):
        _learn(machine, _recorded(tmp_path, acc=long, rpm=900), forget=True)
    with pytest.raises(DataError, match="--shaft-rpm says 1800 rpm and the file's 'rpm' 900 rpm"):
        _learn(machine, _recorded(tmp_path, acc=long, rpm=900), forget=True, shaft_rpm=1800.0)


@pytest.mark.parametrize(
    ("name", "arrays", "told"),
    [
        ("r.npz", {"acc": ACC, "sampling_rate_hz": 25_600.0}, "has 25600 Hz"),
        (
            "r.npz",
            {"t": 1e3 * np.arange(N) / 25_600, "acc": ACC},
            r"has times in steps of 0.0390625 \(column 't",
        ),
        ("r_25600Hz.npz", {"acc": ACC}, "is named for 25600 Hz"),
        ("12k_de.npz", {"t": 1e3 * TIME, "acc": ACC}, None),
    ],
)
def test_every_rate_that_a_recording_tells_is_held_against_the_sensor(
    tmp_path: Path, machine: Machine, name: str, arrays: dict[str, Any], told: str | None
) -> None:
    recording = _recorded(tmp_path, **arrays).rename(tmp_path / name)
    if told is None:
        assert open_recording(recording).another_rate(RATE_HZ) is None
        return
    with pytest.raises(ConfigError, match=f"{told}.*; the sensor is set up for {RATE_HZ:g} Hz"):
        _learn(machine, recording)
    with pytest.raises(ConfigError, match=f"{told}.*, not {RATE_HZ:g} Hz"):
        bursts_of(Replay(file=recording, topic="a", sampling_rate_hz=RATE_HZ))


def test_a_speed_that_a_recording_states_shows_the_fault_lines(tmp_path: Path) -> None:
    machine = Machine.model_validate(machine_settings() | {"speed": {}})
    for said, has_lines in (({}, False), ({"rpm": 1800}, True)):
        acc = np.random.default_rng(3).standard_normal(40 * SAMPLES)
        learned = _learn(machine, _recorded(tmp_path, acc=acc, **said), forget=True).baseline.summary()
        medians = {name for band in learned["bands"].values() for name in band["medians"]}
        assert ("line_bpfo" in medians) == has_lines


@pytest.mark.parametrize("asked", [{"burst_samples": 101}, {"burst_samples": 64, "parts": 65}])
def test_a_replay_that_would_publish_nothing_is_refused(tmp_path: Path, asked: dict[str, int]) -> None:
    np.save(tmp_path / "short.npy", np.zeros(100, np.float32))
    with pytest.raises(ConfigError, match=r"give fewer"):
        bursts_of(Replay(file=tmp_path / "short.npy", topic="a", sampling_rate_hz=10.0, **asked))


def test_a_recording_without_a_sound_burst_teaches_nothing(tmp_path: Path, machine: Machine) -> None:
    np.save(tmp_path / "dead.npy", np.zeros(40_000, np.float32))
    baseline = tmp_path / "baseline.json"
    path = SensorPath(machine, machine.sensors[0], baseline_file=baseline)
    with pytest.raises(DataError, match="is sound"):
        learn_from(path, tmp_path / "dead.npy")
    assert not baseline.exists()
