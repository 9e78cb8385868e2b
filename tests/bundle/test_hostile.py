"""Bundles that were made to do harm: one clear error each, in bounded time and memory."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import tracemalloc
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest

from forged import reseal
from secateur.bundle.manifest import read_manifest
from secateur.bundle.signature import create_key
from secateur.bundle.verify import check_bundle, verify_bundle
from secateur.core.errors import CheckpointError, ConfigError, ExportError, SecateurError
from secateur.edge import Runtime
from secateur.edge.generate import TextRuntime

MOST_BYTES = 64 << 20


@contextmanager
def little_memory():
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES


def arrays_of(folder):
    with np.load(folder / "golden.npz") as stored:
        return dict(stored)


@pytest.fixture(params=["windows", "tokens"])
def any_copied(request, bundle_folder, causal_bundle_folder, tmp_path):
    """A copy of a bundle of either kind, and what opens it."""
    source = bundle_folder if request.param == "windows" else causal_bundle_folder
    opened = Runtime if request.param == "windows" else TextRuntime
    return shutil.copytree(source, tmp_path / "bundle"), opened


def refused(folder, opened, message=None):
    for call in (verify_bundle, opened):
        with little_memory(), pytest.raises(SecateurError, match=message):
            call(folder)


def npz(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, value in members.items():
            archive.writestr(f"{name}.npy", value)
    return content.getvalue()


def npy(shape, values=b"", dtype="<f4"):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values


def hostile_golden(how, arrays):
    name = next(iter(arrays))
    plain = {key: npy(value.shape, value.tobytes(), value.dtype.str) for key, value in arrays.items()}
    match how:
        case "3.6 TiB in a header":
            return npz(**plain | {name: npy((1_000_000, 1_000_000))})
        case "a bomb":
            return npz(**plain | {name: npy((100 << 20,), bytes(100 << 20))})
        case "a bomb behind a right header":
            return npz(**plain | {name: plain[name] + bytes(100 << 20)})
        case "negative shapes":
            return npz(**plain | {name: npy((-1, 512))})
        case "objects":
            return npz(**plain | {name: npy(arrays[name].shape, b"\x80\x04N.", "|O")})
        case "other types":
            return npz(**plain | {name: npy(arrays[name].shape, bytes(arrays[name].size * 2), "<f2")})
        case "no window":
            return npz(**{key: npy((0, *value.shape[1:])) for key, value in arrays.items()})
        case "a header that is no header":
            return npz(**plain | {name: b"\x93NUMPY\x01\x00" + struct.pack("<H", 4) + b"{[(\n"})
        case "a header without end":
            return npz(**plain | {name: b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"(" * 100})
        case "nested headers":
            header = b"[" * 3000 + b"\n"
            return npz(**plain | {name: b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header})
        case "other arrays":
            return npz(**plain, more=npy((1,), bytes(4)))
        case "cut values":
            return npz(**plain | {name: plain[name][:-1]})
        case "not finite":
            arrays = arrays | {"logits": np.full_like(arrays["logits"], np.nan)}
            return npz(
                **{key: npy(value.shape, value.tobytes(), value.dtype.str) for key, value in arrays.items()}
            )
        case "nothing":
            return b""
    raise AssertionError(how)


@pytest.mark.parametrize(
    "how",
    [
        "3.6 TiB in a header",
        "a bomb",
        "a bomb behind a right header",
        "negative shapes",
        "objects",
        "other types",
        "no window",
        "a header that is no header",
        "a header without end",
        "nested headers",
        "other arrays",
        "cut values",
        "not finite",
        "nothing",
    ],
)
def test_hostile_golden_files_are_refused(any_copied, how):
    folder, opened = any_copied
    content = hostile_golden(how, arrays_of(folder))
    (folder / "golden.npz").write_bytes(content)
    reseal(folder)
    refused(folder, opened, "golden")


def test_a_compressed_golden_file_of_the_right_content_is_read(any_copied):
    folder, opened = any_copied
    np.savez_compressed(folder / "golden.npz", **arrays_of(folder))
    reseal(folder)
    opened(folder)


def changed_manifest(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


WINDOW_LIES = {
    "fewer labels": lambda m: m.update(labels=m["labels"][:2]),
    "more labels": lambda m: m.update(labels=[*m["labels"], "cage"]),
    "doubled labels": lambda m: m.update(labels=["normal", "normal", "ball"]),
    "an empty label": lambda m: m.update(labels=["", "normal", "ball"]),
    "a label that moves the cursor": lambda m: m.update(labels=["\x1b[2J", "normal", "ball"]),
    "another length": lambda m: m.update(window_length=1024),
    "an enormous length": lambda m: m.update(window_length=10**15),
    "more windows": lambda m: m["golden"].update(windows=4),
    "an infinite tolerance": lambda m: m["golden"].update(tolerance=float("inf")),
    "no tolerance": lambda m: m["golden"].update(tolerance=float("nan")),
    "a tolerance of anything": lambda m: m["golden"].update(tolerance=1e9),
    "infinite parity": lambda m: m["parity"].update(tolerance=float("inf")),
    "a rate that is none": lambda m: m.update(sampling_rate_hz=float("inf")),
    "deep nesting": lambda m: m.update(front_end=json.loads("[" * 200 + "]" * 200)),
}


@pytest.mark.parametrize("lie", WINDOW_LIES)
def test_bundles_that_cannot_run_do_not_pass(copied, lie):
    changed_manifest(copied, WINDOW_LIES[lie])
    refused(copied, Runtime)


@pytest.mark.parametrize("labels", [["normal", "ball"], ["normal", "ball", "cage", "outer_race"]])
def test_a_forger_who_changes_the_golden_logits_too_is_found(copied, labels):
    arrays = arrays_of(copied)
    logits = np.zeros((len(arrays["logits"]), len(labels)), dtype=np.float32)
    np.savez(copied / "golden.npz", **arrays | {"logits": logits})

    def lie(manifest):
        manifest["labels"] = labels
        for output in manifest["outputs"]:
            output["shape"][-1] = len(labels)

    changed_manifest(copied, lie)
    reseal(copied)
    with pytest.raises(ExportError, match="one number a class"):
        verify_bundle(copied)


def test_a_graph_of_another_window_length_is_an_error_of_ours(copied):
    arrays = arrays_of(copied)
    np.savez(copied / "golden.npz", **arrays | {"waveform": arrays["waveform"][:, :500].copy()})

    def lie(manifest):
        manifest["window_length"] = manifest["inputs"][0]["shape"][-1] = 500

    changed_manifest(copied, lie)
    reseal(copied)
    with pytest.raises(ExportError, match="does not run"):
        verify_bundle(copied)


TOKEN_LIES = {
    "another vocabulary": lambda m: m.update(vocabulary=m["vocabulary"] - 1),
    "an enormous vocabulary": lambda m: m.update(vocabulary=10**12),
    "end tokens beyond it": lambda m: m.update(end_tokens=[10**6]),
    "more golden tokens": lambda m: m["golden"].update(new_tokens=10**6),
    "an infinite tolerance": lambda m: m["golden"].update(tolerance=float("inf")),
    "another width": lambda m: m.update(head_dim=m["head_dim"] + 1),
    "a context that holds nothing": lambda m: m.update(context_length=2),
}


@pytest.mark.parametrize("lie", TOKEN_LIES)
def test_language_models_that_cannot_run_do_not_pass(causal_bundle_folder, tmp_path, lie):
    folder = shutil.copytree(causal_bundle_folder, tmp_path / "bundle")
    changed_manifest(folder, TOKEN_LIES[lie])
    refused(folder, TextRuntime)


@pytest.mark.parametrize("name", ["manifest.json", "golden.npz", "model.onnx"])
@pytest.mark.parametrize(
    "kind", ["a pipe", "a device", "a link to a device", "a dangling link", "a circle", "a folder"]
)
def test_what_is_no_file_is_refused_and_never_waited_for(any_copied, name, kind):
    folder, opened = any_copied
    path = folder / name
    path.unlink()
    match kind:
        case "a pipe":
            os.mkfifo(path)
        case "a device":
            try:
                os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
            except PermissionError:
                pytest.skip("this user may not make a device")
        case "a link to a device":
            path.symlink_to("/dev/zero")
        case "a dangling link":
            path.symlink_to(folder / "nothing")
        case "a circle":
            path.symlink_to(path)
        case "a folder":
            path.mkdir()
    refused(folder, opened, name)


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null", "a pipe"])
def test_a_place_that_is_no_bundle_is_refused(place, tmp_path):
    if place == "a pipe":
        place = tmp_path / "pipe"
        os.mkfifo(place)
    with pytest.raises(CheckpointError, match="neither a bundle folder"):
        check_bundle(place)


@pytest.mark.parametrize("place", ["nowhere", "no\0name"])
def test_a_place_where_nothing_is_is_wrong_use(place):
    with pytest.raises(ConfigError, match="does not exist"):
        check_bundle(place)


def test_a_manifest_that_is_too_large_or_too_deep_is_refused(copied):
    for content, message in (
        (b" " * (5 << 20), "more than"),
        (b"[" * 2_000_000, "deep"),
        (b'{"a":' * 9000, "deep|cut"),
    ):
        (copied / "manifest.json").write_bytes(content)
        with little_memory(), pytest.raises(CheckpointError, match=message):
            read_manifest(copied)


def test_a_great_many_members_are_refused_at_once_and_named_in_few_words(copied, packed, tmp_path):
    for number in range(990):
        (copied / f"x{number}").touch()
    with pytest.raises(CheckpointError, match="and 985 more") as raised:
        check_bundle(copied)
    assert len(str(raised.value)) < 500
    for number in range(100):
        (copied / f"y{number}").touch()
    with pytest.raises(CheckpointError, match="more than 1000 files"):
        check_bundle(copied)
    for count in (1001, 6000):
        with zipfile.ZipFile(tmp_path / "many.sct", "w") as archive:
            for number in range(count):
                archive.writestr(f"member-{number:06d}-{'x' * 40}", b"")
        with little_memory(), pytest.raises(CheckpointError, match="more than 1000 files"):
            check_bundle(tmp_path / "many.sct")


def test_members_that_lie_upon_each_other_are_refused(packed, tmp_path):
    """Each claims nearly the whole archive: what is read would grow with their square."""
    whole = packed.read_bytes()
    with zipfile.ZipFile(packed) as archive:
        first = archive.infolist()[0]
    end = whole.rindex(b"PK\x05\x06")
    start = struct.unpack("<L", whole[end + 16 : end + 20])[0]
    entry = bytearray(whole[start : start + 46 + len(first.filename)])
    entry[30:32] = b"\0\0"
    size = struct.pack("<L", start - 100)
    entry[20:24] = entry[24:28] = size
    entries = b"".join(
        bytes(entry[:46]) + f"{number:0{len(first.filename)}d}".encode() for number in range(500)
    )
    fields = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 500, 500, len(entries), start, 0)
    (tmp_path / "bomb.sct").write_bytes(whole[:start] + entries + fields)
    with little_memory(), pytest.raises(CheckpointError, match=r"shorter than|whole bundle"):
        check_bundle(tmp_path / "bomb.sct")


def test_messages_hold_no_characters_that_a_terminal_obeys(packed, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "evil.sct", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("\x1b[2J[red]gone" + "x" * 5000, b"boo")
    with pytest.raises(CheckpointError) as raised:
        check_bundle(tmp_path / "evil.sct")
    assert "\x1b" not in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("kind", ["a pipe", "/dev/zero", "a folder"])
def test_keys_that_are_no_files_are_refused(bundle_folder, tmp_path, kind):
    key = tmp_path / "key.pem"
    if kind == "a pipe":
        os.mkfifo(key)
    elif kind == "a folder":
        key.mkdir()
    else:
        key.symlink_to(kind)
    with pytest.raises(ConfigError, match="regular file"):
        check_bundle(bundle_folder, trusted=[key])


def test_the_private_key_is_its_owners_alone(tmp_path):
    former = os.umask(0)
    try:
        create_key(tmp_path / "own.pem", tmp_path / "own.pub.pem")
    finally:
        os.umask(former)
    assert (tmp_path / "own.pem").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "own.pub.pem").stat().st_mode & 0o777 == 0o666
