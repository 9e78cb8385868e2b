"""Key pairs, and copies of a sound bundle that tests may damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from secateur.bundle.archive import pack
from secateur.bundle.signature import create_key


@pytest.fixture
def copied(bundle_folder, tmp_path) -> Path:
    return shutil.copytree(bundle_folder, tmp_path / "bundle")


@pytest.fixture
def packed(bundle_folder, tmp_path) -> Path:
    pack(bundle_folder, tmp_path / "bundle.sct")
    return tmp_path / "bundle.sct"


@pytest.fixture
def keys(tmp_path) -> tuple[Path, Path]:
    create_key(tmp_path / "own.pem", tmp_path / "own.pub.pem")
    return tmp_path / "own.pem", tmp_path / "own.pub.pem"
