"""What goes into the models: noise, the same for all of them. Times do not depend on its values."""

from __future__ import annotations

import numpy as np

SHAFT_RATE_HZ = 29.5
ORDERS = {"bpfo": 3.585, "bpfi": 5.415, "bsf2": 4.714, "ftf": 0.398}
"""Of an SKF 6205."""


def random_tokens(count: int, hidden: int) -> np.ndarray:
    """Return tokens of unit variance, float32, shape (1, count, hidden)."""
    return np.random.default_rng(0).standard_normal((1, count, hidden)).astype(np.float32)


def random_window(length: int) -> dict[str, np.ndarray]:
    """Return one window with speed and fault orders: the inputs of a whole Diagnoser."""
    return {
        "waveform": np.random.default_rng(0).standard_normal((1, length)).astype(np.float32),
        "shaft_rate_hz": np.full(1, SHAFT_RATE_HZ, dtype=np.float32),
        "fault_orders": np.array([list(ORDERS.values())], dtype=np.float32),
    }
