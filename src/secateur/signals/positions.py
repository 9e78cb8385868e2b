"""Where an outer-race defect sits against the load zone, as a time on a clock face."""

from __future__ import annotations

import re

from secateur.signals.findings import Finding, warning

_CLOCK = re.compile(r"@?\s*(?:at\s*)?0?(\d{1,2})(?:[:.]00)?\s*(?:h|o['\u2019 ]?clock)?", re.IGNORECASE)


def clock_position(subject: str, text: str | None) -> tuple[str | None, tuple[Finding, ...]]:
    """Return a position as ``6:00``, however the hour is written, or a finding that quotes it.

    Parameters
    ----------
    subject : str
        The recording.
    text : str or None
        ``6:00``, ``06:00``, ``@6``, ``6 o'clock``; None or empty if unknown.
    """
    text = (text or "").strip()
    if not text:
        return None, ()
    hour = _CLOCK.fullmatch(text)
    if hour and 1 <= int(hour[1]) <= 12:
        return f"{int(hour[1])}:00", ()
    message = f"position '{text}' is not an hour on a clock face; write 6:00 for the load zone."
    return text, (warning("position", subject, message),)
