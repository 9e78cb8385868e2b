"""Structured logs: one JSON object a line on standard error."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_LONGEST = 4000


class JsonLines(logging.Formatter):
    """Time, level, logger, message, and the trace of an error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name.removeprefix("secateur.edge."),
            "message": record.getMessage()[:_LONGEST],
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)[-_LONGEST:]
        return json.dumps(entry)


def set_up_logs(level: str) -> None:
    """Write logs of the agent as JSON lines, those of libraries from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("pymodbus", "asyncua"):  # they tell every attempt; a source tells its trouble once
        logging.getLogger(name).setLevel(logging.CRITICAL)
    set_log_level(level)


def set_log_level(level: str) -> None:
    """Write logs of the agent from a level on."""
    logging.getLogger("secateur").setLevel(level.upper())
