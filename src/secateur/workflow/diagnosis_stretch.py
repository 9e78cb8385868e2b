"""Find a stretch of a recording that names damage where the recording as a whole is called normal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secateur.edge.own_healthy import NORMAL

LEAST_WINDOWS, LEAST_S = 10, 5.0
"""Windows and seconds of a stretch, which lasts as long as so many windows side by side, too."""

SURE = 0.8
"""Mean probability of a stretch where the bundle states no confidence that it needs."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Consecutive windows that all name damage.

    Attributes
    ----------
    start_s, stop_s : float
    labels : tuple of str
        The class that each window names.
    confidence : float
        Mean probability of these classes.
    """

    start_s: float
    stop_s: float
    labels: tuple[str, ...]
    confidence: float

    def to_reason(self) -> str:
        """Say in words why the recording is not normal."""
        (name, number), *_ = Counter(self.labels).most_common(1)
        return (
            f"damage is heard in a part of the recording: from {self.start_s:.0f} to {self.stop_s:.0f} s "
            f"{number} of {len(self.labels)} windows in a row name {name.replace('_', ' ')}, with "
            f"{100 * self.confidence:.0f} % on average. Diagnose that part by itself"
        )


class StretchFinder:
    """Keep the longest stretch of damage while windows arrive.

    Parameters
    ----------
    labels : sequence of str
        Classes in the order of the probabilities.
    window_s : float
    least_confidence : float or None
        Mean probability that a stretch needs; :data:`SURE` where the bundle states none.
    """

    def __init__(self, labels: Sequence[str], *, window_s: float, least_confidence: float | None) -> None:
        self.labels, self.window_s = tuple(labels), window_s
        self.least_confidence = SURE if least_confidence is None else least_confidence
        self._run: list[tuple[float, str, float]] = []
        self._longest: Stretch | None = None

    def add(self, starts_s: np.ndarray, probabilities: np.ndarray) -> None:
        """Add windows; those that are NaN neither count nor end a stretch."""
        for start_s, row in zip(starts_s.tolist(), probabilities, strict=True):
            if np.isnan(row).any():
                continue
            place = int(row.argmax())
            if self.labels[place] == NORMAL:
                self._end()
            else:
                self._run.append((start_s, self.labels[place], float(row[place])))

    def within_normal(self, overall: np.ndarray) -> Stretch | None:
        """Return the longest stretch of damage if the mean over all windows, shape (classes,), is normal."""
        self._end()
        return self._longest if self.labels[int(overall.argmax())] == NORMAL else None

    def _end(self) -> None:
        run, self._run = self._run, []
        if len(run) < LEAST_WINDOWS:
            return
        found = Stretch(
            start_s=run[0][0],
            stop_s=run[-1][0] + self.window_s,
            labels=tuple(label for _, label, _ in run),
            confidence=float(np.mean([probability for _, _, probability in run])),
        )
        long = found.stop_s - found.start_s
        longest = 0.0 if self._longest is None else self._longest.stop_s - self._longest.start_s
        if (
            long >= max(LEAST_S, (LEAST_WINDOWS - 0.01) * self.window_s)
            and found.confidence >= self.least_confidence
            and long > longest
        ):
            self._longest = found
