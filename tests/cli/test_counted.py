"""Numbers of things, in words."""

from __future__ import annotations

import pytest

from secateur.cli.counted import counted


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 windows"), (1, "1 window"), (2, "2 windows"), (12_345, "12,345 windows")]
)
def test_one_thing_has_no_plural(number, words):
    assert counted(number, "window") == words
