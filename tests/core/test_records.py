"""Records are read within limits, and one that is none is told by its name."""

from __future__ import annotations

import os

import pytest

from secateur.core.errors import CheckpointError
from secateur.core.records import read_json, write_json


def test_what_was_written_comes_back(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None, float("nan")], "ü": "x"})
    assert read_json(tmp_path / "a.json", ("b", "ü")) == {"b": [1, 2.5, None, None], "ü": "x"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"settings": ', "is not valid JSON"),
        (b"\xff\xfe{\x00}\x00", "UTF-16"),
        (b"\x80", "not UTF-8"),
        (b"[" * 1_000_000, "too deeply"),
        (b"[]", "does not hold settings"),
        (b"null", "does not hold settings"),
        (b'{"setting": 1}', "does not hold settings"),
    ],
)
def test_damaged_records_are_told_by_name(tmp_path, content, message):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"run\.json.*{message}"):
        read_json(tmp_path / "run.json", ("settings",))


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place, message in ((tmp_path / "pipe", "pipe"), (tmp_path, "a folder"), (tmp_path / "no", "missing")):
        with pytest.raises(CheckpointError, match=message):
            read_json(place)
