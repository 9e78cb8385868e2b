"""The outbox: nothing lost, order kept, what may be double is marked, bounds hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_machines import FakeClock
from outboxes import entry, outbox_of
from secateur.edge.agent.config.settings import Outbox as OutboxSettings
from secateur.edge.agent.outbox.database import Database, RunningClock
from secateur.edge.agent.outbox.delivery import Delivery
from secateur.edge.agent.outbox.store import KEYS_REMEMBERED, Outbox, Record
from secateur.edge.agent.sinks.base import RecordRefused, SinkUnavailable


class _Sink:
    """Takes what it is given, except where it was told to fail."""

    name = "s"

    def __init__(self) -> None:
        self.seen: list[Record] = []
        self.failures: list[Exception] = []

    def be_ready(self) -> None:
        pass

    def publish(self, records: Sequence[Record]) -> None:
        if self.failures:
            error = self.failures.pop(0)
            self.seen.extend(records[: getattr(error, "index", len(records))])
            raise error
        self.seen.extend(records)

    def close(self) -> None:
        pass


def test_in_order_and_removed_when_all_sinks_have_it(database: Database) -> None:
    outbox = outbox_of(database, ("s", "t"))
    outbox.append([entry(n) for n in range(10)])
    assert [record.key for record in outbox.next("s", most=3)] == ["result-a-0", "result-a-1", "result-a-2"]
    outbox.acknowledge("s", outbox.next("s")[-1].seq)
    assert outbox.status().rows == 10
    assert outbox.status().waiting == {"s": 0, "t": 10}
    outbox.acknowledge("t", outbox.next("t", most=4)[-1].seq)
    assert outbox.status().rows == 6
    assert outbox.next("s") == []


def test_the_same_key_is_stored_once(database: Database) -> None:
    outbox = outbox_of(database)
    assert outbox.append([entry(1), entry(2), entry(1)]) == [True, True, False]
    outbox.acknowledge("s", outbox.next("s")[-1].seq)
    assert outbox.append([entry(2)]) == [False]
    assert outbox.knows("result-a-1")
    assert not outbox.knows("result-a-3")


def test_remembered_keys_are_bounded(database: Database) -> None:
    outbox = outbox_of(database)
    outbox.append([entry(n) for n in range(KEYS_REMEMBERED + 5)])
    with database.transaction() as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM seen").fetchone()
    assert count == KEYS_REMEMBERED


def test_what_was_on_its_way_is_marked_after_a_restart(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    outbox = outbox_of(database)
    outbox.append([entry(n) for n in range(4)])
    outbox.attempt("s", outbox.next("s", most=2)[-1].seq)
    database.close()
    again = outbox_of(Database(tmp_path / "a.sqlite"))
    assert [record.redelivered for record in again.next("s")] == [True, True, False, False]


def test_a_new_sink_starts_with_what_comes_and_an_old_one_holds_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    outbox_of(database, ("old",)).append([entry(1)])
    outbox = outbox_of(database, ("new",))
    assert outbox.status().rows == 0
    outbox.append([entry(2)])
    assert [record.key for record in outbox.next("new")] == ["result-a-2"]
    database.close()


def test_full_drops_the_oldest_results_and_keeps_alarms(database: Database) -> None:
    outbox = outbox_of(database, max_mib=1)
    outbox.append([entry(0, kind="alarm")])
    outbox.append([entry(n, size=10_000) for n in range(300)])
    status = outbox.status()
    assert status.bytes <= status.most_bytes
    keys = [record.key for record in outbox.next("s", most=1000)]
    assert keys[0] == "alarm-a-0"
    assert len(keys) > 30 or status.rows > 30
    with database.transaction() as connection:
        last = connection.execute("SELECT key FROM results ORDER BY seq DESC LIMIT 1").fetchone()
    assert last == ("result-a-299",)
    assert status.dropped["outbox full, oldest"] + status.rows == 301
    assert status.filling


def test_full_refuses_the_newest_if_told_so_but_never_an_alarm(database: Database) -> None:
    outbox = outbox_of(database, max_mib=1, drop="newest")
    outbox.append([entry(n, size=10_000) for n in range(300)])
    outbox.append([entry(1, kind="alarm", size=10_000)])
    assert outbox.next("s")[0].key != "result-a-299"
    with database.transaction() as connection:
        last = connection.execute("SELECT key FROM results ORDER BY seq DESC LIMIT 1").fetchone()
    assert last == ("alarm-a-1",)
    assert outbox.status().dropped["outbox full, newest"] > 100


def test_age_counts_running_time_and_marks_what_waited(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    outbox = Outbox(
        database,
        OutboxSettings.model_validate({"max_age_h": 1, "historical_after_s": 10}),
        ("s",),
        clock=clock,
    )
    outbox.append([entry(1)])
    assert not outbox.next("s")[0].historical
    clock.at_s = 60.0
    monkeypatch.setattr("time.time", lambda: 9e9)  # the wall clock jumps ahead: nothing is lost
    outbox.append([entry(2)])
    assert [record.historical for record in outbox.next("s")] == [True, False]
    clock.at_s = 3661.0
    outbox.append([entry(3)])
    assert [record.key for record in outbox.next("s")] == ["result-a-3"]
    assert outbox.status().dropped == {"too old": 2}


def test_the_running_clock_goes_on_after_a_restart(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    outbox_of(database).append([entry(1)])
    with database.transaction() as connection:
        connection.execute("UPDATE counters SET value = 5000 WHERE name = 'running_s'")
    database.close()
    again = Database(tmp_path / "a.sqlite")
    assert 5000 <= RunningClock(again).now_s() < 5100
    again.close()


@settings(max_examples=15)
@given(st.lists(st.sampled_from(["append", "step", "fail", "restart"]), max_size=25))
def test_any_history_delivers_everything_in_order(
    tmp_path_factory: pytest.TempPathFactory, history: list[str]
) -> None:
    path = tmp_path_factory.mktemp("outbox") / "a.sqlite"
    database, sink, count = Database(path), _Sink(), 0
    outbox = outbox_of(database)
    delivery = Delivery(outbox, sink, replay_per_s=1e9)
    for event in [*history, "step"]:
        if event == "append":
            outbox.append([entry(count, sensor=str(count % 3))])
            count += 1
        elif event == "step":
            delivery.step()
        elif event == "fail":
            sink.failures.append(SinkUnavailable("half of it arrived", acknowledged=0))
            delivery.step()
            sink.failures.clear()
        else:
            database.close()
            database = Database(path)
            outbox = outbox_of(database)
            delivery = Delivery(outbox, sink, replay_per_s=1e9)
    database.close()
    first_time: dict[str, Record] = {}
    for record in sink.seen:
        assert record.key not in first_time or record.redelivered
        first_time.setdefault(record.key, record)
    assert [record.seq for record in first_time.values()] == sorted(r.seq for r in first_time.values())
    assert len(first_time) == count


def test_a_record_that_is_refused_for_good_does_not_hold_up_the_rest(database: Database) -> None:
    outbox, sink = outbox_of(database), _Sink()
    delivery = Delivery(outbox, sink, replay_per_s=1e9)
    outbox.append([entry(n) for n in range(5)])
    sink.failures = [RecordRefused("too large", index=index) for index in (2, 0, 0)]
    for _ in range(4):
        delivery.step()
    assert [record.key for record in sink.seen] == [f"result-a-{n}" for n in (0, 1, 3, 4)]
    assert outbox.status().dropped == {"refused by s": 1}
