"""A sink that wants alarms alone holds no results back, and is given none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.edge.agent.config.settings import Outbox as OutboxSettings
from secateur.edge.agent.outbox.database import Database
from secateur.edge.agent.outbox.store import Entry, Outbox

ALARMS = {3, 7, 8}


def _entries(count: int) -> list[Entry]:
    return [
        Entry(
            key=str(n), kind="alarm" if n in ALARMS else "result", machine="m", sensor="s", payload=b"x" * 100
        )
        for n in range(count)
    ]


def _outbox(database: Database, *sinks: str) -> Outbox:
    hooks = [name for name in sinks if name.startswith("hook")]
    return Outbox(database, OutboxSettings(), sinks, alarms_only=hooks)


def _keys(outbox: Outbox, sink: str) -> list[int]:
    return [int(record.key) for record in outbox.next(sink)]


def test_a_hook_that_is_down_keeps_alarms_alone(database: Database) -> None:
    outbox = _outbox(database, "broker", "hook")
    outbox.append(_entries(10))
    assert outbox.status().waiting == {"broker": 10, "hook": 3}
    assert (_keys(outbox, "broker"), _keys(outbox, "hook")) == (list(range(10)), [3, 7, 8])
    outbox.acknowledge("broker", outbox.next("broker")[-1].seq)
    status = outbox.status()
    assert (status.rows, status.waiting, status.dropped) == (3, {"broker": 0, "hook": 3}, {})
    outbox.acknowledge("hook", outbox.next("hook")[-1].seq)
    status = outbox.status()
    assert (status.rows, status.bytes, status.waiting) == (0, 0, {"broker": 0, "hook": 0})


def test_results_that_nobody_wants_are_not_kept(database: Database) -> None:
    outbox = _outbox(database, "hook")
    outbox.append(_entries(10))
    status = outbox.status()
    assert (status.rows, _keys(outbox, "hook")) == (3, [3, 7, 8])
    assert status.bytes_per_s * status.rate_over_s == pytest.approx(status.bytes)


def test_without_a_sink_nothing_is_ever_full(database: Database) -> None:
    outbox = _outbox(database)
    outbox.append(_entries(10))
    status = outbox.status()
    assert (status.rows, status.bytes_per_s, status.hours_left, status.waiting) == (0, 0.0, None, {})


def test_a_hook_that_wanted_all_and_now_wants_alarms_lets_results_go(database: Database) -> None:
    _outbox(database, "broker", "all").append(_entries(10))
    outbox = Outbox(database, OutboxSettings(), ("broker", "all"), alarms_only=("all",))
    outbox.acknowledge("broker", outbox.next("broker")[-1].seq)
    assert _keys(outbox, "all") == [3, 7, 8]
    assert outbox.status().rows == 3


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "hook", "hook 2"]), st.integers(1, 10)), max_size=12))
def test_what_is_left_is_what_somebody_wants(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    database = Database(tmp_path_factory.mktemp("outbox") / "a.sqlite")
    sinks = ("a", "b", "hook", "hook 2")
    outbox = _outbox(database, *sinks)
    outbox.append(_entries(10))
    through = dict.fromkeys(sinks, 0)
    for sink, most in steps:
        batch = outbox.next(sink, most=most)
        if batch:
            outbox.acknowledge(sink, batch[-1].seq)
            through[sink] = batch[-1].seq
    wanted = {
        sink: {n for n in range(10) if n + 1 > through[sink] and (n in ALARMS or not sink.startswith("hook"))}
        for sink in sinks
    }
    status = outbox.status()
    assert status.rows == len(set().union(*wanted.values()))
    assert status.waiting == {sink: len(keys) for sink, keys in wanted.items()}
    assert {sink: set(_keys(outbox, sink)) for sink in sinks} == wanted
    database.close()
