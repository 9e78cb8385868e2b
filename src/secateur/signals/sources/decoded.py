"""A bounded store of decoded pieces, for formats that cannot be entered in the middle."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np

CAPACITY_BYTES = 256 * 2**20


class DecodedPieces:
    """Keep the decoded arrays used last, up to a number of bytes.

    Parameters
    ----------
    capacity_bytes : int
        How much may be kept. The array decoded last is kept whatever its size.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0
        self._pieces: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array of that key, decoding it if it is not held."""
        with self._lock:
            if key in self._pieces:
                self._pieces.move_to_end(key)
                return self._pieces[key]
        piece = decode()
        with self._lock:
            if key not in self._pieces:
                self._pieces[key] = piece
                self.held_bytes += piece.nbytes
                while self.held_bytes > self.capacity_bytes and len(self._pieces) > 1:
                    _, oldest = self._pieces.popitem(last=False)
                    self.held_bytes -= oldest.nbytes
        return piece


PIECES = DecodedPieces(CAPACITY_BYTES)
