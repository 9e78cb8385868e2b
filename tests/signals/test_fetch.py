"""Downloads against a server on this machine that breaks off, changes and misbehaves on demand."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from secateur.core.errors import ConfigError, TransportError
from secateur.core.locks import LOCK_SUFFIX, acquire, hidden_stem
from secateur.core.progress import quiet
from secateur.signals import fetch as fetch_module
from secateur.signals.catalogue import public_data_set, public_data_sets
from secateur.signals.fetch import fetch
from secateur.signals.readers.cwru import cwru_files

CONTENT = bytes(range(256)) * 4000  # about 1 MB, arrives in many pieces


class Server(ThreadingHTTPServer):
    """Holds files; ``break_after`` lists, answer by answer, after how many bytes to hang up."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.break_after: list[int] = []
        self.status: dict[str, list[int]] = {}
        self.content_type = "application/octet-stream"
        self.asked: list[tuple[str, str | None]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent about connections that were broken on purpose."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        wanted = self.headers.get("Range")
        self.server.asked.append((name, wanted))
        codes = self.server.status.get(name, [])
        if codes or name not in self.server.files:
            self.send_error(codes.pop(0) if codes else 404)
            return
        content, tag = self.server.files[name], self.server.tags.get(name)
        start = 0
        if wanted and self.headers.get("If-Range") == tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Type", self.server.content_type)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        limit = self.server.break_after.pop(0) if self.server.break_after else None
        self.wfile.write(content[start:] if limit is None else content[start : start + limit])
        self.close_connection = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(fetch_module, "PAUSE_S", 0.0)
    with Server() as running, quiet():
        running.files["a.mat"] = CONTENT
        running.tags["a.mat"] = '"first"'
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def catalogue(folder: Path, server: Server, files: list[str], **more: object) -> Path:
    entry = {
        "title": "t", "home": "h", "terms": "t", "cite": "c", "files": files,
        "address": f"http://127.0.0.1:{server.server_port}/{{file}}", **more,
    }  # fmt: skip
    path = folder / "catalogue.yaml"
    path.write_text(yaml.safe_dump({"rig": entry}))
    return path


def left_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_files_arrive_whole_and_are_not_fetched_twice(server: Server, tmp_path: Path) -> None:
    server.files["sub/b.mat"] = b"short"
    known = {"a.mat": hashlib.sha256(CONTENT).hexdigest()}
    book = catalogue(tmp_path, server, ["a.mat", "sub/b.mat"], sha256=known)
    first = fetch("rig", tmp_path / "out", catalogue=book)
    assert (first.downloaded, first.present) == (("a.mat", "sub/b.mat"), ())
    assert first.unverified == ("sub/b.mat",)
    assert first.sha256["a.mat"] == known["a.mat"]
    assert (tmp_path / "out" / "a.mat").read_bytes() == CONTENT
    assert (tmp_path / "out" / "sub" / "b.mat").read_bytes() == b"short"
    assert left_in(tmp_path / "out") == ["a.mat", "sub/b.mat"]
    again = fetch("rig", tmp_path / "out", catalogue=book)
    assert (again.downloaded, len(again.present), len(server.asked)) == ((), 2, 2)


def test_a_broken_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.break_after = [300_000, 200_000]
    fetch("rig", tmp_path / "out", catalogue=catalogue(tmp_path, server, ["a.mat"]))
    assert (tmp_path / "out" / "a.mat").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, "bytes=300000-", "bytes=500000-"]


def test_the_next_call_goes_on_too(server: Server, tmp_path: Path) -> None:
    book = catalogue(tmp_path, server, ["a.mat"])
    server.break_after = [100_000] * fetch_module.ATTEMPTS
    with pytest.raises(TransportError, match=r"a\.mat could not be downloaded: .*goes on from there"):
        fetch("rig", tmp_path / "out", catalogue=book)
    assert left_in(tmp_path / "out") == ["a.mat.part", "a.mat.part-version"]
    fetch("rig", tmp_path / "out", catalogue=book)
    assert server.asked[-1] == ("a.mat", f"bytes={100_000 * fetch_module.ATTEMPTS}-")
    assert (tmp_path / "out" / "a.mat").read_bytes() == CONTENT
    assert left_in(tmp_path / "out") == ["a.mat"]


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    book = catalogue(tmp_path, server, ["a.mat"])
    server.break_after = [100_000] * fetch_module.ATTEMPTS
    with pytest.raises(TransportError):
        fetch("rig", tmp_path / "out", catalogue=book)
    server.files["a.mat"], server.tags["a.mat"] = CONTENT[::-1], '"second"'
    fetch("rig", tmp_path / "out", catalogue=book)
    assert (tmp_path / "out" / "a.mat").read_bytes() == CONTENT[::-1]


def test_a_server_without_versions_is_never_resumed(server: Server, tmp_path: Path) -> None:
    del server.tags["a.mat"]
    server.break_after = [300_000]
    fetch("rig", tmp_path / "out", catalogue=catalogue(tmp_path, server, ["a.mat"]))
    assert (tmp_path / "out" / "a.mat").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, None]


