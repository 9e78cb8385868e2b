"""Recognise a stretch of waveform that two recordings share, at whatever place, scale and offset.

A landmark is a sample that is the only highest one as far as :data:`REACH` to either side. Scale and offset
do not move it, and the distances of a few landmarks in a row are found nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from secateur.signals.recording import Recording

REACH = 1024
GAPS = 3
"""Distances in a row that make a key."""
LEAST_KEYS = 3
"""Keys at one shift from which on a stretch counts as shared: about 12,000 samples of noise."""
MOST_LANDMARKS = 2048
"""Of one recording; they reach about four million samples."""
LEAST_CORRELATION = 0.999
"""Of the samples themselves: machines that run alike reach less, a copy with 10 bits more."""
_COMPARED = 4096


class Landmarks:
    """Places of the landmarks of one channel, which comes piece by piece."""

    def __init__(self) -> None:
        self.places: list[int] = []
        self._tail = np.zeros(0, dtype=np.float32)

    def add(self, samples: np.ndarray, start: int) -> None:
        """Go on with the next samples, of which the first has the number ``start``."""
        if len(self.places) >= MOST_LANDMARKS:
            return
        joined = np.concatenate([self._tail, samples])
        first = start - len(self._tail)
        self._tail = joined[-2 * REACH :]
        for cell in range(REACH, len(joined) - REACH, REACH):
            place = cell + int(joined[cell : min(cell + REACH, len(joined) - REACH)].argmax())
            around = joined[place - REACH : place + REACH + 1]
            if np.count_nonzero(around >= joined[place]) == 1:
                self.places.append(first + place)


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A stretch of a recording that an earlier one holds too.

    Attributes
    ----------
    original : Recording
        The earlier one.
    begin, end : int
        Samples of the later recording between which it was recognised.
    original_begin : int
        Where it begins in the earlier one.
    """

    original: Recording
    begin: int
    end: int
    original_begin: int


@dataclass
class KnownStretches:
    """Landmarks of the recordings of a set so far."""

    _known: dict[tuple[int, ...], tuple[Recording, int, int]] = field(default_factory=dict)

    def meet(self, recording: Recording, channel: int, places: list[int]) -> Shared | None:
        """Return what a recording shares with an earlier one, and remember it.

        Parameters
        ----------
        recording : Recording
        channel : int
            Number of the channel that was looked at.
        places : list of int
            Of its landmarks.
        """
        keys = [
            (tuple(np.diff(places[at : at + GAPS + 1]).tolist()), places[at], places[at + GAPS])
            for at in range(len(places) - GAPS)
        ]
        found: dict[tuple[str, int, int], list[tuple[int, int]]] = {}
        originals: dict[str, Recording] = {}
        for key, begin, end in keys:
            original, of_channel, place = self._known.setdefault(key, (recording, channel, begin))
            if original is not recording:
                originals[original.recording_id] = original
                found.setdefault((original.recording_id, of_channel, begin - place), []).append((begin, end))
        if not found:
            return None
        (name, of_channel, shift), pieces = max(found.items(), key=lambda item: len(item[1]))
        begin, end = pieces[0][0], pieces[-1][1]
        if len(pieces) < LEAST_KEYS:
            return None
        stop = min(end, begin + _COMPARED)
        one = recording.read(begin, stop)[channel]
        other = originals[name].read(begin - shift, stop - shift)[of_channel]
        if not np.corrcoef(one, other)[0, 1] >= LEAST_CORRELATION:
            return None
        return Shared(original=originals[name], begin=begin, end=end, original_begin=begin - shift)
