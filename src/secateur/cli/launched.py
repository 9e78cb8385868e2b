"""Commands that several processes carry out together: all compute, the first writes and speaks."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from secateur.core.processes import join
from secateur.core.progress import console

TIME_TO_TELL_S = 30.0
"""Launchers end all processes as soon as one fails; the first gets this long to say what was wrong."""


def run_together(command: Callable[[], int], environment: Mapping[str, str] = os.environ) -> int:
    """Run a command along with the processes that ``accelerate launch`` or ``torchrun`` has started, if any.

    Parameters
    ----------
    command : callable
        Returns the exit code.
    environment : mapping
        In which launchers leave word of the other processes.

    Returns
    -------
    int
        The exit code.
    """
    if int(environment.get("WORLD_SIZE", "1")) < 2 or "RANK" not in environment:
        if environment.get("ACCELERATE_USE_CPU", "").lower() == "true" and "MASTER_ADDR" in environment:
            console.print(
                "accelerate has started one process only: with --cpu it needs mpirun for more. Give "
                "--multi_gpu in place of --cpu (processors serve where there is no GPU), or use torchrun."
            )
        return command()
    from secateur.training.processes import Processes

    processes = Processes()
    join(processes.team())
    if processes.rank == 0:
        console.print(f"{processes.count} processes work together")
        exit_code = command()
    else:
        exit_code = _in_silence(command)
        if exit_code:
            time.sleep(TIME_TO_TELL_S)
    if not exit_code:
        processes.leave()
    return exit_code


def _in_silence(command: Callable[[], int]) -> int:
    """Run without progress, notes and results; errors are told all the same."""
    console.quiet = True
    spoken = sys.stdout
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        sys.stdout = nowhere
        try:
            return command()
        finally:
            sys.stdout = spoken
