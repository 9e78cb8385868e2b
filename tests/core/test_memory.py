"""Sizes in words and out of words, and what the system says of this process."""

from __future__ import annotations

import sys

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.core.memory import (
    give_back_freed_memory,
    in_words,
    parse_size,
    peak_resident_bytes,
    resident_bytes,
    traffic_bytes,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GiB", 4 * 2**30), ("1.5 gib", 3 * 2**29), ("800MB", 800_000_000), ("12", 12), ("2 kibytes", 2048)],
)
def test_sizes_are_read(text: str, size: int):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "4 GiBs", "-1GiB", "0MB", "4PB"])
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(ConfigError, match=r"is not a size; write a number"):
        parse_size(text)


def test_sizes_in_words():
    assert in_words(4 * 2**30) == "4.00 GiB"
    assert in_words(1536 * 1024) == "1.50 MiB"
    assert in_words(12) == "12 bytes"


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of glibc")
def test_freed_memory_goes_back_to_the_system():
    assert give_back_freed_memory()
    before = resident_bytes()
    held = [torch.ones(2**20) for _ in range(24)]
    kept = held[-1].clone()
    del held
    assert resident_bytes() - before < 16 * 2**20
    assert kept.sum() == 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells only its peak")
def test_memory_of_this_process_is_seen():
    before = resident_bytes()
    held = bytearray(b"x" * 64 * 2**20)
    assert resident_bytes() - before > 48 * 2**20
    assert peak_resident_bytes() >= resident_bytes()
    assert traffic_bytes() is not None
    del held
