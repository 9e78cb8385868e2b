"""Recordings published to a broker, as a gateway would."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mosquitto import Mosquitto
from mqtt_consumer import Consumer
from secateur.edge.agent.config.connections import Broker
from secateur.edge.agent.publish import Replay, publish


def test_several_recordings_are_published_at_once(broker: Mosquitto, tmp_path: Path) -> None:
    np.save(tmp_path / "wave.npy", np.random.default_rng(0).standard_normal(6400).astype(np.float32))
    replays = [
        Replay(
            file=tmp_path / "wave.npy",
            topic=f"plant/{name}/drive-end/burst",
            sampling_rate_hz=6400,
            burst_samples=640,
            speed_factor=2.0,
        )
        for name in ("pump", "fan", "mill")
    ]
    where = Broker(host="127.0.0.1", port=broker.port)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda replay: publish(replay, where), replays)) == [10, 10, 10]


def test_a_fast_replay_does_not_run_ahead_of_the_clock(broker: Mosquitto, tmp_path: Path) -> None:
    """Else the agent would flag a clock that is ahead, and mix times of measurement with times of arrival."""
    np.save(tmp_path / "wave.npy", np.random.default_rng(0).standard_normal(64_000).astype(np.float32))
    consumer = Consumer(broker.port, "plant/#")
    replay = Replay(
        file=tmp_path / "wave.npy", topic="plant/pump/a", sampling_rate_hz=100, speed_factor=0, payload="json"
    )
    count = publish(replay, Broker(host="127.0.0.1", port=broker.port))
    found = consumer.wait(lambda messages: len(messages) == count)
    times = [json.loads(message.payload)["measured_unix_s"] for message in found]
    assert times == sorted(times)
    assert times[-1] <= time.time() - 1.0  # each burst lasts a second
    consumer.close()
