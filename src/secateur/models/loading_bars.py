"""What ``transformers`` writes by itself would stand between our bars and break machine-readable output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging


@contextmanager
def no_warnings() -> Iterator[None]:
    """Silence bars and warnings while the block runs, which checks by itself what they would tell."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with no_bars():
            yield
    finally:
        logging.set_verbosity(verbosity)


@contextmanager
def no_bars() -> Iterator[None]:
    """Silence progress bars while the block runs."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
