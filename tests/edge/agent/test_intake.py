"""The queue of bursts: bounded in number and in bytes, and patient."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from agent_machines import GUARD_S, until
from secateur.edge.agent import intake
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.intake import Intake, IntakeFull, Submission


def _submission(samples: int) -> Submission:
    burst = Burst(machine="m", sensor="s", samples=np.zeros(samples, dtype=np.float32), measured_unix_s=1.0)
    return Submission(burst=burst)


def test_large_bursts_wait_for_room_and_one_that_is_larger_than_all_room_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "MOST_WAITING_BYTES", 4000)
    go_on = threading.Event()
    queue = Intake(lambda _: go_on.wait(GUARD_S) and None)
    queue.start()
    queue.submit(_submission(2000))  # 8000 bytes: nothing else waits
    with pytest.raises(IntakeFull):
        queue.submit(_submission(1), timeout_s=0.05)
    waiting = threading.Thread(target=queue.submit, args=(_submission(500),), kwargs={"timeout_s": GUARD_S})
    waiting.start()
    go_on.set()
    waiting.join()
    assert queue.drain(GUARD_S)
    until(lambda: queue.counts["taken"] == 2)
    assert queue.counts["turned away"] == 1
    queue.stop()
