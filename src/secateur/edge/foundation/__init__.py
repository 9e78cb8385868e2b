"""The diagnoser that comes with the package, for recordings of machines that nobody trained on."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).with_name("micro")
"""Bundle of the foundation diagnoser; see ``card.md`` beside it."""
