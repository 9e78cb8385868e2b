"""Several processes that carry out one command together: the first one writes, all see the same files.

Every process runs the same program. So that none of them meets a file that is not there for another yet,
files change only while all processes stand at the same write: they gather, the first one writes, they part.
A process that runs alone waits for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Team:
    """The processes of one command, seen from one of them.

    Attributes
    ----------
    rank : int
        Number of this process.
    count : int
        How many there are.
    wait : callable
        Returns once every process has called it.
    """

    rank: int
    count: int
    wait: Callable[[], None]

    @property
    def writes(self) -> bool:
        """Whether this is the process that changes files and speaks."""
        return self.rank == 0


ALONE = Team(rank=0, count=1, wait=lambda: None)
_current = ALONE


def team() -> Team:
    """Return the processes that this one goes along with."""
    return _current


def join(joined: Team) -> None:
    """Go along with other processes from now on, until this process ends.

    Only for programs that all processes run through alike; a script of its own that calls a function in its
    first process only must not.
    """
    global _current
    _current = joined


@contextmanager
def apart() -> Iterator[None]:
    """Write files that concern this process alone: inside the block nobody waits for anybody."""
    global _current
    former, _current = _current, ALONE
    try:
        yield
    finally:
        _current = former


@contextmanager
def one_writes() -> Iterator[bool]:
    """Tell whether this process is to change files now; all processes enter and leave together."""
    together = _current
    together.wait()
    yield together.writes
    together.wait()
