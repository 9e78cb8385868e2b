"""A worker from the outside: started, asked, and ended whatever happens."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from typing import IO, Any, Self, cast

from secateur.bench.work import Work
from secateur.core import errors
from secateur.core.errors import MeasurementError, SecateurError

START_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 120.0
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LAST_LINES = 5


class Worker:
    """One fresh process that holds one model.

    Parameters
    ----------
    work : Work

    Attributes
    ----------
    cold_start_s : float
        From the start of the process to its first answer, interpreter and imports included; the files of
        the model and of Python may lie in the system's cache.
    first : dict
        Resident bytes ``imported``, ``loaded`` and ``answered``, or None where the system does not tell.

    Raises
    ------
    SecateurError
        Of the class that the worker met.
    MeasurementError
        If the worker dies or does not answer.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self._pending = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close)
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(work.threads))}
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "secateur.bench.worker", json.dumps(asdict(work))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
        )
        self._asked, self._told = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        try:
            self.first: dict[str, Any] = self._answer(START_TIMEOUT_S)
        except BaseException:
            self.close()
            raise
        self.cold_start_s = time.perf_counter() - started

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send one command and return its answer.

        Raises
        ------
        MeasurementError
            If the worker dies or does not answer.
        """
        line = json.dumps({"command": command, **arguments}) + "\n"
        try:
            self._asked.write(line.encode())
            self._asked.flush()
        except BrokenPipeError:
            raise self._death() from None
        return self._answer(ANSWER_TIMEOUT_S + float(arguments.get("seconds", 0.0)))

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._asked, self._told, self._stderr):
            try:
                stream.close()
            except BrokenPipeError:
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        line = self._line(timeout_s)
        answer = json.loads(line)
        if answer["event"] != "error":
            return answer
        kind, message = answer["kind"], answer["message"]
        if kind == "ModuleNotFoundError":
            raise ModuleNotFoundError(f"No module named '{message}'", name=message)
        known = getattr(errors, kind, None)
        raise (known if isinstance(known, type) and issubclass(known, SecateurError) else MeasurementError)(
            message
        )

    def _line(self, timeout_s: float) -> bytes:
        end = time.perf_counter() + timeout_s
        descriptor = self._told.fileno()
        while b"\n" not in self._pending:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.perf_counter()))
            if not ready:
                raise MeasurementError(
                    f"the process that measures {self.work.path} has not answered for {timeout_s:.0f} s."
                )
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                raise self._death()
            self._pending += piece
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _death(self) -> MeasurementError:
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        hint = " The system may have run out of memory." if code == -signal.SIGKILL else ""
        said = f" Its last words: {' | '.join(lines)}" if lines else ""
        return MeasurementError(
            f"the process that measures {self.work.path} {how} before it answered.{hint}{said}"
        )
