"""An unevenly and an evenly cut model, saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cut_checkpoints import half_channels, saved, uneven


@pytest.fixture
def own(tmp_path: Path) -> tuple[Any, Path]:
    """An unevenly cut llama and its folder."""
    model, _ = saved("llama", uneven, tmp_path / "own")
    return model, tmp_path / "own"


@pytest.fixture
def plain(tmp_path: Path) -> tuple[Any, Path]:
    """An evenly cut llama and its folder."""
    model, _ = saved("llama", half_channels, tmp_path / "plain")
    return model, tmp_path / "plain"
