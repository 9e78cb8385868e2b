"""How long the outbox still lasts: the rate of the last five minutes, counted exactly."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from agent_machines import FakeClock
from secateur.edge.agent.config.settings import Outbox as OutboxSettings
from secateur.edge.agent.outbox.database import Database, StorageError
from secateur.edge.agent.outbox.store import ROW_BYTES, Entry, Outbox, OutboxStatus


def _entry(number: int, *, size: int) -> Entry:
    return Entry(key=str(number), kind="result", machine="m", sensor="a", payload=b"x" * size)


def test_hours_left_at_the_rate_of_the_last_five_minutes(database: Database) -> None:
    clock = FakeClock()
    outbox = Outbox(database, OutboxSettings.model_validate({"max_mib": 1}), ("s",), clock=clock)

    def come(seconds: range, size: int) -> OutboxStatus:
        for second in seconds:
            clock.at_s = float(second)
            outbox.append([_entry(second, size=size)])
        return outbox.status()

    def hours(status: OutboxStatus, bytes_per_s: float) -> float:
        return (status.most_bytes - status.bytes) / bytes_per_s / 3600.0

    row = 100 + ROW_BYTES
    status = come(range(100), 100)
    assert (status.bytes_per_s, status.rate_over_s) == pytest.approx((100 * row / 99, 99.0))
    assert status.hours_left == pytest.approx(hours(status, 100 * row / 99))
    status = come(range(100, 1000), 100)
    assert (status.bytes_per_s, status.rate_over_s) == pytest.approx((300 * row / 299, 299.0))
    # four times as large from now on: after five minutes nothing of the former rate is left
    status = come(range(1000, 1300), 4 * row - ROW_BYTES)
    assert status.bytes_per_s == pytest.approx(4 * 300 * row / 299)
    assert status.hours_left == pytest.approx(hours(status, status.bytes_per_s))
    # and five minutes after the last result nothing comes at all
    clock.at_s = 1299.0 + 150.0
    assert outbox.status().bytes_per_s == pytest.approx(4 * 150 * row / 299)
    clock.at_s = 1299.0 + 300.0
    status = outbox.status()
    assert (status.bytes_per_s, status.hours_left) == (0.0, None)


def test_hours_left_end_where_results_grow_too_old(database: Database) -> None:
    clock = FakeClock()
    outbox = Outbox(database, OutboxSettings.model_validate({"max_age_h": 2}), ("s",), clock=clock)
    outbox.append([_entry(0, size=100)])
    assert outbox.status().hours_left == pytest.approx(2.0)
    clock.at_s = 1800.0
    outbox.append([_entry(1, size=100)])
    assert outbox.status().hours_left == pytest.approx(1.5)


def test_a_disk_that_is_nearly_full_bounds_the_outbox(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, free = FakeClock(), [1_000_000]
    outbox = Outbox(database, OutboxSettings(), ("s",), clock=clock)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    clock.at_s = 10.0
    outbox.append([_entry(0, size=100_000 - ROW_BYTES)])
    status = outbox.status()
    reused = database.room_bytes() - free[0]
    assert 0 <= reused < 100_000
    assert (status.bytes, status.most_bytes) == (100_000, 1_100_000 + reused)
    assert status.hours_left == pytest.approx((1_000_000 + reused) / 10_000 / 3600)
    assert not status.filling
    free[0] = 0
    assert outbox.status().share > 0.8
    assert outbox.status().filling
    outbox.acknowledge("s", outbox.next("s")[-1].seq)
    assert outbox.status().share == 0.0  # the pages of what was sent are free again
    assert database.room_bytes() >= 90_000


def test_what_was_not_stored_is_no_inflow(database: Database) -> None:
    clock = FakeClock()
    outbox = Outbox(database, OutboxSettings(), ("s",), clock=clock)
    for _ in range(20):  # a full disk: the same result is tried again and again
        with pytest.raises(StorageError), database.transaction():
            outbox.append([_entry(0, size=100)])
            raise StorageError("full")
    clock.at_s = 10.0
    with database.transaction():
        outbox.append([_entry(0, size=100)])
        assert outbox.status().bytes_per_s == 0.0
    assert outbox.status().bytes_per_s == pytest.approx((100 + ROW_BYTES) / 10.0)
