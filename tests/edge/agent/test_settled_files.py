"""Files in watched folders: whole, once, and put away."""

from __future__ import annotations

from pathlib import Path

import pytest

from secateur.edge.agent.settled_files import SettledFiles, keep_latest, put_away


def test_a_file_is_given_once_it_no_longer_changes_and_once_only(tmp_path: Path) -> None:
    files = SettledFiles()

    def look() -> list[str]:
        return [path.name for path in files.among(tmp_path.iterdir())]

    (tmp_path / "b").write_bytes(b"half")
    (tmp_path / "a").write_bytes(b"whole")
    (tmp_path / ".hidden").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "folder").mkdir()
    assert look() == []
    (tmp_path / "b").write_bytes(b"half and half")
    assert look() == ["a"]
    assert look() == ["b"]
    assert look() == []
    (tmp_path / "a").unlink()
    (tmp_path / "c").write_bytes(b"another")
    (tmp_path / "c").replace(tmp_path / "a")  # another file of that name
    assert look() == []
    assert look() == ["a"]
    files.give_again(tmp_path / "a")
    assert look() == ["a"]


def test_a_file_that_cannot_be_put_away_stays_and_the_log_tells(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"y")
    (tmp_path / "refused").write_bytes(b"in the way")
    put_away(tmp_path / "a", "done")
    put_away(tmp_path / "b", "refused")
    assert (tmp_path / "done" / "a").exists()
    assert (tmp_path / "b").exists()
    assert "could not be moved" in caplog.text


def test_a_file_is_put_away_over_no_other(tmp_path: Path) -> None:
    for content in ("one", "two", "three"):
        (tmp_path / "a.npy").write_text(content)
        put_away(tmp_path / "a.npy", "done")
    kept = list((tmp_path / "done").glob("a*.npy"))
    assert sorted(path.read_text() for path in kept) == ["one", "three", "two"]


def test_nothing_is_put_away_through_a_link(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever may only write bursts would replace a file of the agent by its name."""
    elsewhere, watched = tmp_path / "state", tmp_path / "watched"
    elsewhere.mkdir()
    watched.mkdir()
    (elsewhere / "active.json").write_text("mine")
    (watched / "active.json").write_text("theirs")
    (watched / "refused").symlink_to(elsewhere)
    put_away(watched / "active.json", "refused")
    (elsewhere / "agent.sqlite").touch()
    keep_latest(watched / "refused", 1)
    assert (elsewhere / "agent.sqlite").exists()
    assert (elsewhere / "active.json").read_text() == "mine"
    assert (watched / "active.json").exists()
    assert "could not be moved" in caplog.text


def test_files_come_as_a_sender_counts(tmp_path: Path) -> None:
    names = [
        "10.npy",
        "9.npy",
        "009.npy",
        "burst-2-b",
        "burst-2-a",
        "burst-10-a",
        "2026-1-30",
        "2026-11-3",
        "x",
        "٣",
    ]
    for name in names:
        (tmp_path / name).touch()
    files = SettledFiles()
    files.among(tmp_path.iterdir())
    found = [path.name for path in files.among(tmp_path.iterdir())]
    assert found == [
        *("009.npy", "9.npy", "10.npy", "2026-1-30", "2026-11-3"),
        *("burst-2-a", "burst-2-b", "burst-10-a", "x", "٣"),
    ]
