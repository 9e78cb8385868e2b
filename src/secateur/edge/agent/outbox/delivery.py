"""Sends what waits in the outbox to one sink, in order, at a limited rate while there is a backlog."""

from __future__ import annotations

import logging
import math
import random
import threading
import time

from secateur.core.errors import SecateurError
from secateur.edge.agent.outbox.store import Outbox, Record
from secateur.edge.agent.sinks.base import RecordRefused, Sink, SinkUnavailable

log = logging.getLogger(__name__)

BATCH = 64
TRIES_OF_A_REFUSED_RECORD = 3
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
    available : bool
        Whether the last attempt succeeded.
    trouble : str
        What the last failed attempt said.
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
        self.available = True
        self.trouble = ""
        self.longest_pause_s = LONGEST_PAUSE_S

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
            self.sink.be_ready()
        except SinkUnavailable as error:
            self._trouble(str(error), again_within_s=error.again_within_s)
            return True
        batch = self._outbox.next(self.sink.name, most=BATCH)
        if not batch:
            self.available, self._pause_s = True, 0.0
            return False
        self._outbox.attempt(self.sink.name, batch[-1].seq)
        started_s = time.monotonic()
        try:
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
        self.available, self._pause_s = True, 0.0
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
        if self.available or reason != self.trouble:
            log.warning("sink %s is not available: %s", self.sink.name, reason)
        self.available, self.trouble = False, reason
        longest_s = min(self.longest_pause_s, again_within_s)
        self._pause_s = min(max(2 * self._pause_s, SHORTEST_PAUSE_S), longest_s)
