"""Compare what a file says about its sampling rate and shaft speed with what is said elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from secateur.core.errors import DataError

RATE_TOLERANCE = 0.005
SPEED_TOLERANCE = 0.1
"""A nominal speed may be up to a tenth off the true one (8 % at UESTC)."""

_RATE_NAMES = {
    "fs", "sr", "fsamp", "fsample", "samplerate", "samplingrate", "samplingfrequency", "samplefrequency",
    "samplingratehz", "sampleratehz", "fshz", "samplingfreq", "samplefreq",
}  # fmt: skip
_SPEED_NAMES = {"rpm", "speedrpm", "shaftspeedrpm", "shaftrpm"}
_CWRU_SPEED = re.compile(r"^X\d+RPM$")
_KILOHERTZ = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)(k|khz|hz)(?![A-Za-z0-9])", re.IGNORECASE)
_USUAL_KILOHERTZ = (
    5.12, 6.4, 8, 10, 10.24, 11.025, 12, 12.8, 16, 20, 20.48, 22.05, 24, 25, 25.6, 32, 40, 40.96, 42, 44.1,
    48, 50, 51.2, 64, 65.536, 96, 97.656, 100, 102.4, 192, 200, 204.8, 256,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A value and who says so.

    Attributes
    ----------
    value : float
    said_by : str
        "the file's header", "--sampling-rate".
    tolerance : float
        How far, relatively, another statement may be off.
    """

    value: float
    said_by: str
    tolerance: float = RATE_TOLERANCE


def rate_among(scalars: Mapping[str, float], where: str) -> Statement | None:
    """Return the sampling rate among the single numbers of a file: ``fs``, ``bearing.sr``, ...

    ``where`` names the file in messages.

    Raises
    ------
    DataError
        If two of them disagree.
    """
    return agreed(
        [
            Statement(value=value, said_by=f"the file's '{name}'")
            for name, value in scalars.items()
            if _plain(name) in _RATE_NAMES and value > 0
        ],
        "Hz",
        where,
    )


def speed_among(scalars: Mapping[str, float]) -> Statement | None:
    """Return the shaft speed in rpm among the single numbers of a file: ``rpm``, CWRU's ``X105RPM``."""
    return next(
        (
            Statement(value=value, said_by=f"the file's '{name}'", tolerance=SPEED_TOLERANCE)
            for name, value in scalars.items()
            if (_plain(name) in _SPEED_NAMES or _CWRU_SPEED.match(name)) and value > 0
        ),
        None,
    )


def rate_in_name(path: Path) -> Statement | None:
    """Return the sampling rate that a file's name states, such as ``12k_drive_end.mat`` or ``x_25600Hz.csv``.

    Only rates that recorders have are taken for one; a name is compared, it never gives the rate.
    """
    for number, unit in _KILOHERTZ.findall(path.stem.replace("_", " ")):
        kilohertz = float(number) / (1000.0 if unit.lower() == "hz" else 1.0)
        if kilohertz in _USUAL_KILOHERTZ:
            return Statement(value=1000.0 * kilohertz, said_by="the file's name", tolerance=0.03)
    return None


def agreed(statements: Iterable[Statement | None], unit: str, where: str) -> Statement | None:
    """Return the first statement if all others agree with it; None if there is none.

    Raises
    ------
    DataError
        If two disagree.
    """
    made = [statement for statement in statements if statement is not None]
    for one, other in ((made[0], other) for other in made[1:]):
        if abs(one.value - other.value) > max(one.tolerance, other.tolerance) * max(one.value, other.value):
            raise DataError(
                f"{where}: {one.said_by} says {one.value:.6g} {unit} and {other.said_by} {other.value:.6g} "
                f"{unit}; correct the one that is wrong."
            )
    return made[0] if made else None


def require_as_in_set(
    name: str, path: Path, scalars: Mapping[str, float], *, rate_hz: float, speed_rpm: float | None = None
) -> None:
    """Check that a file which is called as one of a public set states what the set is known for.

    Parameters
    ----------
    name : str
        Of the set.
    path : Path
    scalars : mapping of str to float
        The single numbers of the file.
    rate_hz : float
        Sampling rate of the set.
    speed_rpm : float, optional
        Shaft speed by the file's name.

    Raises
    ------
    DataError
        If it states another rate or speed.
    """
    said_by, where = f"{name}, by whose way it is named,", str(path)
    rate = Statement(value=rate_hz, said_by=said_by)
    speed = None
    if speed_rpm is not None:
        speed = Statement(value=speed_rpm, said_by=said_by, tolerance=SPEED_TOLERANCE)
    try:
        agreed([rate, rate_among(scalars, where)], "Hz", where)
        agreed([speed, speed_among(scalars)], "rpm", where)
    except DataError as error:
        raise DataError(f"{error} If the file is none of {name}'s, give it another name.") from None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.rpartition(".")[2].lower())
