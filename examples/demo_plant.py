"""A small plant: a broker, three machines of which one develops a fault, the agent and its dashboard.

``python examples/demo_plant.py`` needs mosquitto; Ctrl-C ends it. The address of the dashboard is printed.
The machines are simulated; with ``--data DIR``, or ``SECATEUR_DATA``, they are those of ``DIR/cwru``.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from secateur.signals.readers.open import load_recordings
from secateur.signals.recording import Recording
from secateur.signals.simulator.collection import simulated_recordings
from secateur.signals.simulator.parameters import DEFAULT_RIGS, DefectPhysics, Measurement

RATE_HZ, BURST = 12_000, 16_384
MACHINES = ("pump", "fan", "mill")
FAULTY = "mill"


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def simulated() -> list[Recording]:
    """Return recordings of the simulated rig."""
    return simulated_recordings(
        7,
        rigs=(replace(DEFAULT_RIGS[0], speeds_rpm=(1797.0, 1730.0)),),
        physics=DefectPhysics(sizes_mil=(14.0,), snr_db=(6.0,)),
        measurement=Measurement(duration_s=15.0),
    )


def real(data: Path) -> list[Recording]:
    """Return the recordings of a real rig that have the rate of the demo."""
    found = load_recordings(data / "cwru")
    return [entry for entry in found if entry.sampling_rate_hz == RATE_HZ and entry.channels[0] == "DE"]


def write_recordings(folder: Path, minutes: float, recordings: list[Recording]) -> dict[str, float]:
    """Write one recording a machine, one with an outer race that slowly breaks; return speeds in rpm."""
    normal = [entry for entry in recordings if entry.fault_location == "normal"]
    broken = next(entry for entry in recordings if entry.fault_location == "outer_race")
    samples = int(60 * minutes * RATE_HZ)
    speeds = {}
    for number, name in enumerate(MACHINES):
        source = normal[number % len(normal)] if name != FAULTY else _nearest(normal, broken)
        wave = np.resize(source.read()[0], samples) * (1.0 + 0.2 * number)
        if name == FAULTY:
            growth = np.clip(np.linspace(-1.0, 2.0, samples), 0.0, None) ** 2
            wave = wave + growth.astype(np.float32) * np.resize(broken.read()[0], samples)
        np.save(folder / f"{name}.npy", wave.astype(np.float32))
        speeds[name] = _rpm(broken if name == FAULTY else source)
    return speeds


def _rpm(recording: Recording) -> float:
    return float(recording.shaft_speed_rpm or 0.0)


def _nearest(recordings: list[Recording], wanted: Recording) -> Recording:
    return min(recordings, key=lambda entry: abs(_rpm(entry) - _rpm(wanted)))


def write_config(folder: Path, broker: int, port: int, speeds: dict[str, float], token: str) -> Path:
    """Write the agent's configuration."""
    (folder / "token").write_text(token)
    sensor = {
        "name": "drive-end",
        "sampling_rate_hz": RATE_HZ,
        "burst_samples": BURST,
        "bearing": "6205",
        "bundle": "foundation",
        "commissioning": {"bursts": 20},
    }
    config = {
        "name": "demo-plant",
        "state_folder": "state",
        "machines": [
            {"name": name, "speed": {"rpm": rpm}, "sensors": [sensor]} for name, rpm in speeds.items()
        ],
        "sources": [
            {"type": "mqtt", "port": broker, "topic": "plant/{machine}/{sensor}/burst", "payload": "raw"}
        ],
        "sinks": [
            {"type": "mqtt", "port": broker, "topic": "results"},
            {"type": "csv", "folder": "log"},
        ],
        "http": {"port": port, "token": {"file": "token"}},
        "log_level": "warning",
    }
    path = folder / "agent.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def wait_for(port: int, agent: subprocess.Popen[bytes]) -> None:
    """Wait until the agent takes connections."""
    while agent.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            return
        except OSError:
            time.sleep(0.2)
    sys.exit("the agent could not be started")


def main() -> None:
    """Start everything, wait, and end everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="length of the recordings at real speed")
    parser.add_argument("--speed-factor", type=float, default=4.0)
    parser.add_argument("--port", type=int, default=8765, help="of the agent's HTTP interface")
    parser.add_argument("--data", default=os.environ.get("SECATEUR_DATA"), help="folder with cwru/ in it")
    arguments = parser.parse_args()
    data = Path(arguments.data) if arguments.data else None
    if data is not None and not (data / "cwru").is_dir():
        sys.exit(f"{data} holds no cwru/; give the folder that does, or unset SECATEUR_DATA to simulate")
    mosquitto = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if mosquitto is None:
        sys.exit("the demo needs a broker; run: apt-get install mosquitto")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="demo-plant-"))
    broker, token, running = free_port(), secrets.token_urlsafe(12), []
    command = [sys.executable, "-m", "secateur"]
    try:
        print("writing recordings ...", flush=True)
        recordings = simulated() if data is None else real(data)
        speeds = write_recordings(folder, arguments.minutes, recordings)
        config = write_config(folder, broker, arguments.port, speeds, token)
        running.append(subprocess.Popen([mosquitto, "-p", str(broker)], stderr=subprocess.DEVNULL))
        time.sleep(0.5)
        running.append(subprocess.Popen([*command, "agent", str(config)]))
        print(f"token for acknowledging alarms: {token}", flush=True)
        wait_for(arguments.port, running[1])
        replays = [
            subprocess.Popen(
                [
                    *(*command, "replay", str(folder / f"{name}.npy"), "--port", str(broker)),
                    *("--topic", f"plant/{name}/drive-end/burst", "--sampling-rate", str(RATE_HZ)),
                    *("--burst-samples", str(BURST), "--speed-factor", str(arguments.speed_factor)),
                ],
                stdout=subprocess.DEVNULL,
            )
            for name in speeds
        ]
        running.extend(replays)
        failed = [name for name, replay in zip(speeds, replays, strict=True) if replay.wait()]
        if failed:
            sys.exit(f"the recordings of {', '.join(failed)} could not be published")
        print("the recordings are over; the agent goes on until Ctrl-C", flush=True)
        running[1].wait()
    except KeyboardInterrupt:
        pass
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
