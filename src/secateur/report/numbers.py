"""Numbers as a reader wants them; what is missing becomes a dash, never a guess."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

MISSING = "–"


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share of one as per cent: 0.984 -> '98.4 %'."""
    return MISSING if share is None else f"{100 * share:z.{digits}f} %"


def interval(ends: Sequence[float] | None) -> str:
    """Write a 95 % interval of a share: (0.971, 0.99) -> '97.1 to 99.0 %'."""
    return MISSING if not ends else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f} %"


def axis_percent(share: float) -> str:
    """Write a share for an axis, without needless zeros: 0.95 -> '95 %'."""
    return f"{100 * share:.4g} %"


def points(after: float | None, before: float | None) -> str:
    """Write a difference of shares as percentage points with its sign: '−0.5 pt'."""
    if after is None or before is None:
        return MISSING
    return f"{signed(100 * (after - before), '.1f')} pt"


def signed(value: float, pattern: str) -> str:
    """Write a number with its sign, a true minus, and no sign on what rounds to zero."""
    text = format(abs(value), pattern)
    if not text.strip("0."):
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def count(number: float | None) -> str:
    """Write a number of parameters to three digits: 9474564 -> '9.47 M'."""
    return MISSING if number is None else _scaled(number, (("G", 1e9), ("M", 1e6), ("k", 1e3)), "")


def axis_count(number: float) -> str:
    """Write a round number of parameters for an axis: 5000000 -> '5 M'."""
    unit, scale = ("M", 1e6) if number >= 1e6 else ("k", 1e3) if number >= 1e3 else ("", 1)
    return f"{number / scale:g} {unit}".rstrip()


def axis_number(value: float) -> str:
    """Write a plain number for an axis, with a true minus: -4.0 -> '−4'."""
    return f"{value:zg}".replace("-", "−")


def size(n_bytes: float | None) -> str:
    """Write a file size in decimal units to three digits: 38291126 -> '38.3 MB'."""
    return MISSING if n_bytes is None else _scaled(n_bytes, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)), "B")


def times(ratio: float | None) -> str:
    """Write a ratio: '13.8×'."""
    return MISSING if ratio is None else f"{three_digits(ratio)}×"


def decimal(value: float | None, digits: int = 3) -> str:
    """Write a plain number with a fixed number of decimals."""
    return MISSING if value is None else f"{value:z.{digits}f}"


def with_interval(found: Sequence[float] | None) -> str:
    """Write a number with its interval: (1.09, 1.07, 1.11) -> '1.090 (1.070 to 1.110)'."""
    return MISSING if not found else f"{decimal(found[0])} ({decimal(found[1])} to {decimal(found[2])})"


def duration(seconds: float | None) -> str:
    """Write a time span: '48 s', '3 min 20 s'."""
    if seconds is None:
        return MISSING
    whole = round(seconds)
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s" if whole < 60 else _minutes(whole)


def ranges(indices: Iterable[int]) -> str:
    """Write indices as ranges: 0, 1, 2, 5 -> '0–2, 5'."""
    ordered = sorted(indices)
    runs = [
        [index for _, index in run]
        for _, run in groupby(enumerate(ordered), key=lambda place: place[1] - place[0])
    ]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


def words(name: str) -> str:
    """Write an identifier as words: 'inner_race' -> 'inner race'."""
    return name.replace("_", " ")


def _minutes(seconds: int) -> str:
    return f"{seconds // 60} min {seconds % 60} s"


def _scaled(number: float, scales: tuple[tuple[str, float], ...], base: str) -> str:
    for unit, scale in scales:
        # what would round up to 1000 of the smaller unit belongs here already
        if number >= 0.9995 * scale:
            return f"{three_digits(number / scale)} {unit}"
    return f"{number:.0f} {base}".rstrip()


def three_digits(number: float) -> str:
    """Write a positive number below 1000 to three digits."""
    return f"{number:.2f}" if number < 9.995 else f"{number:.1f}" if number < 99.95 else f"{number:.0f}"
