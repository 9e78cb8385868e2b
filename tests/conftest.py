"""Fixtures for every room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def _data_folder(name: str) -> Path:
    root = os.environ.get("SECATEUR_DATA")
    folder = (Path(root) if root else Path(__file__).parents[2] / "shared" / "data") / name
    if (folder / "recordings.csv").exists():
        return folder
    reason = f"the {name} recordings are not at {folder}; set SECATEUR_DATA to the folder that holds {name}/"
    if os.environ.get("SECATEUR_REQUIRE_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cwru_dir() -> Path:
    """Folder of the CWRU recordings (archive layout)."""
    return _data_folder("cwru")


@pytest.fixture(scope="session")
def uestc_dir() -> Path:
    """Folder of the UESTC recordings (archive layout)."""
    return _data_folder("uestc")
