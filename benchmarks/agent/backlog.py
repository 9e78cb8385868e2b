"""A million results wait: how soon after the start is the first acknowledged, and in how much memory?

``python benchmarks/agent/backlog.py --rows 1000000 --out FILE``; needs mosquitto.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from figures import tell

from mosquitto import Mosquitto
from secateur.core.memory import resident_bytes
from secateur.edge.agent.agent import DATABASE_FILE, Agent
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.outbox.database import connect
from secateur.edge.agent.outbox.store import ROW_BYTES, Record


def fill(path: Path, rows: int) -> None:
    """Write results as an agent without a broker leaves them."""
    payload = json.dumps(
        {"bearing": {"level": "normal"}, "indicators": {f"band_{n}": 0.1 for n in range(12)}}
    ).encode()

    def entries() -> Iterator[tuple[Any, ...]]:
        for number in range(rows):
            yield (
                f"k{number}",
                "result",
                "m",
                f"s{number % 32}",
                0.0,
                1.7e9 + number,
                payload,
                zlib.crc32(payload),
            )

    path.parent.mkdir(parents=True)
    connection = connect(path)
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO results(key, kind, machine, sensor, running_s, created_unix_s, payload, crc) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        entries(),
    )
    connection.execute("INSERT INTO counters VALUES ('rows', ?)", (rows,))
    connection.execute("INSERT INTO counters VALUES ('bytes', ?)", (rows * (len(payload) + ROW_BYTES),))
    connection.execute("INSERT INTO sinks VALUES ('mqtt', 0, 0)")
    connection.execute("COMMIT")
    connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of replay, for the memory")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="backlog-"))
    fill(folder / "state" / DATABASE_FILE, arguments.rows)
    broker = Mosquitto(folder / "broker")
    sensors = [{"name": f"s{n}", "sampling_rate_hz": 12_000, "burst_samples": 2048} for n in range(32)]
    config = parse_config(
        {
            "state_folder": "state",
            "machines": [{"name": "m", "sensors": sensors}],
            "sinks": [{"type": "mqtt", "port": broker.port}],
            "outbox": {"max_mib": 8192, "replay_per_s": 100_000},
        },
        folder / "agent.yaml",
    )
    moments: list[float] = []
    started_s = time.monotonic()
    agent = Agent(config)
    publish = agent.deliveries[0].sink.publish

    def timed(records: Sequence[Record]) -> None:
        publish(records)
        moments.append(time.monotonic() - started_s)

    agent.deliveries[0].sink.publish = timed  # type: ignore[method-assign]
    agent.start()
    while not moments:
        time.sleep(0.005)
    before = resident_bytes()
    time.sleep(arguments.seconds)
    found = {
        "rows": arguments.rows,
        "first_acknowledged_s": moments[0],
        "results_per_s": agent.deliveries[0].sent / arguments.seconds,
        "memory_mib": before / 2**20,
        "memory_after_replay_mib": resident_bytes() / 2**20,
    }
    agent.stop()
    broker.kill()
    tell(found, arguments.out)


if __name__ == "__main__":
    main()
