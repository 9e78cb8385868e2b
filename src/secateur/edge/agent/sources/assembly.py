"""Bursts put together from several messages: whole or not at all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from secateur.core.errors import DataError
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.sources.payloads import MOST_SAMPLES, Piece

MOST_OPEN = 64
_SAID = ("number", "measured_unix_s", "sampling_rate_hz", "speed_rpm", "unit", "key")


@dataclass
class _Open:
    """A burst that is not whole yet."""

    first: Piece
    since_s: float
    pieces: dict[int, Piece] = field(default_factory=dict)


class Assembler:
    """Puts parts together by machine, sensor and number (or key) of the burst, in any order.

    Parameters
    ----------
    incomplete_after_s : float
        A burst that is not whole after so long is dropped.
    clock : callable
        Seconds that only go forward.

    Attributes
    ----------
    counts : Counter
        "incomplete dropped", "parts twice", "parts that contradict".
    """

    def __init__(self, *, incomplete_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._after_s, self._clock = incomplete_after_s, clock
        self._open: dict[tuple[str, str, object], _Open] = {}
        self.counts: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """Bursts that are not whole yet."""
        return len(self._open)

    def add(self, machine: str, sensor: str, piece: Piece) -> Burst | None:
        """Take a piece; return the burst that it completes.

        Raises
        ------
        DataError
            If it contradicts parts that came before; the whole burst is dropped.
        """
        self._drop_late()
        if piece.parts == 1:
            return _burst(machine, sensor, piece, piece.samples)
        place = (machine, sensor, piece.key or piece.number)
        entry = self._open.get(place)
        if entry is None:
            if len(self._open) >= MOST_OPEN:
                self._open.pop(next(iter(self._open)))
                self.counts["incomplete dropped"] += 1
            entry = self._open[place] = _Open(first=piece, since_s=self._clock())
        if piece.parts != entry.first.parts or any(
            getattr(piece, name) is not None and getattr(piece, name) != getattr(entry.first, name)
            for name in _SAID
        ):
            del self._open[place]
            self.counts["parts that contradict"] += 1
            self.counts["incomplete dropped"] += 1
            raise DataError(f"part {piece.part} of burst {place[2]} contradicts the parts before it.")
        if piece.part in entry.pieces:
            self.counts["parts twice"] += 1
            return None
        entry.pieces[piece.part] = piece
        if sum(len(part.samples) for part in entry.pieces.values()) > MOST_SAMPLES:
            del self._open[place]
            self.counts["incomplete dropped"] += 1
            raise DataError(f"burst {place[2]} has more than {MOST_SAMPLES} samples.")
        if len(entry.pieces) < piece.parts:
            return None
        del self._open[place]
        samples = np.concatenate([entry.pieces[number].samples for number in range(piece.parts)])
        return _burst(machine, sensor, entry.first, samples)

    def _drop_late(self) -> None:
        now_s = self._clock()
        late = [place for place, entry in self._open.items() if now_s - entry.since_s > self._after_s]
        for place in late:
            del self._open[place]
        self.counts["incomplete dropped"] += len(late)


def _burst(machine: str, sensor: str, said: Piece, samples: np.ndarray) -> Burst:
    return Burst(
        machine=machine,
        sensor=sensor,
        samples=samples,
        sampling_rate_hz=said.sampling_rate_hz,
        unit=said.unit,
        measured_unix_s=time.time() if said.measured_unix_s is None else said.measured_unix_s,
        speed_rpm=said.speed_rpm,
        number=said.number,
        key=said.key,
    )
