"""Bursts of several messages: whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import DataError
from secateur.edge.agent.sources.assembly import MOST_OPEN, Assembler
from secateur.edge.agent.sources.payloads import (
    MOST_SAMPLES,
    Piece,
)

PIECES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40)


@given(PIECES)
def test_assembly_is_whole_or_not_at_all(messages: list[tuple[int, int]]) -> None:
    assembler, seen = Assembler(incomplete_after_s=1e9), {}
    for number, part in messages:
        samples = np.full(2, 10 * number + part, dtype=np.float32)
        burst = assembler.add("m", "s", Piece(samples=samples, number=number, part=part, parts=4))
        parts = seen.setdefault(number, set())
        parts.add(part)
        assert (burst is not None) == (len(parts) == 4)
        if burst is not None:
            assert burst.samples.tolist() == [10.0 * number + p for p in range(4) for _ in range(2)]
            del seen[number]


def test_what_stays_incomplete_is_dropped_and_counted() -> None:
    now = [0.0]
    assembler = Assembler(incomplete_after_s=5.0, clock=lambda: now[0])
    part = Piece(samples=np.ones(2, dtype=np.float32), number=1, part=0, parts=2)
    assert assembler.add("m", "s", part) is None
    now[0] = 6.0
    assert assembler.add("m", "s", Piece(samples=part.samples, number=1, part=1, parts=2)) is None
    assert assembler.counts["incomplete dropped"] == 1
    for number in range(2, MOST_OPEN + 10):
        assembler.add("m", "s", Piece(samples=part.samples, number=number, part=0, parts=2))
    assert assembler.open == MOST_OPEN
    now[0] = 20.0
    assert assembler.open == 0  # also when nothing comes any more
    large = np.broadcast_to(np.float32(0), MOST_SAMPLES - 1)
    for number in range(6):
        assembler.add("m", "s", Piece(samples=large, number=number, part=0, parts=2))
    assert assembler.open == 4


def test_parts_that_contradict_drop_the_burst() -> None:
    assembler = Assembler(incomplete_after_s=5.0)
    ones = np.ones(2, dtype=np.float32)
    assembler.add("m", "s", Piece(samples=ones, number=1, part=0, parts=2, unit="g"))
    with pytest.raises(DataError, match="contradicts"):
        assembler.add("m", "s", Piece(samples=ones, number=1, part=1, parts=2, unit="mm/s"))
    assert assembler.open == 0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_what_one_part_says_holds_for_the_burst(order: tuple[int, ...]) -> None:
    said = [{"sampling_rate_hz": 12_000.0, "measured_unix_s": 5.0}, {}, {"speed_rpm": 1500.0}]
    assembler, burst = Assembler(incomplete_after_s=5.0), None
    for part in order:
        samples = np.full(2, part, dtype=np.float32)
        burst = assembler.add("m", "s", Piece(samples=samples, number=1, part=part, parts=3, **said[part]))
    assert burst.samples.tolist() == [0, 0, 1, 1, 2, 2]
    assert (burst.sampling_rate_hz, burst.measured_unix_s, burst.speed_rpm) == (12_000.0, 5.0, 1500.0)


def test_parts_that_come_twice_are_no_lost_burst() -> None:
    now, gone = [0.0], []
    assembler = Assembler(incomplete_after_s=5.0, dropped=gone.append, clock=lambda: now[0])
    parts = [Piece(samples=np.ones(2, dtype=np.float32), number=1, part=part, parts=2) for part in range(2)]
    found = [assembler.add("m", "s", parts[part]) for part in (0, 0, 1, 1, 1)]
    assert [burst is not None for burst in found] == [False, False, True, False, False]
    now[0] = 6.0
    assert assembler.open == 0
    assert assembler.counts == {"parts twice": 3}
    assert gone == [("m", "s", 1)]
