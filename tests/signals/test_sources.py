"""Every format gives the samples that were written, whole or in pieces."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from scipy.io import savemat

from secateur.core.errors import DataError
from secateur.signals.sources.decoded import PIECES, DecodedPieces
from secateur.signals.sources.delimited import DelimitedSource
from secateur.signals.sources.mat import MatSource, mat_value
from secateur.signals.sources.npy import NpySource
from secateur.signals.sources.npz import NpzSource
from secateur.signals.sources.open import open_source
from secateur.signals.sources.parquet import ParquetSource
from secateur.signals.sources.text_columns import numbers_of
from secateur.signals.sources.text_format import TextFormat

N = 10_000
RNG = np.random.default_rng(0)
TABLE = (RNG.integers(-(2**14), 2**14, size=(2, N)) / 2**15).astype(np.float32)  # exact in 16 bit


def write(path: Path) -> None:
    suffix = path.suffix
    if suffix == ".csv":
        lines = "\n".join(f"{a!r},{b!r}" for a, b in TABLE.T.tolist())
        path.write_text(f"de,fe\n{lines}\n", encoding="utf-8")
    elif suffix == ".wav":
        soundfile.write(path, TABLE.T, 12_000, subtype="PCM_16")
    elif suffix == ".npy":
        np.save(path, TABLE.T)
    elif suffix == ".npz":
        np.savez_compressed(path, de=TABLE[0], fe=TABLE[1])
    elif suffix == ".mat":
        savemat(path, {"de": TABLE[0][:, None], "fe": TABLE[1][:, None]}, do_compression=True)
    elif suffix == ".parquet":
        parquet.write_table(pyarrow.table({"de": TABLE[0], "fe": TABLE[1]}), path, row_group_size=700)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    for suffix in ("csv", "wav", "npy", "npz", "mat", "parquet"):
        write(folder / f"x.{suffix}")
    return folder


@pytest.mark.parametrize("suffix", ["csv", "wav", "npy", "npz", "mat", "parquet"])
def test_every_format_gives_back_what_was_written(written: Path, suffix: str) -> None:
    opened = open_source(written / f"x.{suffix}", ("de", "fe"))
    source, channels = opened.source, opened.channels
    assert (source.n_channels, source.n_samples, channels) == (2, N, ("de", "fe"))
    whole = source.read(0, N)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole, TABLE)
    for start, stop in ((0, 1), (699, 701), (4095, 4097), (4096, 8192), (N - 3, N), (50, 50)):
        np.testing.assert_array_equal(source.read(start, stop), TABLE[:, start:stop])


@pytest.mark.parametrize("suffix", ["csv", "wav", "npy", "npz", "mat", "parquet"])
@pytest.mark.parametrize("asked", [(-1, 5), (0, N + 1), (7, 6)])
def test_samples_outside_the_file_are_refused(written: Path, suffix: str, asked: tuple[int, int]) -> None:
    source = open_source(written / f"x.{suffix}", ("de", "fe")).source
    with pytest.raises(DataError, match="10000"):
        source.read(*asked)


@pytest.mark.parametrize("suffix", ["csv", "npz", "mat", "parquet"])
def test_one_column_may_be_chosen_and_a_wrong_one_is_answered_with_those_there(
    written: Path, suffix: str
) -> None:
    source = open_source(written / f"x.{suffix}", ("fe",)).source
    np.testing.assert_array_equal(source.read(10, 20), TABLE[1:, 10:20])
    with pytest.raises(DataError, match=r"(?s)ba.*de.*fe"):
        open_source(written / f"x.{suffix}", ("ba",)).source.read(0, 1)


@pytest.mark.parametrize("suffix", ["csv", "wav", "npy", "npz", "mat", "parquet"])
def test_missing_and_damaged_files_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    with pytest.raises(DataError, match=f"x.{suffix} is missing"):
        open_source(path, ("de", "fe")).source.read(0, 1)
    path.write_bytes(b"\x00\x01 no such format \xff" * 20)
    with pytest.raises(DataError, match=f"x.{suffix}"):
        open_source(path, ("de", "fe")).source.read(0, 1)


@pytest.mark.parametrize("suffix", ["npz", "mat"])
def test_truncated_files_are_refused(written: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_bytes((written / f"x.{suffix}").read_bytes()[:-8000])
    with pytest.raises(DataError, match=f"x.{suffix}"):
        open_source(path, ("de", "fe")).source.read(0, 1)


def test_integers_with_a_scale_are_scaled(tmp_path: Path) -> None:
    codes = RNG.integers(-2000, 2000, 5000).astype(np.int16)
    np.savez_compressed(tmp_path / "x.npz", DE=codes, scale_DE=0.25, sampling_rate_hz=12_000.0)
    source = NpzSource(tmp_path / "x.npz", ("DE",))
    np.testing.assert_array_equal(source.read(100, 200)[0], codes[100:200] * np.float32(0.25))


def test_stored_and_oversized_members_are_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "stored.npz", DE=TABLE[0], both=TABLE)
    np.savez_compressed(tmp_path / "large.npz", DE=TABLE[0])
    monkeypatch.setattr(PIECES, "capacity_bytes", 1000)

    def whole(*_: object) -> np.ndarray:
        raise AssertionError("the member was decoded as a whole")

    monkeypatch.setattr("secateur.signals.sources.npz._decoded", whole)
    for name in ("stored.npz", "large.npz"):
        source = NpzSource(tmp_path / name, ("DE",))
        np.testing.assert_array_equal(source.read(5000, 5010)[0], TABLE[0, 5000:5010])
        np.testing.assert_array_equal(source.read(20, 30)[0], TABLE[0, 20:30])
    np.testing.assert_array_equal(NpzSource(tmp_path / "stored.npz", ("both",)).read(3, 9), TABLE[:, 3:9])


def test_parquet_decodes_only_the_row_groups_that_are_asked_for(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = []
    original = ParquetSource._row_group
    monkeypatch.setattr(
        ParquetSource, "_row_group", lambda self, group: (groups.append(group), original(self, group))[1]
    )
    ParquetSource(written / "x.parquet").read(1400, 2101)
    assert groups == [2, 3]


def test_text_is_parsed_from_the_nearest_mark_only(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(
        "secateur.signals.sources.delimited.numbers_of",
        lambda block, *rest: (sizes.append(block.count(b"\n")), numbers_of(block, *rest))[1],
    )
    DelimitedSource(written / "x.csv").read(4096, 4100)
    assert sizes == [4096]


@pytest.mark.parametrize(("text", "names"), [
    ("1.5\n2.5\n-3\n", ("0",)),
    ("a;b\n1.5;0\n2.5;0\n\n-3;0", ("a", "b")),
    ("a\tb\r\n1.5\t0\r\n2.5\t0\r\n-3\t0\r\n", ("a", "b")),
    ("\ufeffa,b\n1.5,1\n2.5,1\n-3,1\n", ("a", "b")),
])  # fmt: skip
def test_text_dialects(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    (tmp_path / "x.csv").write_bytes(text.encode())
    source = DelimitedSource(tmp_path / "x.csv")
    assert source.channels == names
    np.testing.assert_array_equal(source.read(0, source.n_samples)[0], np.float32([1.5, 2.5, -3]))


def test_decimal_commas_and_lines_before_the_header(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("Recorder 7\n\na;b\n1,5;0\n2,5;0\n-3;1\n")
    source = DelimitedSource(tmp_path / "x.csv", ("a",), TextFormat(decimal=",", skip_lines=2))
    np.testing.assert_array_equal(source.read(0, 3), np.float32([[1.5, 2.5, -3]]))
    (tmp_path / "bare.csv").write_text("units\n1,5;0\n2,5;0\n")
    source = DelimitedSource(tmp_path / "bare.csv", (), TextFormat(decimal=",", skip_lines=1))
    np.testing.assert_array_equal(source.read(1, 2), np.float32([[2.5], [0]]))
    found = DelimitedSource(tmp_path / "x.csv", ("a",), TextFormat(skip_lines=2))
    np.testing.assert_array_equal(found.read(0, 3), np.float32([[1.5, 2.5, -3]]))
    with pytest.raises(DataError, match=r"with the decimal sign '\.'"):
        DelimitedSource(tmp_path / "x.csv", ("a",), TextFormat(skip_lines=2, decimal=".")).read(0, 3)
    with pytest.raises(DataError, match="begins with an empty line"):
        DelimitedSource(tmp_path / "x.csv", (), TextFormat(skip_lines=1)).read(0, 1)


@pytest.mark.parametrize(
    ("text", "names", "first"),
    [
        ("time;acc\ns;g\n0,0;1,5\n0,1;2,5\n", ("time [s]", "acc [g]"), (0.0, 1.5)),
        ("Time,Channel A\n(ms),(V)\n\n0.0,1.5\n0.1,2.5\n", ("Time [ms]", "Channel A [V]"), (0.0, 1.5)),
        ("acc\nm/s2\n1,05\n2,5\n", ("acc [m/s2]",), (1.05,)),
        ("n,acc [g]\n-,g\n1,1.5\n2,2.5\n", ("n", "acc [g]"), (1.0, 1.5)),
        ("time,acc\n0.0,1.5\n0.1,2.5\n", ("time", "acc"), (0.0, 1.5)),
    ],
)
def test_a_line_of_units_below_the_names_is_no_row(tmp_path, text, names, first):
    (tmp_path / "x.csv").write_text(text)
    source = DelimitedSource(tmp_path / "x.csv")
    assert tuple(column.name for column in source.present) == names
    assert source.n_samples == 2
    assert source.read(0, 1)[:, 0] == pytest.approx(first)


@pytest.mark.parametrize("word", ["OVERLOAD", "n/a", "x"])
def test_a_word_that_is_no_unit_is_no_line_of_units(tmp_path, word):
    (tmp_path / "x.csv").write_text(f"acc\n{word}\n1.5\n2.5\n")
    assert DelimitedSource(tmp_path / "x.csv", ("acc",)).n_samples == 3


def test_words_among_numbers_are_refused_and_gaps_become_nan(tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("a\n1\noops\n3\n")
    with pytest.raises(DataError, match="oops"):
        DelimitedSource(tmp_path / "words.csv").read(0, 3)
    (tmp_path / "gaps.csv").write_text("a,b\n1,1\n,2\nnan,3\n")
    np.testing.assert_array_equal(
        DelimitedSource(tmp_path / "gaps.csv").read(0, 3)[0], np.float32([1, np.nan, np.nan])
    )


def test_fields_of_mat_structures(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"bearing": {"gs": TABLE[0][:, None], "sr": 97_656.0}})
    source = MatSource(tmp_path / "x.mat", ("bearing.gs",))
    np.testing.assert_array_equal(source.read(7, 11)[0], TABLE[0, 7:11])
    assert float(mat_value(tmp_path / "x.mat", "bearing.sr").squeeze()) == 97_656.0
    with pytest.raises(DataError, match=r"no field 'load'; it has: gs, sr"):
        mat_value(tmp_path / "x.mat", "bearing.load")


def test_the_longer_axis_is_time(tmp_path: Path) -> None:
    np.save(tmp_path / "tall.npy", TABLE.T)
    np.save(tmp_path / "wide.npy", TABLE)
    np.save(tmp_path / "flat.npy", TABLE[0])
    for name, expected in (("tall", TABLE), ("wide", TABLE), ("flat", TABLE[:1])):
        np.testing.assert_array_equal(NpySource(tmp_path / f"{name}.npy").read(0, N), expected)
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    for name in ("cube", "words"):
        with pytest.raises(DataError, match=name):
            NpySource(tmp_path / f"{name}.npy").n_samples  # noqa: B018


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", a=np.array([{"a": 1}], dtype=object))
    for path, columns in ((tmp_path / "x.npy", ()), (tmp_path / "x.npz", ("a",))):
        with pytest.raises(DataError):
            open_source(path, columns).source.read(0, 1)


def test_channels_of_unlike_length_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros(10), b=np.zeros(11))
    savemat(tmp_path / "x.mat", {"a": np.zeros(10), "b": np.zeros(11)})
    for name in ("x.npz", "x.mat"):
        with pytest.raises(DataError, match=r"10, 11"):
            open_source(tmp_path / name, ("a", "b")).source.n_samples  # noqa: B018


def test_files_of_other_endings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.docx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"'.docx' are not read; allowed: .csv"):
        open_source(tmp_path / "x.docx")


def test_a_wav_states_its_rate(written: Path) -> None:
    rate = open_source(written / "x.wav", ("0",)).rate(None, "x.wav")
    assert rate is not None
    assert rate.value == 12_000.0


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64"])
def test_a_sound_file_that_is_cut_short_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, TABLE[0], 12_000, format=kind, subtype="PCM_24")
    np.testing.assert_array_equal(open_source(path).source.read(0, N)[0], TABLE[0])
    path.write_bytes(path.read_bytes()[: 2 * N])
    with pytest.raises(DataError, match=r"x\.wav is cut short: its header tells of"):
        open_source(path)


def test_a_wav_that_holds_more_than_its_header_tells_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, TABLE[0], 12_000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    for told in (0, N):  # broken off before its header was completed; a length of 33 bits
        content[at : at + 4] = told.to_bytes(4, "little")
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"tells of {told} bytes of samples, but {2 * N} are there"):
            open_source(path)
    for told, behind in ((0xFFFFFFFF, b""), (2 * N, b"LIST\4\0\0\0INFO"), (2 * N, bytes(512))):
        content[at : at + 4] = told.to_bytes(4, "little")
        path.write_bytes(content + behind)
        assert open_source(path).source.n_samples == N


def test_the_store_of_pieces_stays_within_its_bound_and_forgets_the_oldest() -> None:
    store, decoded = DecodedPieces(capacity_bytes=2 * 800), []

    def decode(name: str) -> np.ndarray:
        decoded.append(name)
        return np.zeros(100)

    for name in ("a", "b", "a", "c", "a", "b"):
        store.get(name, lambda name=name: decode(name))
        assert store.held_bytes <= store.capacity_bytes
    assert decoded == ["a", "b", "c", "b"]


@settings(max_examples=20)
@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60),
    marks=st.integers(1, 7),
    cut=st.floats(0, 1),
    data=st.data(),
)
def test_text_pieces_join_to_the_whole(
    values: list[float], marks: int, cut: float, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("secateur.signals.sources.delimited.LINES_PER_MARK", marks)
        path = Path(folder) / "x.csv"
        path.write_text("\n".join(map(repr, values)) + data.draw(st.sampled_from(["", "\n"])))
        source = DelimitedSource(path)
        middle = int(cut * len(values))
        joined = np.concatenate([source.read(0, middle), source.read(middle, len(values))], axis=1)
        np.testing.assert_array_equal(joined[0], np.float32(values))
