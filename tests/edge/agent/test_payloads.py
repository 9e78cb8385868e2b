"""Messages of others: what is right is read, and whatever else comes ends in one clear error."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secateur.core.errors import ConfigError, DataError, SecateurError
from secateur.edge.agent.commissioning import learn_from
from secateur.edge.agent.config.connections import FolderSource as FolderSettings
from secateur.edge.agent.config.machines import Machine
from secateur.edge.agent.intake import IntakeFull, Submission
from secateur.edge.agent.pipeline import SensorPath
from secateur.edge.agent.publish import Replay, bursts_of
from secateur.edge.agent.sources.assembly import MOST_OPEN, Assembler
from secateur.edge.agent.sources.base import Inlet
from secateur.edge.agent.sources.folder import FolderSource, read_burst_file
from secateur.edge.agent.sources.payloads import (
    HEADER_BYTES,
    MOST_SAMPLES,
    Piece,
    from_json,
    from_raw,
    to_json,
    to_raw,
)
from secateur.edge.agent.sources.recording import open_recording
from secateur.edge.agent.sparkplug.codec import DataType, Metric, Payload, decode, encode
from secateur.edge.agent.sparkplug.host import Host

SAID = {
    "number": 7,
    "measured_unix_s": 1.5,
    "sampling_rate_hz": 12_000.0,
    "speed_rpm": 1797.0,
    "unit": "g",
    "part": 1,
    "parts": 3,
}


def _same(first: Piece, second: Piece) -> None:
    np.testing.assert_allclose(first.samples, second.samples, atol=5e-4)
    for name in SAID:
        assert getattr(first, name) == getattr(second, name), name


def test_round_trips() -> None:
    piece = Piece(samples=np.linspace(-1, 1, 50, dtype=np.float32), **SAID)
    _same(from_json(to_json(piece)), piece)
    _same(from_raw(to_raw(piece)), piece)
    _same(from_raw(to_raw(piece, scale=1e-3)), piece)
    assert len(to_raw(piece)) == HEADER_BYTES + 200
    bare = Piece(samples=np.ones(3, dtype=np.float32))
    for again in (from_json(to_json(bare)), from_raw(to_raw(bare))):
        assert (again.number, again.measured_unix_s, again.unit, again.speed_rpm) == (None,) * 4


def test_missing_samples_are_not_a_number() -> None:
    assert np.isnan(from_json(b'{"samples": [1, null, 3]}').samples[1])


WRONG = [
    b"",
    b"[]",
    b'{"samples": [1, "x"]}',
    b'{"samples": [1, "2"]}',
    b'{"samples": [true, 1]}',
    b'{"samples": [1], "sampling_rate_hz": -1}',
    b'{"samples": [1], "sampling_rate_hz": NaN}',
    b'{"samples": [1], "sampling_rate_hz": "12000"}',
    b'{"samples": [1], "speed_rpm": true}',
    b'{"samples": [1], "other": 1}',
    b'{"samples": [1], "part": 2, "parts": 2, "number": 1}',
    b'{"samples": [1], "part": 0, "parts": 2}',
    b'{"samples": [1], "key": "../x"}',
    b'{"samples": [1], "measured_unix_s": 1700000000000}',
    b'{"samples": [1], "measured_unix_s": -1}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("content", WRONG)
def test_wrong_json(content: bytes) -> None:
    with pytest.raises(DataError):
        from_json(content)


@pytest.mark.parametrize("cut", [0, 4, HEADER_BYTES - 1, HEADER_BYTES + 1])
def test_raw_cut_short(cut: int) -> None:
    with pytest.raises(DataError):
        from_raw(to_raw(Piece(samples=np.ones(8, dtype=np.float32)))[:cut])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text('a1/#\\"é', max_size=6) | st.integers(-(2**70), 2**70),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('a1/#\\"é', max_size=6), inner, max_size=4)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(["samples", "number", "key", "part", "parts", "unit", "speed_rpm", "measured_unix_s"])
BODIES = (
    st.binary(max_size=200)
    | st.binary(max_size=80).map(lambda tail: b"SVB1" + tail)
    | st.dictionaries(KEYS, JSON_VALUES, max_size=6).map(lambda value: json.dumps(value).encode())
)


# a loaded machine draws slowly; that is no verdict
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES)
def test_no_message_does_harm(content: bytes) -> None:
    assembler = Assembler(incomplete_after_s=10.0)
    for parse in (from_json, from_raw):
        try:
            piece = parse(content)
            assembler.add("m", "s", piece)
        except SecateurError as error:
            assert len(str(error)) < 500
    try:
        Host().take("NBIRTH", "node", decode(content))
    except SecateurError as error:
        assert "Sparkplug" in str(error)


PIECES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40)


@given(PIECES)
def test_assembly_is_whole_or_not_at_all(messages: list[tuple[int, int]]) -> None:
    assembler, seen = Assembler(incomplete_after_s=1e9), {}
    for number, part in messages:
        samples = np.full(2, 10 * number + part, dtype=np.float32)
        burst = assembler.add("m", "s", Piece(samples=samples, number=number, part=part, parts=4))
        parts = seen.setdefault(number, set())
        parts.add(part)
        assert (burst is not None) == (len(parts) == 4)
        if burst is not None:
            assert burst.samples.tolist() == [10.0 * number + p for p in range(4) for _ in range(2)]
            del seen[number]


def test_what_stays_incomplete_is_dropped_and_counted() -> None:
    now = [0.0]
    assembler = Assembler(incomplete_after_s=5.0, clock=lambda: now[0])
    part = Piece(samples=np.ones(2, dtype=np.float32), number=1, part=0, parts=2)
    assert assembler.add("m", "s", part) is None
    now[0] = 6.0
    assert assembler.add("m", "s", Piece(samples=part.samples, number=1, part=1, parts=2)) is None
    assert assembler.counts["incomplete dropped"] == 1
    for number in range(2, MOST_OPEN + 10):
        assembler.add("m", "s", Piece(samples=part.samples, number=number, part=0, parts=2))
    assert assembler.open == MOST_OPEN
    now[0] = 20.0
    assert assembler.open == 0  # also when nothing comes any more
    large = np.broadcast_to(np.float32(0), MOST_SAMPLES - 1)
    for number in range(6):
        assembler.add("m", "s", Piece(samples=large, number=number, part=0, parts=2))
    assert assembler.open == 4


def test_parts_that_contradict_drop_the_burst() -> None:
    assembler = Assembler(incomplete_after_s=5.0)
    ones = np.ones(2, dtype=np.float32)
    assembler.add("m", "s", Piece(samples=ones, number=1, part=0, parts=2, unit="g"))
    with pytest.raises(DataError, match="contradicts"):
        assembler.add("m", "s", Piece(samples=ones, number=1, part=1, parts=2, unit="mm/s"))
    assert assembler.open == 0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_what_one_part_says_holds_for_the_burst(order: tuple[int, ...]) -> None:
    said = [{"sampling_rate_hz": 12_000.0, "measured_unix_s": 5.0}, {}, {"speed_rpm": 1500.0}]
    assembler, burst = Assembler(incomplete_after_s=5.0), None
    for part in order:
        samples = np.full(2, part, dtype=np.float32)
        burst = assembler.add("m", "s", Piece(samples=samples, number=1, part=part, parts=3, **said[part]))
    assert burst.samples.tolist() == [0, 0, 1, 1, 2, 2]
    assert (burst.sampling_rate_hz, burst.measured_unix_s, burst.speed_rpm) == (12_000.0, 5.0, 1500.0)


def test_parts_that_come_twice_are_no_lost_burst() -> None:
    now, gone = [0.0], []
    assembler = Assembler(incomplete_after_s=5.0, dropped=gone.append, clock=lambda: now[0])
    parts = [Piece(samples=np.ones(2, dtype=np.float32), number=1, part=part, parts=2) for part in range(2)]
    found = [assembler.add("m", "s", parts[part]) for part in (0, 0, 1, 1, 1)]
    assert [burst is not None for burst in found] == [False, False, True, False, False]
    now[0] = 6.0
    assert assembler.open == 0
    assert assembler.counts == {"parts twice": 3}
    assert gone == [("m", "s", 1)]


VALUES = st.one_of(
    st.tuples(st.just(DataType.INT64), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(DataType.INT8), st.integers(-128, 127)),
    st.tuples(st.just(DataType.UINT32), st.integers(0, 2**32 - 1)),
    st.tuples(st.just(DataType.DOUBLE), st.floats(allow_nan=False)),
    st.tuples(st.just(DataType.FLOAT), st.floats(allow_nan=False, width=32)),
    st.tuples(st.just(DataType.BOOLEAN), st.booleans()),
    st.tuples(st.just(DataType.STRING), st.text(max_size=20)),
    st.tuples(st.just(DataType.BYTES), st.binary(max_size=20)),
    st.tuples(st.sampled_from(DataType), st.none()),
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(VALUES, max_size=8), st.integers(0, 255), st.booleans())
def test_sparkplug_round_trip(values: list[tuple[DataType, object]], seq: int, historical: bool) -> None:
    metrics = tuple(
        Metric(name=f"m/{n}", alias=n, value=value, datatype=kind, timestamp_ms=n, historical=historical)
        for n, (kind, value) in enumerate(values)
    )
    payload = Payload(metrics=metrics, seq=seq, timestamp_ms=123)
    assert decode(encode(payload, with_names=True)) == payload


def test_known_bytes_of_a_birth() -> None:
    """Field numbers and wire types as the specification has them, written out by hand."""
    payload = Payload(
        metrics=(Metric(name="bdSeq", value=2, datatype=DataType.INT64),), seq=0, timestamp_ms=1
    )
    metric = b"\x0a\x05bdSeq" + b"\x20\x04" + b"\x58\x02"
    assert (
        encode(payload, with_names=True)
        == b"\x08\x01" + b"\x12" + bytes([len(metric)]) + metric + b"\x18\x00"
    )


def test_host_asks_for_a_rebirth_after_a_gap() -> None:
    host = Host()
    birth = Payload(metrics=(Metric(name="bdSeq", value=1, datatype=DataType.INT64),), seq=0, timestamp_ms=1)
    assert host.take("NBIRTH", "n", birth)[1] is False
    data = [Payload(metrics=(), seq=seq, timestamp_ms=1) for seq in range(5)]
    assert host.take("NDATA", "n", data[1])[1] is False
    assert host.take("NDATA", "n", data[3])[1] is True
    assert host.counts["sequence gaps"] == 1
    assert host.take("NDATA", "n", data[4])[1] is True
    assert host.take("NBIRTH", "n", birth)[1] is False
    assert host.is_alive("n")


class _Taking:
    """Takes what is submitted, and says done."""

    def __init__(self) -> None:
        self.bursts = []

    def __call__(self, submission: Submission) -> None:
        self.bursts.append(submission.burst)
        submission.done("of another kind" if submission.burst.number == 13 else None)


def test_a_watched_folder(tmp_path: Path) -> None:
    taking = _Taking()
    inlet = Inlet(submit=taking, set_speed=lambda *_: None, places={("m", "s")})
    settings = FolderSettings.model_validate({"type": "folder", "folder": str(tmp_path), "done": "keep"})
    source = FolderSource(settings, inlet)
    place = tmp_path / "m" / "s"
    place.mkdir(parents=True)
    (tmp_path / "x" / "s").mkdir(parents=True)
    samples = np.arange(5, dtype=np.int16)
    np.save(place / "1.npy", samples)
    (place / "2.json").write_bytes(b'{"samples": [1, 2], "number": 3}')
    (place / "3.raw").write_bytes(to_raw(Piece(samples=samples.astype(np.float32))))
    (place / "4.json").write_bytes(b'{"samples": [1], "number": 13}')
    (place / "5.npy").write_bytes(b"\x93NUMPY nonsense")
    np.save(place / "6.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (place / ".7.npy").write_bytes(b"being written")
    (place / "8.npy").symlink_to("/etc/hostname")
    (tmp_path / "x" / "s" / "1.json").write_bytes(b'{"samples": [1]}')
    assert source.look() == 0  # somebody may still write them
    assert source.look() == 3
    assert [burst.samples.tolist() for burst in taking.bursts[:2]] == [[0, 1, 2, 3, 4], [1, 2]]
    assert sorted(path.name for path in (place / "done").iterdir()) == ["1.npy", "2.json", "3.raw"]
    assert sorted(path.name for path in (place / "refused").iterdir()) == ["4.json", "5.npy", "6.npy"]
    assert source.counts == {"bursts": 3, "refused": 3}
    assert source.status()["last_refusal"].startswith("6.npy: 6.npy is no NPY file")
    assert source.look() == 0


def test_a_watched_folder_tells_what_lies_there_in_vain_and_lets_nothing_overtake(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[int | None] = []

    def submit(submission: Submission) -> None:
        if len(taken) == 1 and full:
            full.pop()
            raise IntakeFull("too many wait")
        taken.append(submission.burst.number)
        submission.done(None)

    full = [True]
    inlet = Inlet(submit=submit, set_speed=lambda *_: None, places={("m", "s")})
    source = FolderSource(FolderSettings.model_validate({"type": "folder", "folder": str(tmp_path)}), inlet)
    for place in ("m/s", "m/S"):
        (tmp_path / place).mkdir(parents=True)
    for number in range(3):
        (tmp_path / "m" / "s" / f"{number}.json").write_text(f'{{"samples": [1], "number": {number}}}')
    (tmp_path / "m" / "s" / "burst.csv").write_text("g\n1\n")
    assert [source.look() for _ in range(4)] == [0, 1, 2, 0]
    assert taken == [0, 1, 2]
    assert source.counts == {"bursts": 3, "of another kind": 1}
    assert caplog.text.count("m/S is no sensor") == caplog.text.count("burst.csv stays") == 1


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
        read_burst_file("m", "s", tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.wav", wave[:, 1], 12_000, subtype=kind, format=container)
    burst = read_burst_file("m", "s", tmp_path / "b.wav")
    np.testing.assert_allclose(burst.samples, wave[:, 1], atol=step)
    assert burst.sampling_rate_hz == 12_000
    content = (tmp_path / "b.wav").read_bytes()
    for cut in (3, 20, len(content) - 60):
        (tmp_path / "cut.wav").write_bytes(content[:cut])
        with pytest.raises(DataError):
            open_recording(tmp_path / "cut.wav")


def test_a_folder_that_may_not_be_looked_at_ends_no_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("m/s", "m/closed"):
        (tmp_path / place).mkdir(parents=True)
    np.save(tmp_path / "m" / "s" / "1.npy", np.ones(3))
    look = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return look(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    inlet = Inlet(submit=_Taking(), set_speed=lambda *_: None, places={("m", "closed"), ("m", "s")})
    source = FolderSource(FolderSettings.model_validate({"type": "folder", "folder": str(tmp_path)}), inlet)
    assert [source.look() for _ in range(2)] == [0, 1]
    assert "Permission denied" in source.status()["last_refusal"]


def test_a_head_that_asks_for_all_memory_ends_no_watch(tmp_path: Path) -> None:
    place = tmp_path / "m" / "s"
    place.mkdir(parents=True)
    with (place / "1.npy").open("wb") as file:
        head = {"descr": "<f8", "fortran_order": False, "shape": (2**50,)}
        np.lib.format.write_array_header_1_0(file, head)
    np.save(place / "2.npy", np.ones(3))
    taking = _Taking()
    inlet = Inlet(submit=taking, set_speed=lambda *_: None, places={("m", "s")})
    source = FolderSource(FolderSettings.model_validate({"type": "folder", "folder": str(tmp_path)}), inlet)
    assert [source.look() for _ in range(2)] == [0, 1]
    assert source.counts == {"refused": 1, "bursts": 1}


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
