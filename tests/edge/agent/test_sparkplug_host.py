"""What a Sparkplug host makes of births, data and deaths, in whatever order they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.edge.agent.sparkplug.codec import DataType, Metric, Payload, decode, encode
from secateur.edge.agent.sparkplug.host import Data, Host, Taken
from secateur.edge.agent.sparkplug.waiting import (
    LONGEST_WAIT_S,
    METRIC_BYTES,
    MOST_WAITING,
    MOST_WAITING_BYTES,
)

SPEED = Metric(name="speed_rpm", alias=4, value=1500, datatype=DataType.INT32)
COUNT = Metric(name="number", alias=5, value=0, datatype=DataType.INT64)


def _payload(seq: int | None, *metrics: Metric) -> Payload:
    return Payload(metrics=metrics, seq=seq, timestamp_ms=1)


def _bdseq(number: int) -> Metric:
    return Metric(name="bdSeq", value=number, datatype=DataType.INT64)


def _aliased(number: int) -> Metric:
    return Metric(name=None, alias=5, value=number, datatype=None)


class Gateway:
    """An edge node of one session that sends to a host, as far as its messages arrive."""

    def __init__(self, host: Host, *, bdseq: int = 1) -> None:
        self.host, self.bdseq, self.seq = host, bdseq, -1

    def send(self, kind: str, *metrics: Metric, device: str = "d", arrives: bool = True) -> Taken | None:
        self.seq = 0 if kind == "NBIRTH" else (self.seq + 1) % 256
        payload = _payload(self.seq, *metrics)
        named = "" if kind[0] == "N" else device
        return self.host.take(kind, "n", payload, device=named, ticket=self.seq) if arrives else None

    def birth(self, **options: bool) -> list[Data]:
        self.send("NBIRTH", _bdseq(self.bdseq), **options)
        taken = self.send("DBIRTH", SPEED, COUNT, **options)
        return [] if taken is None else taken.data


def _numbers(data: list[Data]) -> list[object]:
    return [metric.value for entry in data for metric in entry.metrics if metric.name == "number"]


def test_a_gap_asks_for_a_rebirth_until_there_is_one() -> None:
    host = Host()
    gateway = Gateway(host)
    gateway.birth()
    assert not gateway.send("NDATA").rebirth
    gateway.send("NDATA", arrives=False)
    assert [gateway.send("NDATA").rebirth for _ in range(2)] == [True, True]
    assert host.counts["sequence gaps"] == 1
    gateway.birth()
    assert host.is_alive("n")
    assert not gateway.send("NDATA").rebirth


def test_sequence_numbers_wrap_after_255() -> None:
    host = Host()
    gateway = Gateway(host)
    gateway.birth()
    assert not any(gateway.send("NDATA").rebirth for _ in range(600))
    assert host.counts == {}


def test_a_value_holds_until_it_is_sent_again_and_has_the_type_of_its_birth() -> None:
    host = Host(staying=("speed_rpm",))
    gateway = Gateway(host)
    gateway.birth()
    assert host.values("n", "d") == {"speed_rpm": 1500}
    assert host.values("n", "other") == {}
    # on the wire an integer has no sign, and data need not repeat the type
    typed = Metric(name=None, alias=4, value=-20, datatype=DataType.INT32)
    (sent,) = decode(encode(_payload(2, typed), with_names=False)).metrics
    untyped = Metric(name=None, alias=4, value=(1 << 32) - 20, datatype=None)
    for metric, before in ((sent, 1500), (untyped, -20)):
        ((data,), rebirth) = (taken := gateway.send("DDATA", metric)).data, taken.rebirth
        ((found,), stayed) = data.metrics, data.stayed
        assert (found.name, found.value, stayed, rebirth) == ("speed_rpm", -20, {"speed_rpm": before}, False)
    gateway.send("DDATA", Metric(name="speed_rpm", value=7, datatype=DataType.INT32, historical=True))
    assert host.values("n", "d") == {"speed_rpm": -20}
    gateway.send("DDEATH")
    assert host.values("n", "d") == {}
    gateway.send("DBIRTH", SPEED)
    assert host.values("n", "d") == {"speed_rpm": 1500}
    host.take("NDEATH", "n", _payload(None, _bdseq(1)))
    assert host.values("n", "d") == {}


def test_data_that_carry_their_names_need_no_birth() -> None:
    named = Metric(name="samples", value=b"1234", datatype=DataType.BYTES)
    taken = Host().take("DDATA", "n", _payload(9, named), device="d")
    assert (taken.data[0].metrics, taken.data[0].whole, taken.rebirth) == ((named,), True, True)


def test_data_before_a_birth_wait_for_it_and_come_in_order() -> None:
    """The agent was started, or was away, after the node had been born."""
    host = Host()
    gateway = Gateway(host)
    gateway.birth(arrives=False)
    for number in range(3):
        taken = gateway.send("DDATA", _aliased(number))
        assert (taken.data, taken.rebirth, taken.waits) == ([], True, True)
    assert host.waiting == 3
    found = gateway.birth()
    assert _numbers(found) == [0, 1, 2]
    assert [entry.ticket for entry in found] == [2, 3, 4]
    assert all(entry.whole for entry in found)
    assert _numbers(gateway.send("DDATA", _aliased(3)).data) == [3]
    assert host.counts == {"data before birth": 3}


def test_data_after_a_gap_are_named_by_the_next_birth() -> None:
    host = Host()
    gateway = Gateway(host)
    gateway.birth()
    gateway.send("DBIRTH", SPEED, COUNT, arrives=False)
    assert gateway.send("DDATA", Metric(name=None, alias=9, value=7, datatype=None)).waits
    gateway.send("NBIRTH", _bdseq(1))
    renamed = Metric(name="number", alias=9, value=0, datatype=DataType.INT64)
    assert _numbers(gateway.send("DBIRTH", renamed).data) == [7]


def test_a_birth_names_the_data_of_its_own_device_alone() -> None:
    host = Host()
    gateway = Gateway(host)
    gateway.birth(arrives=False)
    for device in "de":
        gateway.send("DDATA", _aliased(ord(device)), device=device)
    gateway.send("NBIRTH", _bdseq(1))
    assert _numbers(gateway.send("DBIRTH", COUNT, device="e").data) == [ord("e")]
    assert host.waiting == 1


def test_data_that_waited_have_the_unit_of_the_birth_and_not_the_speed_of_now() -> None:
    host = Host(staying=("speed_rpm", "unit"), passing=("speed_rpm",))
    gateway = Gateway(host)
    gateway.birth(arrives=False)
    gateway.send("DDATA", _aliased(0))
    gateway.send("DDATA", Metric(name=None, alias=4, value=900, datatype=None))
    gateway.send("DDATA", _aliased(1))
    gateway.send("NBIRTH", _bdseq(1))
    unit = Metric(name="unit", alias=6, value="g", datatype=DataType.STRING)
    found = gateway.send("DBIRTH", SPEED, COUNT, unit).data
    assert [entry.stayed for entry in found] == [
        {"unit": "g"},
        {"unit": "g"},
        {"unit": "g", "speed_rpm": 900},
    ]
    # what is older than the birth does not undo it
    assert host.values("n", "d") == {"unit": "g", "speed_rpm": 1500}


@pytest.mark.parametrize(("death", "born"), [("NDEATH", False), ("DDEATH", False), ("DDEATH", True)])
def test_a_death_ends_the_wait_since_the_next_birth_may_give_other_aliases(death: str, born: bool) -> None:
    host = Host()
    gateway = Gateway(host)
    gateway.birth(arrives=False)
    named = Metric(name="unit", value="g", datatype=DataType.STRING)
    gateway.send("DDATA", _aliased(1), named)
    if born:
        gateway.send("NBIRTH", _bdseq(1))
    taken = gateway.send(death, _bdseq(1))
    assert [(entry.metrics, entry.whole) for entry in taken.data] == [((named,), False)]
    assert gateway.birth() == []
    assert host.counts["waited for a birth in vain"] == 1


def test_a_late_death_of_the_former_session_ends_no_wait() -> None:
    host = Host()
    gateway = Gateway(host, bdseq=2)
    gateway.send("NBIRTH", _bdseq(2))
    gateway.send("DBIRTH", SPEED, arrives=False)
    gateway.seq -= 1  # a node that sends data of a device before its birth
    assert gateway.send("DDATA", _aliased(1)).waits
    host.take("NDEATH", "n", _payload(None, _bdseq(1)))
    assert host.counts["late deaths"] == 1
    assert _numbers(gateway.send("DBIRTH", SPEED, COUNT).data) == [1]


def test_an_alias_that_the_birth_does_not_have_is_counted() -> None:
    host = Host()
    gateway = Gateway(host)
    gateway.birth(arrives=False)
    gateway.send("DDATA", Metric(name=None, alias=77, value=1, datatype=None), _aliased(1))
    (data,) = gateway.birth()
    assert ([metric.name for metric in data.metrics], data.whole) == (["number"], False)
    assert host.counts["aliases that the birth has not"] == 1
    # another birth would not name it either, and is not asked for
    taken = gateway.send("DDATA", Metric(name=None, alias=77, value=1, datatype=None), _aliased(2))
    assert (_numbers(taken.data), taken.data[0].whole, taken.rebirth) == ([2], False, False)
    assert host.counts["aliases that the birth has not"] == 2
    strange = Metric(name=None, alias=78, value=1, datatype=None)
    assert [gateway.send("NDATA", strange).rebirth for _ in range(2)] == [True, False]
    gateway.birth()
    assert not gateway.send("NDATA", strange).rebirth


def test_the_wait_is_bounded_in_number_size_and_time() -> None:
    now = [0.0]
    host = Host(clock=lambda: now[0])
    gateway = Gateway(host)
    gateway.birth(arrives=False)
    for number in range(MOST_WAITING):
        assert gateway.send("DDATA", _aliased(number)).data == []
    (passed_over,) = gateway.send("DDATA", _aliased(MOST_WAITING)).data
    assert (passed_over.metrics, passed_over.whole, host.waiting) == ((), False, MOST_WAITING)
    half = bytes(MOST_WAITING_BYTES // 2 - MOST_WAITING * METRIC_BYTES)
    large = Metric(name=None, alias=6, value=half, datatype=None)
    gateway.send("DDATA", large)
    gateway.send("DDATA", large)
    assert host.waiting == MOST_WAITING
    assert len(gateway.send("DDATA", large).data) == MOST_WAITING - 1
    assert host.waiting == 2
    now[0] = LONGEST_WAIT_S + 1.0
    assert len(gateway.send("NDATA").data) == 2  # whatever comes, also of another node
    assert host.waiting == 0
    assert host.counts["waited for a birth in vain"] == MOST_WAITING + 4


EVENTS = st.lists(st.sampled_from(["data", "data", "lost", "birth", "lost birth", "death"]), max_size=40)


@given(EVENTS)
def test_data_come_once_under_their_own_names_or_are_counted(events: list[str]) -> None:
    """Each session gives its own aliases: a value under the name of another would be wrong data."""
    host, session, seq, sent, found = Host(), 0, 0, 0, []

    def take(kind: str, *metrics: Metric) -> None:
        device = "d" if kind[0] == "D" else ""
        found.extend(host.take(kind, "n", _payload(seq, *metrics), device=device).data)

    for event in [*events, "birth"]:
        seq = (seq + 1) % 256
        if event == "data":
            take("DDATA", Metric(name=None, alias=session, value=1000 * session + sent, datatype=None))
            sent += 1
        elif event == "death":
            take("NDEATH", _bdseq(session))
            session += 1
        elif event == "birth":
            seq = 0
            take("NBIRTH", _bdseq(session))
            seq = 1
            take("DBIRTH", Metric(name=f"of {session}", alias=session, value=None, datatype=DataType.INT64))
        elif event == "lost birth":
            seq = 1
    told = [(metric.name, metric.value) for data in found for metric in data.metrics]
    assert all(name == f"of {value // 1000}" for name, value in told)
    assert [value % 1000 for _, value in told] == sorted({value % 1000 for _, value in told})
    assert len(found) == sent
    assert (
        sum(not data.whole for data in found) == host.counts["waited for a birth in vain"] == sent - len(told)
    )
