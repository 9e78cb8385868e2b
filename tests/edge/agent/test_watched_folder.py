"""Bursts as files in a watched folder."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from secateur.edge.agent.config.connections import FolderSource as FolderSettings
from secateur.edge.agent.intake import IntakeFull, Submission
from secateur.edge.agent.sources import folder
from secateur.edge.agent.sources.base import Inlet
from secateur.edge.agent.sources.folder import FolderSource
from secateur.edge.agent.sources.payloads import (
    Piece,
    to_raw,
)


class _Taking:
    """Takes what is submitted, and says done."""

    def __init__(self) -> None:
        self.bursts = []

    def __call__(self, submission: Submission) -> None:
        self.bursts.append(submission.burst)
        submission.done("of another kind" if submission.burst.number == 13 else None)


def test_a_watched_folder(tmp_path: Path) -> None:
    taking = _Taking()
    inlet = Inlet(submit=taking, set_speed=lambda *_: None, places={("m", "s"): 4096})
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
    (place / "6.npy").write_bytes(pickle.dumps([1]))
    (place / ".7.npy").write_bytes(b"being written")
    np.save(place / "9.npy", samples)
    (place / "9.npy").rename(place / "9.NPY")
    (place / "8.npy").symlink_to("/etc/hostname")
    (tmp_path / "x" / "s" / "1.json").write_bytes(b'{"samples": [1]}')
    assert source.look() == 0  # somebody may still write them
    assert source.look() == 4
    assert [burst.samples.tolist() for burst in taking.bursts[:2]] == [[0, 1, 2, 3, 4], [1, 2]]
    assert sorted(path.name for path in (place / "done").iterdir()) == ["1.npy", "2.json", "3.raw", "9.NPY"]
    assert sorted(path.name for path in (place / "refused").iterdir()) == ["4.json", "5.npy", "6.npy"]
    assert source.counts == {"bursts": 4, "refused": 3}
    assert source.status()["last_refusal"].startswith("6.npy: 6.npy is no NPY file.")
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
    inlet = Inlet(submit=submit, set_speed=lambda *_: None, places={("m", "s"): 4096})
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
    inlet = Inlet(
        submit=_Taking(), set_speed=lambda *_: None, places={("m", "closed"): 4096, ("m", "s"): 4096}
    )
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
    inlet = Inlet(submit=taking, set_speed=lambda *_: None, places={("m", "s"): 4096})
    source = FolderSource(FolderSettings.model_validate({"type": "folder", "folder": str(tmp_path)}), inlet)
    assert [source.look() for _ in range(2)] == [0, 1]
    assert source.counts == {"refused": 1, "bursts": 1}


@pytest.mark.parametrize("linked", ["m", "m/s"])
def test_a_link_out_of_the_folder_is_not_followed(linked: str, tmp_path: Path) -> None:
    elsewhere, watched = tmp_path / "elsewhere", tmp_path / "watched"
    place = elsewhere / "s" if linked == "m" else elsewhere
    place.mkdir(parents=True)
    np.save(place / "1.npy", np.ones(3))
    (watched / linked).parent.mkdir(parents=True)
    (watched / linked).symlink_to(elsewhere)
    inlet = Inlet(submit=_Taking(), set_speed=lambda *_: None, places={("m", "s"): 4096})
    settings = FolderSettings.model_validate({"type": "folder", "folder": str(watched)})
    source = FolderSource(settings, inlet)
    assert [source.look() for _ in range(3)] == [0, 0, 0]
    assert (place / "1.npy").exists()


def test_a_share_that_goes_and_comes_back_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taking, share = _Taking(), tmp_path / "share"
    inlet = Inlet(submit=taking, set_speed=lambda *_: None, places={("m", "s"): 4096})
    source = FolderSource(FolderSettings.model_validate({"type": "folder", "folder": str(share)}), inlet)

    def burst(number: int) -> None:
        (share / "m" / "s").mkdir(parents=True, exist_ok=True)
        (share / "m" / "s" / f"{number}.json").write_text(f'{{"samples": [1], "number": {number}}}')

    burst(1)
    assert [source.look(), source.look()] == [0, 1]
    assert source.status()["connected"]
    share.rename(tmp_path / "away")
    assert source.look() == 0
    assert "is not there" in source.status()["trouble"]
    (tmp_path / "away").rename(share)
    burst(2)
    assert [source.look(), source.look()] == [0, 1]
    assert source.status()["connected"]
    assert [found.number for found in taking.bursts] == [1, 2]
    with monkeypatch.context() as patch:  # a share that hangs must not hang those who ask for the state
        patch.setattr(Path, "is_dir", lambda _: pytest.fail("the folder was asked"))
        source._alive_s -= 100
        assert "has not answered for" in source.status()["trouble"]
        assert not source.status()["connected"]


def test_a_source_that_was_stopped_while_its_share_hung_takes_nothing_when_it_wakes(tmp_path: Path) -> None:
    """Another one may have been started in its place, and is at the same files."""
    taking = _Taking()
    inlet = Inlet(submit=taking, set_speed=lambda *_: None, places={("m", "s"): 4096})
    source = FolderSource(FolderSettings.model_validate({"type": "folder", "folder": str(tmp_path)}), inlet)
    (tmp_path / "m" / "s").mkdir(parents=True)
    (tmp_path / "m" / "s" / "1.json").write_bytes(b'{"samples": [1, 2]}')
    source.look()
    source.stop()
    assert source.look() == 0
    assert taking.bursts == []


@pytest.mark.parametrize(("done", "kept"), [("delete", 3), ("keep", 6)])
def test_a_gateway_that_writes_wrong_files_all_day_does_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: str, kept: int
) -> None:
    monkeypatch.setattr(folder, "REFUSED_KEPT", 3)
    inlet = Inlet(submit=_Taking(), set_speed=lambda *_: None, places={("m", "s"): 4096})
    settings = FolderSettings.model_validate({"type": "folder", "folder": str(tmp_path), "done": done})
    source, place = FolderSource(settings, inlet), tmp_path / "m" / "s"
    place.mkdir(parents=True)
    for number in range(6):
        (place / f"{number}.json").write_text("two channels")
        for _ in range(2):
            source.look()
    names = sorted(path.name for path in (place / "refused").iterdir())
    assert names == [f"{number}.json" for number in range(6 - kept, 6)]
