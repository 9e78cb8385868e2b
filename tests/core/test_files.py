"""Files and folders appear whole, by the umask, and nothing of a killed process stays."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from secateur.core import exchange as exchange_module
from secateur.core import files
from secateur.core.errors import ConfigError
from secateur.core.files import folder_aside, require_replaceable, take_place, write_aside
from secateur.core.records import JsonLines, write_json


@contextmanager
def umask(value):
    former = os.umask(value)
    try:
        yield
    finally:
        os.umask(former)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o027])
def test_outputs_have_the_permissions_of_the_umask(mask, tmp_path):
    with umask(mask):
        write_json(tmp_path / "a.json", 1)
        with folder_aside(tmp_path / "folder") as aside:
            (aside / "inner").mkdir()
            for name in ("open", "inner/closed"):
                (aside / name).write_text("")
                (aside / name).chmod(0o600)  # as some libraries write
        with folder_aside(tmp_path / "folder") as aside:
            (aside / "open").write_text("")
            (aside / "inner").mkdir()
            (aside / "inner" / "closed").write_text("")
    for name in ("a.json", "folder/open", "folder/inner/closed"):
        assert mode(tmp_path / name) == 0o666 & ~mask
    for name in ("folder", "folder/inner"):
        assert mode(tmp_path / name) == 0o777 & ~mask


def test_a_private_file_is_nobody_elses_at_any_moment(tmp_path, monkeypatch):
    seen = []
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda path, to: (seen.append((mode(path), mode(path.parent))), replace(path, to))[1]
    )
    with umask(0o000), write_aside(tmp_path / "key", private=True) as aside:
        assert mode(aside) == 0o600
        assert mode(aside.parent) == 0o700
        aside.write_text("secret")
    assert seen == [(0o600, 0o700)]
    assert mode(tmp_path / "key") == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_content_is_on_the_disk_before_it_gets_its_name_and_the_name_after(tmp_path, monkeypatch):
    told = []
    synchronise, replace, swap = os.fsync, Path.replace, files.exchange

    def name_of(descriptor):
        return Path(f"/proc/self/fd/{descriptor}").resolve().name

    monkeypatch.setattr(os, "fsync", lambda fd: (told.append(f"sync {name_of(fd)}"), synchronise(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda path, to: (told.append("rename"), replace(path, to))[1])
    monkeypatch.setattr(files, "exchange", lambda one, other: (told.append("rename"), swap(one, other))[1])
    with write_aside(tmp_path / "a") as aside:
        aside.write_text("a")
    assert told == ["sync a", "rename", f"sync {tmp_path.name}"]
    (tmp_path / "b").mkdir()
    told.clear()
    with folder_aside(tmp_path / "b") as aside:
        (aside / "file").write_text("a")
    assert told == ["sync file", "sync b", "rename", f"sync {tmp_path.name}"]


def test_a_folder_is_replaced_without_a_moment_with_nothing(tmp_path, monkeypatch):
    """Every call that changes a name is watched: before and after it, the folder is there and whole."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "file").write_text("former")
    seen = []
    for function in ("rename", "replace"):
        real = getattr(Path, function)

        def watched(path, to, real=real):
            found = real(path, to)
            seen.append((out / "file").read_text())
            return found

        monkeypatch.setattr(Path, function, watched)
    with folder_aside(out) as aside:
        (aside / "file").write_text("new")
    assert (out / "file").read_text() == "new"
    assert set(seen) <= {"former", "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_where_names_cannot_change_places_a_failure_puts_the_former_back(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "exchange", lambda *_: False)
    out = tmp_path / "out"
    for content in ("former", "new"):
        with folder_aside(out) as aside:
            (aside / "file").write_text(content)
    assert (out / "file").read_text() == "new"
    real = Path.rename

    def failing(path, to):
        if to == out and path.parent.name != ".secateur-former":
            raise OSError(errno.EIO, "Input/output error")
        return real(path, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output"), folder_aside(out) as aside:
        (aside / "file").write_text("newer")
    assert (out / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_exchange_swaps_or_says_that_it_cannot(tmp_path, monkeypatch):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1")
    other.mkdir()
    if exchange_module.exchange(one, other):
        assert one.is_dir()
        assert other.read_text() == "1"
    with pytest.raises(FileNotFoundError):
        exchange_module.exchange(one, tmp_path / "none")
    monkeypatch.setattr(exchange_module.ctypes, "CDLL", lambda *_, **__: object())
    assert not exchange_module.exchange(one, other)


def test_a_folder_that_grew_elsewhere_takes_a_place(tmp_path):
    for content in ("former", "new"):
        grown = tmp_path / ".work" / "checkpoint"
        grown.mkdir(parents=True)
        (grown / "file").write_text(content)
        take_place(grown, tmp_path / "out")
        assert (tmp_path / "out" / "file").read_text() == content
        assert not grown.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from secateur.core import files
from secateur.core.files import folder_aside, write_aside
how, place = sys.argv[1], Path(sys.argv[2])
end = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if how == "between renamings":
    files.exchange = lambda *_: False
    real = Path.rename
    Path.rename = lambda path, to: end() if path.parent.suffix == ".secateur-aside" else real(path, to)
with (write_aside if how == "file" else folder_aside)(place / "out") as aside:
    if how == "file":
        aside.write_text("half")
        end()
    (aside / "file").write_text("new")
    if how == "folder":
        end()
"""


@pytest.mark.parametrize("how", ["file", "folder", "between renamings"])
def test_what_a_killed_process_left_goes_with_the_next_write(how, tmp_path):
    if how == "between renamings":
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "file").write_text("former")
    killed = subprocess.run([sys.executable, "-c", KILLED, how, tmp_path], check=False)
    assert killed.returncode == -9
    assert any(path.name.endswith(".secateur-aside") for path in tmp_path.iterdir())
    write_json(tmp_path / "other.json", 1)
    if how == "between renamings":
        assert (tmp_path / "out" / "file").read_text() == "former"
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "other.json"}


def test_what_a_living_process_writes_stays(tmp_path):
    with folder_aside(tmp_path / "slow") as aside:
        (aside / "file").write_text("growing")
        program = (
            "import sys; from pathlib import Path; from secateur.core.records import write_json; "
            "write_json(Path(sys.argv[1]) / 'quick.json', 1)"
        )
        subprocess.run([sys.executable, "-c", program, tmp_path], check=True)
        write_json(tmp_path / "own.json", 1)
    assert (tmp_path / "slow" / "file").read_text() == "growing"


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / ".out.x1y2").mkdir()
    (tmp_path / ".out.partial").mkdir()
    write_json(tmp_path / "out", 1)
    assert {path.name for path in tmp_path.iterdir()} == {".out.x1y2", ".out.partial", "out"}


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "real")
    for _ in range(2):
        with folder_aside(tmp_path / "link") as aside:
            (aside / "file").write_text("")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "real" / "file").exists()


def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ConfigError, match="give a file"), write_aside(place) as aside:
            aside.write_text("")


@pytest.mark.parametrize("name", ["owner", "former", ".secateur-owner2", "a.secateur-lock"])
def test_any_name_can_be_written(name, tmp_path):
    for _ in range(2):
        with folder_aside(tmp_path / name) as aside:
            write_json(aside / name, 1)
            write_json(aside / "other", 2)
    assert {path.name for path in (tmp_path / name).iterdir()} == {name, "other"}


def test_long_names_fit(tmp_path):
    write_json(tmp_path / ("ü" * 127), 1)
    assert (tmp_path / ("ü" * 127)).exists()


def fill(path):
    path.write_bytes(bytes(1 << 20))


def fill_by_numpy(path):
    with path.open("wb") as stream:
        np.save(stream, np.zeros(1 << 17))


def fill_by_another_library(path):
    try:
        fill(path)
    except OSError as error:
        raise RuntimeError(f"Error while serializing: I/O error: {error}") from None


FILLINGS = [fill, fill_by_numpy, fill_by_another_library]


@pytest.mark.parametrize("fill_file", FILLINGS)
def test_a_file_beyond_the_limit_names_its_path_and_leaves_nothing(fill_file, tmp_path):
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, former[1]))
    try:
        with pytest.raises(OSError) as raised, write_aside(tmp_path / "big") as aside:
            fill_file(aside)
        with pytest.raises(OSError) as in_folder, folder_aside(tmp_path / "folder") as aside:
            fill_file(aside / "big")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    for found, name in ((raised, "big"), (in_folder, "folder")):
        assert found.value.errno == errno.EFBIG
        assert found.value.filename == str(tmp_path / name)
    assert not any(tmp_path.iterdir())


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small file system")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("fill_file", FILLINGS)
def test_a_full_disk_names_the_path_and_leaves_nothing(fill_file, small_disk):
    with pytest.raises(OSError) as raised, write_aside(small_disk / "big") as aside:
        fill_file(aside)
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(small_disk / "big")
    assert not any(small_disk.iterdir())


def test_a_record_that_does_not_fit_leaves_the_records_before_it(small_disk):
    lines = JsonLines(small_disk / "records.jsonl")
    lines.append({"n": 1})
    with pytest.raises(OSError, match=r"records\.jsonl"):
        lines.append({"n": "2" * (1 << 20)})
    lines.append({"n": 3})
    assert lines.read() == [{"n": 1}, {"n": 3}]


def test_a_read_only_disk_names_the_path(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError) as raised, write_aside(small_disk / "a"):
        pass
    assert raised.value.errno == errno.EROFS
    assert raised.value.filename == str(small_disk / "a")


def test_a_record_cut_short_by_a_kill_goes_with_the_next_one(tmp_path):
    lines = JsonLines(tmp_path / "records.jsonl")
    lines.append({"n": 1})
    with lines.path.open("a") as stream:
        stream.write('{"n": 2, "long": "' + "x" * 200_000)
    assert lines.read() == [{"n": 1}]
    lines.append({"n": 3})
    assert lines.read() == [{"n": 1}, {"n": 3}]


@pytest.mark.parametrize("name", [".", "../here", "{absolute}"])
def test_the_folder_that_one_is_in_is_not_replaced(tmp_path, monkeypatch, name):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(ConfigError, match="is the folder that you are in, which cannot be replaced"):
        require_replaceable(Path(name.format(absolute=here)))
    require_replaceable(Path("result"))
