"""A diagnoser's labels and thresholds, for tests of when it answers."""

from __future__ import annotations

from types import SimpleNamespace

from secateur.bundle.manifest import AbstentionRecord

LABELS = ("normal", "inner_race", "outer_race", "ball")
THRESHOLDS = AbstentionRecord(
    temperature=2.0,
    least_confidence=0.7,
    least_energy=1.0,
    set_on="held-out specimens",
    windows=100,
    specimens=4,
    error_aimed_at=0.03,
)


def manifest(
    thresholds: AbstentionRecord | None = THRESHOLDS, *, hears_up_to_hz: float | None = None
) -> SimpleNamespace:
    """Return as much of a bundle's manifest as a judgement reads."""
    return SimpleNamespace(labels=LABELS, abstention=thresholds, hears_up_to_hz=hears_up_to_hz)
