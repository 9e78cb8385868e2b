"""How long the outbox still lasts: the rate of the last five minutes, counted exactly."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from agent_machines import FakeClock
from secateur.edge.agent.config.settings import Outbox as OutboxSettings
from secateur.edge.agent.outbox.database import KEPT_FREE_BYTES, Database, StorageError
from secateur.edge.agent.outbox.inflow import Inflow
from secateur.edge.agent.outbox.store import LEAST_BYTES, ROW_BYTES, Entry, Outbox


def _entry(number: int, *, size: int) -> Entry:
    return Entry(key=str(number), kind="result", machine="m", sensor="a", payload=b"x" * size)


def test_the_rate_is_the_mean_of_the_last_five_minutes() -> None:
    inflow = Inflow(0.0)

    def come(seconds: range, size: int) -> tuple[float, float]:
        for second in seconds:
            inflow.add(float(second), size)
        return inflow.rate(float(seconds[-1]))

    assert inflow.rate(0.0) == (0.0, 1.0)
    assert come(range(100), 10) == pytest.approx((100 * 10 / 99, 99.0))
    assert come(range(100, 1000), 10) == pytest.approx((300 * 10 / 299, 299.0))
    # four times as large from now on: after five minutes nothing of the former rate is left
    assert come(range(1000, 1150), 40) == pytest.approx(((150 * 10 + 150 * 40) / 299, 299.0))
    assert come(range(1150, 1300), 40) == pytest.approx((300 * 40 / 299, 299.0))
    # and five minutes after the last result nothing comes at all
    assert inflow.rate(1299.0 + 150.0) == pytest.approx((150 * 40 / 299, 299.0))
    assert inflow.rate(1299.0 + 299.0) == pytest.approx((40 / 299, 299.0))
    assert inflow.rate(1299.0 + 300.0) == (0.0, 299.0)
    inflow.add(5000.25, 7)
    inflow.add(5000.75, 7)
    assert inflow.rate(5001.0) == pytest.approx((14 / 299, 299.0))


def test_hours_left_at_the_present_rate(database: Database) -> None:
    clock = FakeClock()
    outbox = Outbox(database, OutboxSettings.model_validate({"max_mib": 1}), ("s",), clock=clock)
    for second in range(20):
        clock.at_s = float(second)
        outbox.append([_entry(second, size=100)])
    status = outbox.status()
    assert (status.bytes_per_s, status.rate_over_s) == pytest.approx((20 * (100 + ROW_BYTES) / 19, 19.0))
    assert status.hours_left == pytest.approx((status.most_bytes - status.bytes) / status.bytes_per_s / 3600)
    clock.at_s = 400.0
    assert (outbox.status().bytes_per_s, outbox.status().hours_left) == (0.0, None)


def test_hours_left_end_where_results_grow_too_old(database: Database) -> None:
    clock = FakeClock()
    outbox = Outbox(database, OutboxSettings.model_validate({"max_age_h": 2}), ("s",), clock=clock)
    outbox.append([_entry(0, size=100)])
    assert outbox.status().hours_left == pytest.approx(2.0)
    clock.at_s = 1800.0
    outbox.append([_entry(1, size=100)])
    assert outbox.status().hours_left == pytest.approx(1.5)


def test_a_disk_with_less_room_bounds_the_outbox(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, free = FakeClock(), [KEPT_FREE_BYTES + 2_000_000]
    outbox = Outbox(database, OutboxSettings(), ("s",), clock=clock)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    clock.at_s = 10.0
    outbox.append([_entry(0, size=100_000 - ROW_BYTES)])
    status = outbox.status()
    reused = database.room_bytes() - free[0]
    assert 0 <= reused < 100_000
    assert (status.bytes, status.most_bytes) == (100_000, 2_100_000 + reused)
    assert status.hours_left == pytest.approx((2_000_000 + reused) / 10_000 / 3600)
    assert not status.filling
    free[0] = 0
    assert outbox.status().filling  # the disk is, whatever waits
    free[0] = KEPT_FREE_BYTES
    outbox.acknowledge("s", outbox.next("s")[-1].seq)
    assert (outbox.status().share, outbox.status().filling) == (0.0, False)
    assert database.room_bytes() >= free[0] + 90_000  # the pages of what was sent are free again


def test_a_backlog_leaves_room_to_send_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fills its own disk can neither note what was sent nor start again."""
    outbox = Outbox(database, OutboxSettings(), ("s",))
    disk = KEPT_FREE_BYTES + 3_000_000
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: SimpleNamespace(free=disk - database.path.stat().st_size)
    )
    for number in range(60):
        outbox.append([_entry(number, size=100_000)])
        database.checkpoint()
    assert database.path.stat().st_size < 3_200_000
    status = outbox.status()
    assert 20 <= status.rows < 32
    assert status.dropped == {"outbox full, oldest": 60 - status.rows}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))  # others fill it, too
    outbox.append([_entry(60, size=100_000)])
    assert LEAST_BYTES - 100_000 - ROW_BYTES < outbox.status().bytes <= LEAST_BYTES


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
