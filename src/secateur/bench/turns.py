"""Models measured in short turns, A B C, C B A, ..., so that what disturbs the machine meets all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from secateur.bench.energy import RaplMeter
from secateur.bench.process import Worker
from secateur.core.progress import progress

TURN_S = 0.5
LEAST_ROUNDS, MOST_ROUNDS = 10, 400


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one model did in one turn.

    Attributes
    ----------
    wall_ms, cpu_ms : tuple of float
        Of each timed inference; processor time is that of the whole process.
    inferences : int
        With those that were not timed.
    joules : float
        Of all of them, by the processor's counter; 0 where there is none.
    """

    wall_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...]
    inferences: int
    joules: float

    @property
    def wall(self) -> float:
        """Median wall time."""
        return median(self.wall_ms)

    @property
    def cpu(self) -> float:
        """Median processor time."""
        return median(self.cpu_ms)


def rounds_of(seconds: float, models: int) -> tuple[int, float]:
    """Return how many rounds to go, and the seconds of one turn.

    A turn has half a second, or less where the time would not do for ten rounds otherwise.
    """
    rounds = min(MOST_ROUNDS, max(LEAST_ROUNDS, round(seconds / (models * TURN_S))))
    return rounds, seconds / (rounds * models)


def take_turns(
    workers: Sequence[Worker], *, seconds: float, meter: RaplMeter, description: str
) -> list[list[Turn]]:
    """Measure several models side by side.

    Parameters
    ----------
    workers : sequence of Worker
    seconds : float
        For all of them together; a slow model takes longer, since a turn has a few inferences at least.
    meter : RaplMeter
    description : str
        For the bar.

    Returns
    -------
    list of list of Turn
        For each worker its turns, as many as each other has.
    """
    rounds, turn_s = rounds_of(seconds, len(workers))
    turns: list[list[Turn]] = [[] for _ in workers]
    with progress(description, rounds) as bar:
        for number in range(rounds):
            order = range(len(workers))
            for index in order if number % 2 == 0 else reversed(order):
                turns[index].append(_turn(workers[index], turn_s, meter))
            bar.advance()
    return turns


def _turn(worker: Worker, seconds: float, meter: RaplMeter) -> Turn:
    before = meter.read()
    told = worker.ask("turn", seconds=seconds)
    return Turn(
        wall_ms=tuple(time / 1e6 for time in told["wall_ns"]),
        cpu_ms=tuple(time / 1e6 for time in told["cpu_ns"]),
        inferences=told["inferences"],
        joules=meter.between(before, meter.read()),
    )
