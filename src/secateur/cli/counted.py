"""Numbers of things, in words."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number and a noun with a plural in -s: "1 window", "2 windows"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