def test_a_part_that_was_whole_already_is_accepted(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.mat.part").write_bytes(CONTENT)
    (out / "a.mat.part-version").write_text('"first"')
    fetch("rig", out, catalogue=catalogue(tmp_path, server, ["a.mat"]))
    assert (out / "a.mat").read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    book = catalogue(tmp_path, server, ["a.mat"], sha256={"a.mat": "0" * 64})
    with pytest.raises(TransportError, match="the catalogue says 0000"):
        fetch("rig", tmp_path / "out", catalogue=book)
    assert left_in(tmp_path / "out") == []


def test_a_damaged_file_of_known_checksum_is_replaced(server: Server, tmp_path: Path) -> None:
    book = catalogue(tmp_path, server, ["a.mat"], sha256={"a.mat": hashlib.sha256(CONTENT).hexdigest()})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.mat").write_bytes(b"damaged")
    assert fetch("rig", tmp_path / "out", catalogue=book).downloaded == ("a.mat",)
    assert (tmp_path / "out" / "a.mat").read_bytes() == CONTENT


def test_busy_servers_are_asked_again_and_missing_files_are_not(server: Server, tmp_path: Path) -> None:
    server.status["a.mat"] = [503, 500]
    fetch("rig", tmp_path / "out", catalogue=catalogue(tmp_path, server, ["a.mat"]))
    assert len(server.asked) == 3
    with pytest.raises(TransportError, match=r"answered 404 .*may have moved"):
        fetch("rig", tmp_path / "out", catalogue=catalogue(tmp_path, server, ["gone.mat"]))
    assert len(server.asked) == 4


def test_a_web_page_is_not_taken_for_data(server: Server, tmp_path: Path) -> None:
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(TransportError, match="web page"):
        fetch("rig", tmp_path / "out", catalogue=catalogue(tmp_path, server, ["a.mat"]))
    assert left_in(tmp_path / "out") == []


def test_no_server_at_all(server: Server, tmp_path: Path) -> None:
    book = catalogue(tmp_path, server, ["a.mat"], address="http://127.0.0.1:1/{file}")
    with pytest.raises(TransportError, match=r"127.0.0.1:1/a.mat could not be downloaded"):
        fetch("rig", tmp_path / "out", catalogue=book)


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(TransportError, match="cannot be written"):
        fetch("rig", tmp_path / "out", catalogue=catalogue(tmp_path, server, ["a.mat"]))


def test_two_fetches_into_one_folder_do_not_meet(server: Server, tmp_path: Path) -> None:
    book, out = catalogue(tmp_path, server, ["a.mat"]), tmp_path / "out"
    other = acquire(out.parent / f"{hidden_stem(out.name)}{LOCK_SUFFIX}")
    with pytest.raises(ConfigError, match="out"):
        fetch("rig", out, catalogue=book)
    assert server.asked == []
    os.close(other)
    assert fetch("rig", out, catalogue=book).downloaded == ("a.mat",)
    assert left_in(tmp_path) == ["catalogue.yaml", "out/a.mat"]


def test_zip_files_are_unpacked(server: Server, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("1 - Baseline/baseline_1.mat", b"x")
    server.files["set.zip"] = packed.getvalue()
    book = catalogue(tmp_path, server, ["set.zip"])
    fetch("rig", tmp_path / "out", catalogue=book)
    assert left_in(tmp_path / "out") == ["set.zip", "set/1 - Baseline/baseline_1.mat"]
    server.files["set.zip"] = b"PK but not a zip"
    with pytest.raises(TransportError, match="not a whole zip"):
        fetch("rig", tmp_path / "other", catalogue=book)
    assert left_in(tmp_path / "other") == []


def test_the_catalogue_names_the_official_places() -> None:
    known = public_data_sets()
    assert {name: len(entry.files) for name, entry in known.items()} == {
        "cwru": 161, "jnu": 12, "uestc": 80, "mfpt": 1,
    }  # fmt: skip
    assert sorted(known["cwru"].files) == sorted(f"{number}.mat" for number in cwru_files())
    assert (
        known["cwru"].remote_files()[4].address == "https://engineering.case.edu/sites/default/files/105.mat"
    )
    for entry in known.values():
        assert all(file.address.startswith("https://") for file in entry.remote_files())
        assert len(set(entry.files)) == len(entry.files)


def test_unknown_names_and_faulty_catalogues(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown data set 'xx'; allowed: cwru, jnu, uestc, mfpt"):
        public_data_set("xx")
    path = tmp_path / "catalogue.yaml"
    entry = {"title": "t", "home": "h", "terms": "t", "cite": "c", "address": "a", "files": ["../x"]}
    for faulty in ("[", "- a", yaml.safe_dump({"rig": entry}), "rig: {title: t}"):
        path.write_text(faulty)
        with pytest.raises(ConfigError, match="is not a catalogue"):
            public_data_sets(path)
