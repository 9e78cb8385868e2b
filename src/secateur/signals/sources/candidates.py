"""Look at a waveform file of which nothing is known: its columns, what each may be, and what it states."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from secateur.core.documents import require_regular_file
from secateur.core.errors import DataError
from secateur.signals.sources.choice import possible_columns
from secateur.signals.sources.open import open_columns, open_source


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What a file offers.

    Attributes
    ----------
    possible : tuple of str
        Columns that may be vibration, by name, or by number where a name repeats.
    is_unnamed : bool
        Whether the format gives channels no names (WAV, NPY).
    sampling_rate_hz : float or None
        As the file states it.
    speed_rpm : float or None
        Likewise.
    in_words : str
        Length, rate and columns, for people.
    """

    possible: tuple[str, ...]
    is_unnamed: bool
    sampling_rate_hz: float | None
    speed_rpm: float | None
    in_words: str


def look_at(path: Path) -> Candidates:
    """Return what a file offers.

    Raises
    ------
    DataError
        If it cannot be read, holds nothing that may be vibration, or contradicts itself.
    """
    require_regular_file(path)
    stored, told = open_columns(path), []
    possible = possible_columns(stored)
    if not possible:
        raise DataError(f"{path} holds no column that looks like vibration.")
    names = [column.name for column in stored.present]
    wanted = [names[n] if names.count(names[n]) == 1 else str(n) for n in possible]
    opened = open_source(path, wanted[:1], may_name=False)
    rate = opened.rate(None, str(path))
    n_samples = stored.present[possible[0]].n_samples
    if rate is None:
        told.append(f"{n_samples} samples")
    else:
        told.append(f"{n_samples / rate.value:.4g} s, {rate.value:g} Hz by {rate.said_by}")
    others = [name for number, name in enumerate(names) if number not in possible]
    if others:
        told.append(f"besides {', '.join(others[:8])}{', ...' if len(others) > 8 else ''}")
    return Candidates(
        possible=tuple(wanted),
        is_unnamed=not hasattr(stored, "columns"),
        sampling_rate_hz=None if rate is None else rate.value,
        speed_rpm=None if opened.speed is None else opened.speed.value,
        in_words=" ".join("; ".join(told).split()),
    )
