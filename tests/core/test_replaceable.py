"""Writing never takes the place of something else."""

from __future__ import annotations

import pytest

from secateur.core.errors import ConfigError
from secateur.core.files import require_replaceable


def test_new_empty_and_own_folders_may_be_written(tmp_path):
    require_replaceable(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    require_replaceable(tmp_path / "empty")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "manifest.json").write_text("{}")
    require_replaceable(tmp_path / "own", "manifest.json")


@pytest.mark.parametrize("marker", [None, "manifest.json"])
def test_a_file_or_a_foreign_folder_is_refused_and_stays(tmp_path, marker):
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    for place in (file, tmp_path):
        with pytest.raises(ConfigError, match="new or an empty folder"):
            require_replaceable(place, marker)
    assert file.read_text() == "mine"
