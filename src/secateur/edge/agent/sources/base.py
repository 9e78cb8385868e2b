"""What a source is: it runs in its own thread and submits bursts."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NotRequired, Protocol

from typing_extensions import TypedDict

from secateur.core.errors import DataError
from secateur.edge.agent.intake import Submission
from secateur.edge.agent.sources.payloads import most_samples


class SourceStatus(TypedDict):
    """A source and what came of it."""

    name: str
    connected: bool
    counts: dict[str, int]
    trouble: NotRequired[str]
    last_refusal: NotRequired[str]
    open_bursts: NotRequired[int]


@dataclass(frozen=True, kw_only=True)
class Inlet:
    """What a source may use of the agent.

    Attributes
    ----------
    submit : callable
        Takes a submission; raises ``IntakeFull`` if too many wait.
    set_speed : callable
        Takes the name of a machine and its speed in turns a minute.
    places : mapping of (str, str) to int
        Machines and sensors that exist, and how many samples their bursts have.
    """

    submit: Callable[[Submission], None]
    set_speed: Callable[[str, float], None]
    places: Mapping[tuple[str, str], int]

    def most_samples(self, machine: str, sensor: str) -> int:
        """Return how many samples are read for a sensor.

        Raises
        ------
        DataError
            If it does not.
        """
        if (machine, sensor) not in self.places:
            raise DataError(f"there is no sensor '{machine[:64]}/{sensor[:64]}' in the configuration.")
        return most_samples(self.places[machine, sensor])


class RunningSource(Protocol):
    """A source at work.

    Attributes
    ----------
    name : str
    counts : Counter
        What came, by what became of it.
    """

    name: str
    counts: Counter[str]

    def start(self) -> None:
        """Start to submit bursts."""

    def stop(self) -> None:
        """Stop; what was submitted is still told done."""

    def status(self) -> SourceStatus:
        """Return its state, for people."""


class ThreadedSource:
    """A source that works in a thread of its own until it is told to stop.

    Parameters
    ----------
    name : str
    thread : str
        Name of the thread.
    """

    def __init__(self, name: str, *, thread: str) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=thread, daemon=True)

    def start(self) -> None:
        """Start to work."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after what is at hand."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def _run(self) -> None:
        raise NotImplementedError
