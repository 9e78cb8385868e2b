"""Files that are malformed, endless or far too large end in one clear line, in bounded time and memory."""

from __future__ import annotations

import io
import os
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat
from scipy.sparse import csc_array

from secateur.core.errors import DataError
from secateur.signals.readers.open import load_recordings
from secateur.signals.recording import ArraySource
from secateur.signals.sources.open import SUFFIXES, open_source

N = 600
ACC = np.random.default_rng(8).standard_normal(N).astype(np.float32)


def header_of(text: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-5,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (True,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (9" + b"9" * 4000 + b",), }",
        b"{'descr': '<f4', 'fortran_order': False}",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
        b"{'descr': 'nonsense', 'fortran_order': False, 'shape': (3,), }",
        b"[" * 9000,
        b"",
        b"__import__('os').system('touch owned')",
    ],
)
def test_headers_of_arrays_that_lie(tmp_path: Path, header: bytes) -> None:
    content = header_of(header) + ACC.tobytes()
    (tmp_path / "x.npy").write_bytes(content)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "x.npz", "w", method) as archive:
            archive.writestr("x.npy", content)
        for name in ("x.npy", "x.npz"):
            with pytest.raises(DataError, match=name):
                open_source(tmp_path / name)


def whole_files() -> dict[str, bytes]:
    """One sound file of each format, as bytes."""
    files = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "x.npy", ACC)
        np.savez_compressed(folder / "x.npz", x=ACC, sampling_rate_hz=12_000.0)
        savemat(folder / "x.mat", {"x": ACC, "fs": 12_000.0}, do_compression=True)
        soundfile.write(folder / "x.wav", ACC / 8, 12_000)
        pyarrow.parquet.write_table(pyarrow.table({"x": ACC}), folder / "x.parquet")
        (folder / "x.csv").write_text("x\n" + "\n".join(map(str, ACC)))
        for path in folder.iterdir():
            files[path.suffix] = path.read_bytes()
    return files


WHOLE = whole_files()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(suffix=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_flipped_and_missing_bytes_are_told(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    content = bytearray(WHOLE[suffix])
    edges = st.one_of(st.integers(0, min(300, len(content) - 1)), st.integers(0, len(content) - 1))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(edges)] = data.draw(st.integers(0, 255))
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        source = open_source(path).source
        samples = source.read(0, source.n_samples)
    except DataError as error:
        assert "\n" not in str(error).strip()
    else:
        assert samples.shape == (1, source.n_samples)


def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / f"pipe{suffix}"
        os.mkfifo(path)
        with pytest.raises(DataError, match="a pipe, socket or device"):
            open_source(path)
        (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
        with pytest.raises(DataError, match="a pipe, socket or device"):
            open_source(tmp_path / f"zero{suffix}")
    with pytest.raises(DataError, match="is a folder"):
        open_source(tmp_path)


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            buffer, {"descr": "<f4", "fortran_order": False, "shape": (80 << 20,)}
        )
        with archive.open("x.npy", "w", force_zip64=True) as stream:
            stream.write(buffer.getvalue())
            for _ in range(320):
                stream.write(bytes(1 << 20))


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("x.npz", bomb, "no recording compresses like that"),
        ("x.csv", lambda path: path.write_text(",".join(["1.5"] * 200_000) + "\n"), "200000 columns"),
        ("x.csv", lambda path: path.write_bytes(b"1" * (3 << 20)), "a line of more than 1 MiB"),
        ("x.csv", lambda path: path.write_text("acc\n1,5\n2,5\n", encoding="utf-16"), "is UTF-16 text"),
        ("x.csv", lambda path: path.write_bytes(b"a,b\r1,2\r3,4\r"), "a carriage return alone"),
        ("x.csv", lambda path: path.write_text(f"a,b\n{'1' * 200_000},2\n"), "field larger than field limit"),
        ("x.csv", lambda path: path.write_bytes(b""), "x.csv"),
        ("x.csv", lambda path: path.write_text("acc\n"), "holds no rows"),
        ("x.csv", lambda path: path.write_text("a,b\n1,2\n3\n4,5\n"), "cannot be read as numbers"),
        (
            "x.mat",
            lambda path: savemat(path, {"x": csc_array(np.diag(ACC[:50]))}),
            "holds no array of numbers",
        ),
        ("x.mat", lambda path: savemat(path, {"c": np.array([1, "a"], object)}), "holds no array of numbers"),
        ("x.npz", lambda path: np.savez(path, words=np.array(["a", "b"])), "words: text"),
    ],
)
def test_bombs_and_oddities(tmp_path: Path, name: str, write: Callable[[Path], object], said: str) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError, match=said):
        open_source(tmp_path / name)


def test_a_sparse_matrix_is_named_when_it_is_chosen(tmp_path: Path) -> None:
    from secateur.signals.sources.mat import MatSource

    savemat(tmp_path / "x.mat", {"x": csc_array(np.diag(ACC[:50]))})
    with pytest.raises(DataError, match="is a sparse matrix or an object, not a full array"):
        MatSource(tmp_path / "x.mat", ("x",)).read(0, 1)


INDEX = "recording_id,dataset,file,channels,sampling_rate_hz,fault_type,group_id,sha256"
OUTSIDE = r"is absolute|lies outside the folder|is no name"


@pytest.mark.parametrize("file", ["/etc/hosts", "../x.csv", "a/../../x.csv", "C:\\x.csv", "..\\x.csv", " "])
def test_a_description_stays_in_its_folder(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "x.csv").write_text("acc\n" + "\n".join(map(str, ACC)))
    text = f"dataset: d\nsampling_rate_hz: 12000\nrecordings: [{{file: '{file}'}}]"
    (folder / "recordings.yaml").write_text(text)
    with pytest.raises(DataError, match=OUTSIDE):
        load_recordings(folder)
    (folder / "recordings.yaml").unlink()
    (folder / "recordings.csv").write_text(f"{INDEX}\na,d,{file},DE,1,,g,\n")
    with pytest.raises(DataError, match=OUTSIDE):
        load_recordings(folder)


def test_an_index_that_is_no_table(tmp_path: Path) -> None:
    head = INDEX.encode() + b"\n"
    np.savez(tmp_path / "a.npz", DE=ACC, sampling_rate_hz=48_000.0)
    for content, said in (
        (head + b"a,d,a.npz\n", "line 2 has another number of fields"),
        (head + b"\xff\xfe\n", "not a CSV file in UTF-8"),
        (head + b'"' + b"x" * 200_000 + b'"\n', "not a CSV file in UTF-8"),
        (head + b"a,d,a.npz,DE,12000,,g,\n", "the index says 12000 Hz and the file's '.*' 48000 Hz"),
        (
            head.replace(b"sha256", b"sha256,n_samples") + b"a,d,a.npz,DE,48000,,g,,601\n",
            "holds 600 samples and the index says 601",
        ),
    ):
        (tmp_path / "recordings.csv").write_bytes(content)
        with pytest.raises(DataError, match=said):
            load_recordings(tmp_path)


def test_samples_in_memory_lose_nothing() -> None:
    with pytest.raises(DataError, match="imaginary part"):
        ArraySource(np.zeros((1, 4), np.complex64))
    with pytest.raises(DataError, match="the mask would be lost"):
        ArraySource(np.ma.masked_greater(np.arange(8.0)[None], 5))
