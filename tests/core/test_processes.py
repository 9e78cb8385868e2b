"""Writing in company: files change only while all are there, and only by the first process."""

from __future__ import annotations

import pytest

from secateur.core.files import folder_aside, remove_folder, write_aside
from secateur.core.processes import ALONE, Team, apart, join, one_writes, team
from secateur.core.records import JsonLines, read_json, write_json


@pytest.fixture
def waits():
    """What was there at every gathering, and a function that joins a team of two."""
    seen: list[list[str]] = []

    def enter(rank, folder):
        def wait():
            seen.append(sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")))

        join(Team(rank=rank, count=2, wait=wait))
        return seen

    yield enter
    join(ALONE)


def test_alone_nobody_waits(tmp_path):
    assert team() is ALONE
    write_json(tmp_path / "a.json", 1)
    assert read_json(tmp_path / "a.json") == 1


def test_the_first_process_writes_while_all_are_there(tmp_path, waits):
    seen = waits(0, tmp_path)
    write_json(tmp_path / "a.json", 1)
    assert seen == [[], [], ["a.json"]]
    lines = JsonLines(tmp_path / "lines")
    lines.append({"n": 1})
    lines.append({"n": 2})
    assert lines.read() == [{"n": 1}, {"n": 2}]
    lines.clear()
    assert seen[3:] == [["a.json"], *[["a.json", "lines"]] * 4, ["a.json"]]


def test_others_leave_files_alone_but_wait_as_often(tmp_path, waits):
    seen = waits(1, tmp_path)
    write_json(tmp_path / "a.json", 1)
    JsonLines(tmp_path / "lines").append({"n": 1})
    JsonLines(tmp_path / "lines").clear()
    with folder_aside(tmp_path / "folder") as aside:
        (aside / "file").write_text("mine")
    remove_folder(tmp_path)
    assert seen == [[]] * 12
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("rank", [0, 1])
def test_inside_an_unfinished_folder_each_writes_its_own(tmp_path, waits, rank):
    seen = waits(rank, tmp_path)
    with folder_aside(tmp_path / "folder") as aside:
        write_json(aside / "a.json", rank)
        JsonLines(aside / "lines").append({"rank": rank})
        assert read_json(aside / "a.json") == rank
        assert len(seen) == 1
    assert len(seen) == 3
    assert (tmp_path / "folder").exists() == (rank == 0)


def test_a_failed_write_leaves_nothing_and_keeps_company(tmp_path, waits):
    waits(0, tmp_path)
    with pytest.raises(ZeroDivisionError), write_aside(tmp_path / "a"):
        raise ZeroDivisionError
    assert team().count == 2
    assert not any(tmp_path.iterdir())


def test_apart_ends_with_its_block(tmp_path, waits):
    seen = waits(1, tmp_path)
    with apart():
        write_json(tmp_path / "own.json", 1)
        assert team() is ALONE
    with one_writes() as mine:
        assert not mine
    assert (tmp_path / "own.json").exists()
    assert len(seen) == 2
