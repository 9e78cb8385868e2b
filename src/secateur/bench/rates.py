"""What this machine can do at best: bytes a second from memory and caches, operations a second.

``python -m secateur.bench.rates THREADS`` measures them in a fresh process and writes JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from secateur.bench.matmul_graph import matmul_graph
from secateur.bench.process import THREAD_VARIABLES
from secateur.core.errors import MeasurementError

SIZES_BYTES = tuple(2**power for power in (18, 20, 22, 23, 24, 25, 26, 28, 29))
"""From what the nearest cache holds to far more than any."""

SIDE = 1024
_REPEATS = 7
_LEAST_BYTES = 2**26
_LIMIT_S = 300


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Best rates of one machine; of several repeats the fastest, by processor time on one thread.

    Attributes
    ----------
    threads : int
        Threads of one operator.
    sizes_bytes, bandwidths : tuple of float
        Bytes a second that are read from an array of each size, over and over, by NumPy; the faster of a
        product, which may use all threads, and a maximum, which uses one.
    float_rate, integer_rate : float
        Operations a second of a 1024 x 1024 x 1024 product in ONNX Runtime: float32, and uint8 by int8.
    """

    threads: int
    sizes_bytes: tuple[float, ...]
    bandwidths: tuple[float, ...]
    float_rate: float
    integer_rate: float

    def bandwidth(self, n_bytes: float) -> float:
        """Return the bandwidth of a working set, between the measured sizes by the logarithm of the size."""
        return float(np.interp(np.log(max(n_bytes, 1.0)), np.log(self.sizes_bytes), self.bandwidths))


def measure_rates(*, threads: int) -> Rates:
    """Measure in a process of its own, whose libraries use so many threads.

    Raises
    ------
    MeasurementError
        If that process fails.
    """
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    done = subprocess.run(
        [sys.executable, "-m", "secateur.bench.rates", str(threads)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise MeasurementError(f"the rates of this machine could not be measured: {done.stderr.strip()}")
    return read_rates(done.stdout)


def read_rates(text: str) -> Rates:
    """Read what the process wrote."""
    told: dict[str, Any] = json.loads(text)
    for name in ("sizes_bytes", "bandwidths"):
        told[name] = tuple(told[name])
    return Rates(**told)


def _bandwidth(n_bytes: int, clock: Callable[[], int]) -> float:
    values = np.ones(n_bytes // 4, dtype=np.float32)
    passes = max(1, _LEAST_BYTES // n_bytes)

    def read_by_product() -> None:
        for _ in range(passes):
            np.dot(values, values)

    def read_by_maximum() -> None:
        for _ in range(passes):
            np.maximum.reduce(values)

    return max(passes * n_bytes / _fastest(read, clock) for read in (read_by_product, read_by_maximum))


def _rate(dtype: type, threads: int, clock: Callable[[], int]) -> float:
    import onnxruntime

    from secateur.bundle.onnx_options import session_options

    rng = np.random.default_rng(0)
    weights: np.ndarray = (10 * rng.standard_normal((SIDE, SIDE))).astype(dtype)
    rows: np.ndarray = rng.integers(0, 100, (SIDE, SIDE)).astype(np.uint8 if dtype is np.int8 else dtype)
    session = onnxruntime.InferenceSession(
        matmul_graph(weights, rows=SIDE), session_options(threads), providers=["CPUExecutionProvider"]
    )
    return 2 * SIDE**3 / _fastest(lambda: session.run(None, {"x": rows}), clock)


def _fastest(call: Callable[[], object], clock: Callable[[], int]) -> float:
    best = float("inf")
    for _ in range(_REPEATS):
        started = clock()
        call()
        best = min(best, (clock() - started) / 1e9)
    return best


def _measure(threads: int) -> Rates:
    # other work on the machine takes wall time from one thread, no processor time
    clock = time.process_time_ns if threads == 1 else time.perf_counter_ns
    return Rates(
        threads=threads,
        sizes_bytes=SIZES_BYTES,
        bandwidths=tuple(_bandwidth(size, clock) for size in SIZES_BYTES),
        float_rate=_rate(np.float32, threads, clock),
        integer_rate=_rate(np.int8, threads, clock),
    )


if __name__ == "__main__":
    print(json.dumps(asdict(_measure(int(sys.argv[1])))))
