"""From options to settings."""

from __future__ import annotations

from secateur.core.errors import ConfigError
from secateur.methods.settings import CascadeSettings, HandAllocation, SearchSettings
from secateur.recovery.settings import RecoverySettings
from secateur.workflow.settings import CutSettings


def hand_allocation(layers: int | None, heads: int | None, channels: int | None) -> HandAllocation | None:
    """Return the allocation by hand, or None if no part of it was given.

    Raises
    ------
    ConfigError
        If only a part was given.
    """
    given = {"--layers": layers, "--heads": heads, "--channels": channels}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if missing:
        raise ConfigError(
            f"an allocation by hand needs --layers, --heads and --channels; missing: {', '.join(missing)}."
        )
    return HandAllocation(layers=layers, heads=heads, channels=channels)


def cut_settings(
    *,
    method: str,
    ratio: float | None,
    criterion: str,
    hand: HandAllocation | None,
    multiple: int | None,
    min_accuracy: float | None,
    recovery_steps: int,
    batch_size: int,
) -> CutSettings:
    """Gather what the options say about cutting; an allocation by hand takes the ratio's place."""
    search = SearchSettings(criterion=criterion, hand=hand, multiple=multiple)
    if method != "cascade" and min_accuracy is not None:
        raise ConfigError(
            f"--min-accuracy goes with the cascade, which has stages to go back to, not with '{method}'."
        )
    return CutSettings(
        method=method,
        ratio=None if hand is not None else ratio,
        cascade=CascadeSettings(search=search, min_accuracy=min_accuracy),
        recovery=RecoverySettings(max_steps=recovery_steps, batch_size=batch_size),
    )
