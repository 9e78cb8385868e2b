"""Load: 32 sensors, one burst each a second, through the whole agent to a broker's acknowledgement.

``python benchmarks/agent/load.py --out FILE`` takes indicators alone, with ``--bundle`` also a model; needs
mosquitto. Latency runs from the submission of a whole burst to the broker's acknowledgement of its result.
Memory is that of the agent's process alone. With a ``--speed-factor`` above what the machine does, bursts
wait, and latencies mean nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from figures import tell

from mosquitto import Mosquitto
from secateur.core.memory import peak_resident_bytes, resident_bytes
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.intake import Submission
from secateur.edge.agent.models.store import Choice, ModelStore
from secateur.edge.agent.outbox.store import Record

RATE_HZ = 12_000
WAVES = 16


def measure(pipe: Any, folder: Path, port: int, arguments: argparse.Namespace) -> None:
    """Run the agent in this process and report latencies and memory."""
    sensor: dict[str, Any] = {
        "sampling_rate_hz": RATE_HZ,
        "burst_samples": arguments.samples,
        "bearing": "6205",
    }
    if arguments.bundle is not None:
        store = ModelStore(folder / "state" / "models")
        installed = store.install(arguments.bundle)
        store.choose(installed.name, Choice(active=installed.version))
        sensor["bundle"] = installed.name
    names = [f"s{number}" for number in range(arguments.sensors)]
    machines = [
        {"name": "m", "speed": {"rpm": 1797}, "sensors": [{"name": name, **sensor} for name in names]}
    ]
    config = parse_config(
        {
            "state_folder": str(folder / "state"),
            "machines": machines,
            "sinks": [{"type": "mqtt", "port": port}],
            "log_level": "warning",
        },
        folder / "agent.yaml",
    )
    agent = Agent(config)
    submitted: dict[str, float] = {}
    latencies: list[float] = []
    sink = agent.deliveries[0].sink
    publish = sink.publish

    def timed(records: Sequence[Record]) -> None:
        publish(records)
        now_s = time.monotonic()
        latencies.extend(now_s - submitted.pop(record.key) for record in records if record.key in submitted)

    sink.publish = timed  # type: ignore[method-assign]
    agent.start()
    random = np.random.default_rng(0)
    waves = random.standard_normal((WAVES, arguments.samples)).astype(np.float32)
    memory, cpu_s = [], time.process_time()
    started_s = time.monotonic()
    for second in range(arguments.seconds):
        for number, name in enumerate(names):
            due_s = started_s + second / arguments.speed_factor + number / len(names) / arguments.speed_factor
            time.sleep(max(0.0, due_s - time.monotonic()))
            burst = Burst(
                machine="m",
                sensor=name,
                samples=waves[(second + number) % WAVES],
                sampling_rate_hz=float(RATE_HZ),
                measured_unix_s=1.7e9 + second * arguments.interval_s,
                number=second,
            )
            submitted[burst.key] = time.monotonic()
            agent.intake.submit(Submission(burst=burst), timeout_s=60.0)
        memory.append(resident_bytes())
    agent.intake.drain(60.0)
    last_s = time.monotonic() + 20.0
    while submitted and time.monotonic() < last_s:
        time.sleep(0.05)
    bursts = arguments.seconds * len(names)
    half = memory[len(memory) // 2 :]
    pipe.send(
        {
            "sensors": arguments.sensors,
            "samples": arguments.samples,
            "bursts": bursts,
            "model": None if arguments.bundle is None else sensor["bundle"],
            "speed_factor": arguments.speed_factor,
            "interval_s": arguments.interval_s,
            "acknowledged": len(latencies),
            "latency_ms": {f"p{p}": 1e3 * float(np.percentile(latencies, p)) for p in (50, 90, 99, 100)},
            "cpu_ms_per_burst": 1e3 * (time.process_time() - cpu_s) / bursts,
            "memory_mib": {
                "steady": half[-1] / 2**20,
                "growth_over_last_half": half[-1] / half[0] - 1.0,
                "peak": peak_resident_bytes() / 2**20,
            },
        }
    )
    agent.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=32)
    parser.add_argument("--samples", type=int, default=8192)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--speed-factor", type=float, default=1.0, help="seconds of load in one second")
    parser.add_argument(
        "--interval-s", type=float, default=1.0, help="between a sensor's bursts, as they say"
    )
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="load-"))
    broker = Mosquitto(folder / "broker")
    mine, other = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=measure, args=(other, folder, broker.port, arguments)
    )
    process.start()
    other.close()
    try:
        found = mine.recv()
        process.join()
    finally:
        process.kill()
        broker.kill()
    tell(found, arguments.out)


if __name__ == "__main__":
    main()
