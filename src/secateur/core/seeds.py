"""One seed for a run; everything random derives its own from it by name.

Deriving by name keeps draws independent of each other: adding a new random step does not
change the numbers that the existing ones see.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *names: object) -> int:
    """Return a 32-bit seed that depends on ``seed`` and on every name, on any platform alike."""
    text = "/".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def generator(seed: int, *names: object) -> np.random.Generator:
    """Return a NumPy generator seeded by :func:`derive`."""
    return np.random.default_rng(derive(seed, *names))
