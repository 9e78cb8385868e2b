"""From scores to a level: normal, warning or alarm, with a vote over bursts and hysteresis."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, cast

from secateur.edge.agent.config.machines import Limits
from secateur.edge.agent.signal.indicators import SHAPES
from secateur.edge.agent.state.baseline import Baseline

LevelWord = Literal["normal", "warning", "alarm"]


class Level(IntEnum):
    """How bad it is."""

    NORMAL = 0
    WARNING = 1
    ALARM = 2

    @property
    def word(self) -> LevelWord:
        """The level in a word."""
        return cast(LevelWord, self.name.lower())


@dataclass
class _Watched:
    """One indicator: its last votes, its level, and for how long it has been low."""

    votes: deque[Level]
    level: Level = Level.NORMAL
    quiet: int = 0
    score: float = 0.0
    history: deque[tuple[float, float]] = field(default_factory=deque)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the levels are after a burst.

    Attributes
    ----------
    level : Level
        The highest of all indicators.
    causes : dict of str to Level
        Indicators that are not normal.
    score : float
        The highest score of this burst.
    """

    level: Level
    causes: dict[str, Level]
    score: float


class Levels:
    """The level of each indicator of one sensor.

    The shape of the waveform (peak, kurtosis, crest factor) raises a warning at most, unless an absolute
    limit says more; an alarm takes energy, fault lines or a diagnosis. A level is raised when ``raise_after``
    of the last ``raise_window`` bursts ask for it, and left when ``clear_after`` bursts in a row lie below
    ``hysteresis`` times what raised it. An indicator that a burst cannot be judged by (its operating band is
    not learned, the speed is unknown) keeps its level.

    Parameters
    ----------
    limits : Limits

    Attributes
    ----------
    causes : dict of str to Level
        Indicators that are not normal; also before the first burst after a restart.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.causes: dict[str, Level] = {}
        self._watched: dict[str, _Watched] = {}

    def restore(self, causes: dict[str, Level]) -> None:
        """Go on with the levels of an alarm that was open when the agent stopped."""
        for name, level in causes.items():
            self._of(name).level = level
        self.causes = dict(causes)

    @property
    def level(self) -> Level:
        """The highest of all indicators."""
        return max(self.causes.values(), default=Level.NORMAL)

    def judge(
        self,
        values: dict[str, float],
        scores: dict[str, float],
        *,
        medians: dict[str, float],
        measured_s: float,
    ) -> Judgement:
        """Take the indicators of one burst.

        Parameters
        ----------
        values : dict
            Indicators, each in its own unit.
        scores : dict
            Distances from the baseline; fewer than ``values`` where something is not learned.
        medians : dict
            Of the baseline, for the rise in an hour.
        measured_s : float
            When the burst was measured, on the clock that only goes forward: before it arrived, by its age.
        """
        for name in sorted(values.keys() | scores.keys() | self._watched.keys()):
            entry = self._of(name)
            entry.score = scores.get(name, 0.0)
            if name not in scores and not (name in values and name in self._limits.absolute):
                continue  # nothing that this burst could be judged by: a level that is raised stays
            asked, calm = self._asked(name, values.get(name), scores.get(name), entry, medians, measured_s)
            entry.votes.append(asked)
            self._settle(entry, calm)
        self.causes = {name: entry.level for name, entry in self._watched.items() if entry.level}
        return Judgement(
            level=self.level,
            causes=self.causes,
            score=max((entry.score for entry in self._watched.values()), default=0.0),
        )

    def _of(self, name: str) -> _Watched:
        if name not in self._watched:
            self._watched[name] = _Watched(votes=deque(maxlen=self._limits.raise_window))
        return self._watched[name]

    def _asked(
        self,
        name: str,
        value: float | None,
        score: float | None,
        entry: _Watched,
        medians: dict[str, float],
        measured_s: float,
    ) -> tuple[Level, bool]:
        """Return the level that this burst asks for, and whether it lies below the hysteresis."""
        limits = self._limits
        asked, calm = Level.NORMAL, True
        if score is not None:
            asked = _level_of(score, limits.warning_score, limits.alarm_score)
            asked = min(asked, Level.WARNING) if name in SHAPES else asked
            calm = score < limits.hysteresis * limits.warning_score
        absolute = limits.absolute.get(name)
        if absolute is not None and value is not None:
            asked = max(asked, _level_of(value, absolute.warning, absolute.alarm))
            calm = calm and value < limits.hysteresis * absolute.warning
        most = limits.rise_per_hour.get(name)
        if most is not None and value is not None and medians.get(name):
            rise = _rise_per_hour(entry.history, value / medians[name], measured_s)
            if rise > most:
                asked, calm = max(asked, Level.WARNING), False
        return asked, calm

    def _settle(self, entry: _Watched, calm: bool) -> None:
        for level in (Level.ALARM, Level.WARNING):
            if entry.level < level and sum(vote >= level for vote in entry.votes) >= self._limits.raise_after:
                entry.level, entry.quiet = level, 0
                return
        entry.quiet = entry.quiet + 1 if calm else 0
        if entry.level and entry.quiet >= self._limits.clear_after:
            entry.level, entry.quiet = Level.NORMAL, 0
            entry.votes.clear()


def limit_values(limits: Limits, baseline: Baseline, band: str) -> dict[str, dict[str, float]]:
    """Return from which value each indicator counts as raised, by the words of the levels, for people."""
    found: dict[str, dict[str, float]] = {}
    for level, score in ((Level.WARNING, limits.warning_score), (Level.ALARM, limits.alarm_score)):
        for name, value in baseline.values_at(band, score, least_ratio=limits.least_ratio).items():
            if level is Level.WARNING or name not in SHAPES:
                found.setdefault(name, {})[level.word] = value
    for name, absolute in limits.absolute.items():
        entry = found.setdefault(name, {})
        for word, value in (("warning", absolute.warning), ("alarm", absolute.alarm)):
            entry[word] = min(value, entry.get(word, value))
    return found


def _level_of(value: float, warning: float, alarm: float) -> Level:
    return Level.ALARM if value >= alarm else Level.WARNING if value >= warning else Level.NORMAL


def _rise_per_hour(history: deque[tuple[float, float]], ratio: float, measured_s: float) -> float:
    """Return the rise over the last hour, in baseline medians; at least five minutes must lie between.

    A burst that was measured before the last one tells of no rise; one from long before it, of a clock that
    was set.
    """
    if history and measured_s < history[-1][0]:
        if measured_s > history[-1][0] - 3600.0:
            return 0.0
        history.clear()
    history.append((measured_s, ratio))
    while history[0][0] < measured_s - 3600.0 or len(history) > 4096:
        history.popleft()
    first_s, first = history[0]
    span_s = measured_s - first_s
    return (ratio - first) * 3600.0 / span_s if span_s >= 300.0 else 0.0
