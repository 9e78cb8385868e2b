"""Bursts put together from several messages: whole or not at all."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from secateur.core.errors import DataError
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.sources.payloads import MOST_SAMPLES, Piece, require_few

MOST_OPEN, MOST_OPEN_SAMPLES = 64, 4 * MOST_SAMPLES
"""Bursts that are not whole yet, and what they hold together; the oldest goes where there are more."""

MOST_WHOLE = 64
"""Bursts that were whole lately: parts of them that come once more are no new burst that stays incomplete."""

Place = tuple[str, str, object]
"""Machine, sensor, and key or number of a burst."""

_SAID = ("number", "measured_unix_s", "sampling_rate_hz", "speed_rpm", "unit", "key")


@dataclass
class _Open:
    """A burst that is not whole yet, and what its parts say of it; one part may say more than another."""

    parts: int
    since_s: float
    pieces: dict[int, Piece] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return sum(len(piece.samples) for piece in self.pieces.values())

    def contradicts(self, piece: Piece, said: dict[str, Any]) -> bool:
        return piece.parts != self.parts or any(
            self.said.get(name, value) != value for name, value in said.items()
        )


class Assembler:
    """Puts parts together by machine, sensor and number (or key) of the burst, in any order.

    Parameters
    ----------
    incomplete_after_s : float
        A burst that is not whole after so long is dropped.
    dropped : callable
        Told the place of each burst that is dropped.
    clock : callable
        Seconds that only go forward.

    Attributes
    ----------
    counts : Counter
        "incomplete dropped", "parts twice", "parts that contradict".
    """

    def __init__(
        self,
        *,
        incomplete_after_s: float,
        dropped: Callable[[Place], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._after_s, self._dropped, self._clock = incomplete_after_s, dropped, clock
        self._lock = threading.RLock()
        self._open: dict[Place, _Open] = {}
        self._whole: deque[Place] = deque(maxlen=MOST_WHOLE)
        self.counts: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """Bursts that are not whole yet."""
        with self._lock:
            self._drop_late()
            return len(self._open)

    def add(self, machine: str, sensor: str, piece: Piece, *, most: int = MOST_SAMPLES) -> Burst | None:
        """Take a piece; return the burst that it completes, which has at most so many samples.

        Raises
        ------
        DataError
            If it contradicts parts that came before; the whole burst is dropped.
        """
        if piece.parts == 1:
            return burst_of(machine, sensor, piece, piece.samples)
        with self._lock:
            return self._add_part(machine, sensor, piece, most)

    def _add_part(self, machine: str, sensor: str, piece: Piece, most: int) -> Burst | None:
        self._drop_late()
        place = place_of(machine, sensor, piece)
        entry = self._open.get(place)
        if entry is None:
            entry = self._open[place] = _Open(parts=piece.parts, since_s=self._clock())
        said = {name: value for name in _SAID if (value := getattr(piece, name)) not in (None, "")}
        if entry.contradicts(piece, said):
            self._drop(place)
            self.counts["parts that contradict"] += 1
            raise DataError(f"part {piece.part} of burst {place[2]} contradicts the parts before it.")
        if piece.part in entry.pieces:
            self.counts["parts twice"] += 1
            return None
        entry.pieces[piece.part] = piece
        entry.said |= said
        if entry.samples > most:
            self._drop(place)
            require_few(entry.samples, most)
        if len(entry.pieces) < piece.parts:
            self._drop_oldest()
            return None
        del self._open[place]
        self._whole.append(place)
        samples = np.concatenate([entry.pieces[number].samples for number in range(piece.parts)])
        return burst_of(machine, sensor, replace(piece, **entry.said), samples)

    def not_taken(self, place: Place) -> None:
        """Note that a whole burst has to come again."""
        with self._lock, contextlib.suppress(ValueError):
            self._whole.remove(place)

    def _drop(self, place: Place) -> None:
        entry = self._open.pop(place)
        if place in self._whole:
            self.counts["parts twice"] += len(entry.pieces)
        else:
            self.counts["incomplete dropped"] += 1
        self._dropped(place)

    def _drop_late(self) -> None:
        now_s = self._clock()
        for place in [place for place, entry in self._open.items() if now_s - entry.since_s > self._after_s]:
            self._drop(place)

    def _drop_oldest(self) -> None:
        while (
            len(self._open) > MOST_OPEN
            or sum(entry.samples for entry in self._open.values()) > MOST_OPEN_SAMPLES
        ):
            self._drop(next(iter(self._open)))


def place_of(machine: str, sensor: str, piece: Piece) -> Place:
    """Return by what the parts of a burst are put together."""
    return machine, sensor, piece.key or piece.number


def burst_of(
    machine: str, sensor: str, said: Piece, samples: np.ndarray, *, arrived_unix_s: float | None = None
) -> Burst:
    """Return the burst that a message tells of; what states no time was measured when it arrived.

    Parameters
    ----------
    machine, sensor : str
    said : Piece
    samples : ndarray of float32, shape (n,)
        Of all its parts.
    arrived_unix_s : float, optional
        Where that is known better than by the clock, and the same however often the burst comes.
    """
    measured = arrived_unix_s if said.measured_unix_s is None else said.measured_unix_s
    return Burst(
        machine=machine,
        sensor=sensor,
        samples=samples,
        sampling_rate_hz=said.sampling_rate_hz,
        unit=said.unit,
        measured_unix_s=time.time() if measured is None else measured,
        timed=measured is not None,
        speed_rpm=said.speed_rpm,
        number=said.number,
        said_key=said.key,
    )
