"""The process that is measured: loads one model, then answers commands, one JSON object a line.

``python -m secateur.bench.worker WORK`` with a :class:`~secateur.bench.work.Work` as JSON. The first line
that it writes follows the model's first answer: ``{"event": "first", "imported": ..., "loaded": ...,
"answered": ...}`` with resident bytes. Then each command gets one line:

=============================================== ====================================================
command                                         answer
=============================================== ====================================================
``{"command": "turn", "seconds": s}``           ``wall_ns``, ``cpu_ns`` of each inference; ``inferences``
                                                with those that were not timed
``{"command": "diagnose", "repeats": n}``       the same of whole diagnoses; bundles only
``{"command": "memory"}``                       ``now`` and ``peak`` in bytes, or null
``{"command": "stop"}``                         none; the process ends
=============================================== ====================================================

A failure is ``{"event": "error", "kind": ..., "message": ...}``. Processor time is that of all threads of the
process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, TextIO

from secateur.bench.status import resident
from secateur.bench.work import Work
from secateur.core.errors import SecateurError

WARM_UP = 2
"""Inferences at the start of a turn that are not timed: the others have emptied the caches meanwhile."""

LEAST = 3
"""Timed inferences of a turn at least."""


def main(arguments: list[str]) -> int:
    """Run until told to stop, or until the other end is gone."""
    answers = _own_stdout()
    try:
        for answer in _serve(Work(**json.loads(arguments[0]))):
            _say(answers, answer)
    except SecateurError as error:
        _say(answers, {"event": "error", "kind": type(error).__name__, "message": str(error)})
        return 1
    except ModuleNotFoundError as error:
        _say(answers, {"event": "error", "kind": "ModuleNotFoundError", "message": error.name or str(error)})
        return 1
    return 0


def _serve(work: Work) -> Any:
    runner = import_module(f"secateur.bench.runners.{work.kind}")
    if work.kind == "bundle":
        runner.import_runtime(work)
    imported = resident()
    model = runner.load(work)
    loaded = resident()
    model.infer()
    yield {"event": "first", "imported": _now(imported), "loaded": _now(loaded), "answered": _now(resident())}
    for line in sys.stdin:
        command = json.loads(line)
        if command["command"] == "stop":
            return
        yield {"event": command["command"], **_obey(model, command)}


def _obey(model: Any, command: dict[str, Any]) -> dict[str, Any]:
    match command["command"]:
        case "turn":
            return turn(model.infer, command["seconds"])
        case "diagnose":
            told: dict[str, float] = model.diagnose()
            return {**timed(model.diagnose, command["repeats"]), **told}
        case "memory":
            held = resident()
            return {"now": held and held.now, "peak": held and held.peak}
        case other:
            raise SecateurError(f"the worker knows no command '{other}'.")


def turn(infer: Callable[[], object], seconds: float) -> dict[str, Any]:
    """Run some inferences untimed, then timed ones until the seconds are over."""
    for _ in range(WARM_UP):
        infer()
    wall: list[int] = []
    cpu: list[int] = []
    end = time.perf_counter() + seconds
    while len(wall) < LEAST or time.perf_counter() < end:
        once = timed(infer, 1)
        wall += once["wall_ns"]
        cpu += once["cpu_ns"]
    return {"wall_ns": wall, "cpu_ns": cpu, "inferences": WARM_UP + len(wall)}


def timed(call: Callable[[], object], repeats: int) -> dict[str, list[int]]:
    """Return wall and processor time of each call in nanoseconds."""
    wall, cpu = [], []
    for _ in range(repeats):
        processor, started = time.process_time_ns(), time.perf_counter_ns()
        call()
        ended = time.perf_counter_ns()
        cpu.append(time.process_time_ns() - processor)
        wall.append(ended - started)
    return {"wall_ns": wall, "cpu_ns": cpu}


def _own_stdout() -> TextIO:
    """Keep the stream of answers to ourselves; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _say(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _now(held: Any) -> int | None:
    return None if held is None else held.now


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
