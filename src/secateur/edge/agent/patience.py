"""Asks what may never answer: a network share whose server is away blocks every call that touches it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from secateur.core.errors import DataError

PATIENCE_S = 5.0
"""A share over a slow line answers sooner; one that does not is taken to hang."""

Answer = TypeVar("Answer")


class NoAnswer(DataError):
    """A file or folder of which the system does not even say whether it is there."""


def answered(ask: Callable[[], Answer], *, within_s: float | None = None) -> Answer:
    """Return what a call returns, or raise what it raises; give up after some seconds.

    Nothing can end a call that hangs in the kernel, so it stays behind in a thread that holds up nobody.

    Parameters
    ----------
    ask : callable
    within_s : float, optional
        Default: ``PATIENCE_S``.

    Raises
    ------
    NoAnswer
        If it did not return in time.
    """
    limit_s = PATIENCE_S if within_s is None else within_s
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            answers.append(ask())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call, name="patience", daemon=True)
    thread.start()
    thread.join(limit_s)
    if errors:
        raise errors[0]
    if not answers:
        raise NoAnswer(f"no answer within {limit_s:g} s; is its network share cut off?")
    return answers[0]


def all_at_once(acts: Iterable[Callable[[], object]]) -> None:
    """Call several, each in a thread of its own, and return when all have returned."""
    threads = [threading.Thread(target=act, daemon=True) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
