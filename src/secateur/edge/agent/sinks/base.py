"""What a sink is: it publishes, and returns when what it was given has been acknowledged."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from secateur.core.errors import TransportError
from secateur.edge.agent.outbox.store import Record


class SinkUnavailable(TransportError):
    """The other side does not answer; what was not acknowledged is sent again later.

    Parameters
    ----------
    message : str
    acknowledged : int
        So many of the first records of the batch were.
    again_within_s : float, optional
        How soon to try again at the latest, where that costs nothing.
    """

    def __init__(self, message: str, *, acknowledged: int = 0, again_within_s: float = math.inf) -> None:
        super().__init__(message)
        self.acknowledged, self.again_within_s = acknowledged, again_within_s


class RecordRefused(TransportError):
    """The other side answers, but will not take one record.

    Parameters
    ----------
    message : str
    index : int
        Its place in the batch; those before it were acknowledged.
    """

    def __init__(self, message: str, *, index: int) -> None:
        super().__init__(message)
        self.index = index


class Sink(ABC):
    """Where results go.

    Attributes
    ----------
    name : str
    takes_results : bool
        Whether it wants results, and not alarms alone.
    """

    name: str
    takes_results: bool = True

    @abstractmethod
    def publish(self, records: Sequence[Record]) -> None:
        """Send records in order; return when the other side has acknowledged every one.

        Raises
        ------
        SinkUnavailable
            If it does not answer.
        RecordRefused
            If it will not take one of them.
        """

    def be_ready(self) -> None:  # noqa: B027 - most sinks always are
        """Do what must be done before anything can be sent, and while there is nothing to send.

        Raises
        ------
        SinkUnavailable
            If nothing can be sent at present.
        """

    @abstractmethod
    def close(self) -> None:
        """Say good-bye."""
