"""One process at a time: a folder that is in use is refused in words, and free again afterwards."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from secateur.core.errors import ConfigError
from secateur.core.locks import LOCK_SUFFIX, acquire, sole_owner, sole_writer


def test_a_file_where_a_folder_must_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in ("file/out", "file/a/out"):
        with (
            pytest.raises(ConfigError, match="file is no folder; choose another"),
            sole_writer(tmp_path / out),
        ):
            pass
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with sole_owner(folder):
        with pytest.raises(BlockingIOError):
            acquire(folder / LOCK_SUFFIX)
        with sole_owner(folder):  # our own
            pass
        with pytest.raises(BlockingIOError):
            acquire(folder / LOCK_SUFFIX)
    assert list(folder.iterdir()) == []
    other = acquire(folder / LOCK_SUFFIX)
    with (
        pytest.raises(ConfigError, match=r"state is in use by another process; stop that first"),
        sole_owner(folder),
    ):
        pass
    os.close(other)
    with sole_owner(folder):
        pass


def test_a_full_disk_takes_the_words_of_a_lock_and_not_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with sole_owner(tmp_path), pytest.raises(BlockingIOError):
        acquire(tmp_path / LOCK_SUFFIX)
