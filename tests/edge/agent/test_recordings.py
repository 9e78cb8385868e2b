"""Recordings for replays and commissioning: WAV of every width, NPZ, NPY, and damaged ones."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from secateur.core.errors import ConfigError, DataError
from secateur.edge.agent.commissioning import learn_from
from secateur.edge.agent.config.machines import Machine
from secateur.edge.agent.pipeline import SensorPath
from secateur.edge.agent.publish import Replay, bursts_of
from secateur.edge.agent.sources.folder import read_burst_file
from secateur.edge.agent.sources.recording import open_recording

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
    wave = np.stack([np.linspace(-0.9, 0.9, 101), np.sin(np.arange(101.0))], axis=1)
    soundfile.write(tmp_path / "a.wav", wave, 12_000, subtype=kind, format=container)
    for channel in range(2):
        recording = open_recording(tmp_path / "a.wav", channel)
        assert recording.sampling_rate_hz == 12_000
        ((_, samples),) = recording.cut(101, 12_000.0)
        np.testing.assert_allclose(samples, wave[:, channel], atol=step)
    with pytest.raises(DataError, match="2 channels"):
        open_recording(tmp_path / "a.wav", 2)
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
    values = np.arange(30, dtype=np.int16)
    np.savez(
        tmp_path / "r.npz",
        H=values,
        scale_H=0.5,
        sampling_rate_hz=10.0,
        burst_length=10,
        burst_time_s=np.array([0.0, 20.0, 40.0]),
    )
    recording = open_recording(tmp_path / "r.npz")
    bursts = list(recording.cut(4, 10.0))
    assert [start for start, _ in bursts] == [0.0, 0.4, 20.0, 20.4, 40.0, 40.4]
    assert bursts[3][1].tolist() == [7.0, 7.5, 8.0, 8.5]
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


def test_a_recording_of_samples_by_channels_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "tall.npy", np.zeros((100, 2)))
    with pytest.raises(DataError, match=r"\(channels, samples\)"):
        open_recording(tmp_path / "tall.npy")


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
