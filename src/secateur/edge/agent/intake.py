"""Where bursts enter: one bounded queue, and one worker that stores a result before it says "taken"."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from secateur.core.errors import SecateurError
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.outbox.database import StorageError

log = logging.getLogger(__name__)

MOST_WAITING = 256
MOST_WAITING_BYTES = 64 << 20
_HEARTBEAT_S = 0.5

Done = Callable[[str | None], None]
"""Told None when a result is on the disk, or why the burst was refused."""


class IntakeFull(SecateurError):
    """More bursts wait than may; send the burst again later."""


def _nobody(_: str | None) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A burst, when its last sample arrived, and whom to tell."""

    burst: Burst
    received_s: float = field(default_factory=time.monotonic)
    done: Done = _nobody


class Intake:
    """Takes bursts from all sources and hands them, one by one, to a worker thread.

    One thread computes: bursts of one sensor must be judged in order, NumPy and the model's runtime give up
    the lock while they compute, and one core is what a gateway can spare.

    Parameters
    ----------
    handle : callable
        Turns a submission into a stored result; raises :class:`SecateurError` to refuse it.

    Attributes
    ----------
    counts : Counter
        Bursts "taken", "refused", "failed", and those "turned away" because too many waited.
    beat_s : float
        ``time.monotonic()`` when the worker was last seen alive.
    """

    def __init__(self, handle: Callable[[Submission], None]) -> None:
        self._handle = handle
        self._queue: queue.Queue[Submission | None] = queue.Queue()
        self._held = self._held_bytes = 0
        self._room = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)
        self.counts: Counter[str] = Counter()
        self.beat_s = time.monotonic()

    def start(self) -> None:
        """Start the worker."""
        self._thread.start()

    def submit(self, submission: Submission, *, timeout_s: float = 5.0) -> None:
        """Queue a burst, waiting for room at most so long.

        Raises
        ------
        IntakeFull
            If there was none.
        """
        size = submission.burst.samples.nbytes
        with self._room:
            if not self._room.wait_for(lambda: self._fits(size), timeout_s):
                self.counts["turned away"] += 1
                raise IntakeFull("too many bursts wait to be processed; send this one again later.")
            self._held, self._held_bytes = self._held + 1, self._held_bytes + size
            self._queue.put(submission)

    def _fits(self, size: int) -> bool:
        few = self._held < MOST_WAITING and self._held_bytes + size <= MOST_WAITING_BYTES
        return few or self._held == 0

    @property
    def waiting(self) -> int:
        """Bursts in the queue."""
        return self._queue.qsize()

    def drain(self, within_s: float = 10.0) -> bool:
        """Wait until all that was submitted is done; return whether it is."""
        last_s = time.monotonic() + within_s
        while self._queue.unfinished_tasks:
            if time.monotonic() >= last_s:
                return False
            time.sleep(0.01)
        return True

    def stop(self, within_s: float = 10.0) -> None:
        """Finish what waits and stop the worker."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(within_s)

    def _work(self) -> None:
        while True:
            self.beat_s = time.monotonic()
            try:
                submission = self._queue.get(timeout=_HEARTBEAT_S)
            except queue.Empty:
                continue
            if submission is None:
                self._queue.task_done()
                return
            self._one(submission)
            with self._room:
                self._held -= 1
                self._held_bytes -= submission.burst.samples.nbytes
                self._room.notify_all()
            self._queue.task_done()

    def _one(self, submission: Submission) -> None:
        reason = None
        try:
            self._handle(submission)
            self.counts["taken"] += 1
        except StorageError as error:
            # not told done: its source gives it again, or tells its sender that it was not taken
            self.counts["not stored"] += 1
            place = "/".join(submission.burst.place)
            log.error("burst %s of %s was not stored: %s", submission.burst.key, place, error)
            return
        except SecateurError as error:
            self.counts["refused"] += 1
            reason = str(error)
        except Exception:  # one strange burst must not stop the watch over all machines
            self.counts["failed"] += 1
            log.exception("burst %s of %s/%s failed", submission.burst.key, *submission.burst.place)
            reason = "the burst could not be processed; see the log of the agent."
        try:
            submission.done(reason)
        except Exception:
            log.exception("a source could not be told that burst %s is done", submission.burst.key)
