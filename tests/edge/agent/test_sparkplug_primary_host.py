"""An edge node with a primary host: born when that is online, dead when it is not, nothing lost between."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_machines import feed, linked_config, until
from mosquitto import Mosquitto
from mqtt_consumer import Consumer
from secateur.core.errors import DataError
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.sparkplug.codec import decode
from secateur.edge.agent.sparkplug.state import PrimaryHost

STATE = "spBv1.0/STATE/scada"


def _state(consumer: Consumer, at_ms: int, *, online: bool, topic: str = STATE) -> None:
    content = json.dumps({"online": online, "timestamp": at_ms}).encode()
    consumer.client.publish(topic, content, qos=1, retain=True).wait_for_publish(60)


def _kinds(consumer: Consumer) -> list[str]:
    return [message.topic.split("/")[2] for message in consumer.messages]


@pytest.fixture
def host(broker: Mosquitto) -> Iterator[Consumer]:
    found = Consumer(broker.port, "spBv1.0/works/#")
    yield found
    found.close()


@pytest.fixture
def agent(broker: Mosquitto, tmp_path: Path) -> Iterator[Agent]:
    sink = {"type": "sparkplug", "port": broker.port, "group": "works", "node": "gateway"}
    found = Agent(linked_config(tmp_path, [], [sink | {"primary_host": "scada"}]))
    found.start()
    yield found
    found.stop()


def test_a_node_lives_and_dies_with_its_primary_host(
    host: Consumer, agent: Agent, make_burst: Callable[..., Burst]
) -> None:
    delivery = agent.deliveries[0]
    _state(host, 1000, online=True, topic="spBv1.0/STATE/another")
    _state(host, 1000, online=False)
    until(lambda: "scada is waited for" in delivery.trouble)
    feed(agent, [make_burst(0)])
    time.sleep(1.5)  # longer than the node waits before it looks again
    assert _kinds(host) == []
    assert agent.outbox.status().rows == 1

    _state(host, 2000, online=True)
    until(lambda: _kinds(host) == ["NBIRTH", "DBIRTH", "DDATA"])
    _state(host, 1500, online=False)  # late words of a former session
    feed(agent, [make_burst(1)])
    until(lambda: _kinds(host)[3:] == ["DDATA"])

    _state(host, 3000, online=False)
    until(lambda: _kinds(host)[4:] == ["NDEATH"])
    feed(agent, [make_burst(2)])
    _state(host, 2500, online=True)
    until(lambda: "before the 3000 ms" in delivery.trouble)
    assert len(_kinds(host)) == 5

    _state(host, 4000, online=True)
    until(lambda: _kinds(host)[5:] == ["NBIRTH", "DBIRTH", "DDATA"])
    births = [decode(m.payload) for m in host.messages if m.topic.split("/")[2] in ("NBIRTH", "NDEATH")]
    numbers = [next(m.value for m in payload.metrics if m.name == "bdSeq") for payload in births]
    assert numbers == [0, 0, 1]
    data = [m for m in host.messages if "/DDATA/" in m.topic]
    assert len({dict(m.properties.UserProperty)["key"] for m in data}) == len(data) == 3


def test_what_was_never_sent_is_not_marked_as_perhaps_sent(
    host: Consumer, agent: Agent, make_burst: Callable[..., Burst]
) -> None:
    feed(agent, [make_burst(0)])
    until(lambda: "scada is waited for" in agent.deliveries[0].trouble)
    (waiting,) = agent.outbox.next("sparkplug")
    assert not waiting.redelivered
    _state(host, 1000, online=True)
    until(lambda: _kinds(host)[-1:] == ["DDATA"])


@pytest.mark.parametrize(
    "content",
    [
        b"ONLINE",
        b"[]",
        b'{"online": 1, "timestamp": 5}',
        b'{"online": true}',
        b'{"online": true, "timestamp": "5"}',
    ],
)
def test_what_is_no_state_message_changes_nothing(content: bytes) -> None:
    host = PrimaryHost("scada")
    host.take(b'{"online": true, "timestamp": 5}')
    with pytest.raises(DataError, match="STATE"):
        host.take(content)
    assert host.trouble() is None


def test_the_agent_is_a_primary_host_itself(broker: Mosquitto, tmp_path: Path) -> None:
    """Its own sink waits for its own source, over a broken connection and to the end."""
    node = Consumer(broker.port, "spBv1.0/#")
    source = {"type": "mqtt", "port": broker.port, "payload": "sparkplug", "topic": "in", "host_id": "hall"}
    sink = {"type": "sparkplug", "port": broker.port, "group": "works", "node": "n", "primary_host": "hall"}
    agent = Agent(linked_config(tmp_path, [source], [sink]))
    agent.start()
    until(lambda: _kinds(node).count("NBIRTH") == 1)

    def states() -> list[tuple[bool, int]]:
        found = [json.loads(m.payload) for m in node.messages if m.topic == "spBv1.0/STATE/hall"]
        return [(value["online"], value["timestamp"]) for value in found]

    until(lambda: len(states()) == 1)
    ((online, since_ms),) = states()
    assert online
    _state(node, since_ms, online=False, topic="spBv1.0/STATE/hall")  # late words of a former connection
    until(lambda: states()[-2:] == [(False, since_ms), (True, since_ms)])
    until(lambda: _kinds(node).count("NBIRTH") == 2)
    agent.sources[0]._client._sock_close()  # the connection breaks: the broker speaks the will
    until(lambda: len(states()) >= 5)
    assert states()[3:5] == [(False, since_ms), (True, since_ms)]
    agent.stop()
    until(lambda: not states()[-1][0])
    assert states()[-1][1] > since_ms
    node.close()
