"""Sends what waits in the outbox to one sink, in order, at a limited rate while there is a backlog."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from secateur.core.errors import SecateurError
from secateur.edge.agent.outbox.store import Outbox, Record
from secateur.edge.agent.sinks.base import RecordRefused, Sink, SinkUnavailable

log = logging.getLogger(__name__)

BATCH = 64
TRIES_OF_A_REFUSED_RECORD = 3
LATE_S = 60.0
"""A sink that takes longer for one batch is slow, or hangs, as a log on a network share may."""

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0


class Delivery(threading.Thread):
    """One thread a sink: the next batch, a note that it is on its way, the sink, the acknowledgement.

    Parameters
    ----------
    outbox : Outbox
    sink : Sink
    replay_per_s : float
        Most historical records a second.
    sent : int
        Records acknowledged before, since the agent started.

    Attributes
    ----------
    sent : int
        Records acknowledged since the agent started.
    longest_pause_s : float
        Between attempts, each twice as long as the one before.
    """

    def __init__(self, outbox: Outbox, sink: Sink, *, replay_per_s: float, sent: int = 0) -> None:
        super().__init__(name=f"delivery-{sink.name}", daemon=True)
        self._outbox, self.sink, self._replay_per_s = outbox, sink, replay_per_s
        self._stopping = threading.Event()
        self._pause_s = 0.0
        self._refusals = 0
        self.sent = sent
        self._succeeded, self._reason = True, ""
        self._asked_s: float | None = None
        self.longest_pause_s = LONGEST_PAUSE_S

    @property
    def available(self) -> bool:
        """Whether the last attempt succeeded, and the one at hand is not late."""
        return self._succeeded and not self._late_s

    @property
    def trouble(self) -> str:
        """What the last failed attempt said, or for how long the one at hand takes."""
        late_s = self._late_s
        return f"what it was given is not acknowledged after {late_s:.0f} s" if late_s else self._reason

    @property
    def _late_s(self) -> float:
        asked_s = self._asked_s
        late_s = 0.0 if asked_s is None else time.monotonic() - asked_s
        return late_s if late_s > LATE_S else 0.0

    @contextmanager
    def _asking(self) -> Iterator[None]:
        self._asked_s = time.monotonic()
        try:
            yield
        finally:
            self._asked_s = None

    def run(self) -> None:
        """Deliver until :meth:`stop`."""
        while not self._stopping.is_set():
            try:
                if not self.step():
                    self._wait_for_more()
            except SecateurError as error:  # a full disk, a certificate that is being replaced
                self._trouble(str(error))
            except Exception as error:  # a thread that ends silently would hold everything back
                log.exception("delivery to %s failed", self.sink.name)
                self._trouble(str(error))
            if self._pause_s:
                self._stopping.wait(self._pause_s * random.uniform(0.5, 1.0))
        self.sink.close()

    def stop(self, within_s: float = 5.0) -> None:
        """Finish the batch at hand and close the sink."""
        self._stopping.set()
        with self._outbox.changed:
            self._outbox.changed.notify_all()
        if self.is_alive():
            self.join(within_s)

    def step(self) -> bool:
        """Send one batch; return whether there was one to send.

        Before anything is noted as on its way the sink must be ready: what surely was not sent is not marked
        as perhaps sent. A refused record is tried again a few times, since a broker's rules may change, and
        then given up.
        """
        try:
            with self._asking():
                self.sink.be_ready()
        except SinkUnavailable as error:
            self._trouble(str(error), again_within_s=error.again_within_s)
            return True
        batch = self._outbox.next(self.sink.name, most=BATCH)
        if not batch:
            self._succeeded, self._pause_s = True, 0.0
            return False
        self._outbox.attempt(self.sink.name, batch[-1].seq)
        started_s = time.monotonic()
        try:
            with self._asking():
                self.sink.publish(batch)
        except SinkUnavailable as error:
            self._acknowledge(batch[: error.acknowledged])
            self._trouble(str(error), again_within_s=error.again_within_s)
            return True
        except RecordRefused as error:
            self._acknowledge(batch[: error.index])
            self._refused(batch[error.index], str(error))
            return True
        self._acknowledge(batch)
        self._succeeded, self._pause_s = True, 0.0
        historical = sum(record.historical for record in batch)
        if historical:
            self._stopping.wait(historical / self._replay_per_s - (time.monotonic() - started_s))
        return True

    def _wait_for_more(self) -> None:
        with self._outbox.changed:
            self._outbox.changed.wait(0.5)

    def _acknowledge(self, records: list[Record]) -> None:
        if records:
            self._outbox.acknowledge(self.sink.name, records[-1].seq)
            self.sent += len(records)
            self._refusals = 0

    def _refused(self, record: Record, reason: str) -> None:
        self._refusals += 1
        if self._refusals >= TRIES_OF_A_REFUSED_RECORD:
            log.error("sink %s refuses record %s for good: %s", self.sink.name, record.key, reason)
            self._outbox.give_up(self.sink.name, record.seq)
            self._refusals = 0
        self._trouble(reason)

    def _trouble(self, reason: str, *, again_within_s: float = math.inf) -> None:
        if self._succeeded or reason != self._reason:
            log.warning("sink %s is not available: %s", self.sink.name, reason)
        self._succeeded, self._reason = False, reason
        longest_s = min(self.longest_pause_s, again_within_s)
        self._pause_s = min(max(2 * self._pause_s, SHORTEST_PAUSE_S), longest_s)
