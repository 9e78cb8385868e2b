"""A bearing from what a user gives: a name, the geometry, or the fault orders."""

from __future__ import annotations

from secateur.core.errors import ConfigError
from secateur.signals.bearings.bearing import Bearing
from secateur.signals.bearings.catalogue import find_bearing
from secateur.signals.findings import refuse
from secateur.signals.kinematics import BearingGeometry, FaultOrders
from secateur.signals.plausibility import bearing_findings

ORDER_NAMES = ("bpfo", "bpfi", "bsf2", "ftf")


def given_bearing(
    *,
    name: str | None = None,
    n_balls: int | None = None,
    ball_diameter_mm: float | None = None,
    pitch_diameter_mm: float | None = None,
    contact_angle_deg: float | None = None,
    orders: str | None = None,
) -> Bearing | None:
    """Return the bearing that is described in one of three ways; None if nothing is given.

    Parameters
    ----------
    name : str, optional
        Designation, see :func:`find_bearing`.
    n_balls, ball_diameter_mm, pitch_diameter_mm : optional
        The geometry; all three together.
    contact_angle_deg : float, optional
        Default 0.
    orders : str, optional
        Multiples of the shaft rate, see :func:`parse_orders`.

    Raises
    ------
    ConfigError
        If it is described in more than one way or the geometry is incomplete.
    DataError
        If no such bearing can exist.
    """
    geometry = {
        "--balls": n_balls,
        "--ball-mm": ball_diameter_mm,
        "--pitch-mm": pitch_diameter_mm,
        "--angle": contact_angle_deg,
    }
    given = [option for option, value in geometry.items() if value is not None]
    ways = [
        *(["--bearing"] if name is not None else []),
        *(["/".join(given)] if given else []),
        *(["--orders"] if orders is not None else []),
    ]
    if len(ways) > 1:
        raise ConfigError(
            f"the bearing is given by {' and by '.join(ways)}; give one: --bearing NAME, or --balls, "
            "--ball-mm and --pitch-mm, or --orders."
        )
    if name is not None:
        return find_bearing(name)
    if orders is not None:
        return _plausible(
            Bearing(designation=f"orders {orders}", orders=parse_orders(orders), source="given")
        )
    if not given:
        return None
    if n_balls is None or ball_diameter_mm is None or pitch_diameter_mm is None:
        missing = [option for option in ("--balls", "--ball-mm", "--pitch-mm") if geometry[option] is None]
        raise ConfigError(
            f"{', '.join(given)} without {', '.join(missing)}; a geometry takes the number of balls, their "
            "diameter and the pitch diameter in mm: --balls 9 --ball-mm 7.94 --pitch-mm 39.04."
        )
    return _plausible(
        bearing_of_geometry(n_balls, ball_diameter_mm, pitch_diameter_mm, contact_angle_deg or 0.0)
    )


def bearing_of_geometry(
    n_balls: int, ball_diameter_mm: float, pitch_diameter_mm: float, contact_angle_deg: float = 0.0
) -> Bearing:
    """Return a bearing that is known by its dimensions alone.

    Raises
    ------
    DataError
        If the dimensions are not those of a bearing.
    """
    words = f"{n_balls} balls of {ball_diameter_mm:g} mm on a pitch of {pitch_diameter_mm:g} mm"
    if contact_angle_deg:
        words += f" at {contact_angle_deg:g} degrees"
    geometry = BearingGeometry(
        designation=words,
        n_balls=n_balls,
        ball_diameter_mm=ball_diameter_mm,
        pitch_diameter_mm=pitch_diameter_mm,
        contact_angle_deg=contact_angle_deg,
    )
    return Bearing(designation=words, orders=geometry.orders, source="given")


def parse_orders(text: str) -> FaultOrders:
    """Read ``3.585,5.415`` or ``bpfo=3.585,bpfi=5.415,bsf2=4.714,ftf=0.398``.

    Without names the order is BPFO, BPFI, twice the ball spin frequency, FTF; the last two may be left
    out and follow from the races.

    Raises
    ------
    ConfigError
        If the text is not of this form.
    DataError
        If the figures are not those of a bearing.
    """
    values: dict[str, float] = {}
    for place, part in enumerate(part.strip() for part in text.split(",")):
        name, equals, number = part.rpartition("=")
        key = name.strip().lower() if equals else ORDER_NAMES[place] if place < len(ORDER_NAMES) else ""
        try:
            value = float(number)
        except ValueError:
            key = ""
        if key not in ORDER_NAMES or key in values:
            raise ConfigError(_misread(text, part))
        values[key] = value
    if "bpfo" not in values or "bpfi" not in values:
        raise ConfigError(_misread(text, text))
    return FaultOrders.from_multipliers(
        bpfo=values["bpfo"], bpfi=values["bpfi"], bsf2=values.get("bsf2"), ftf=values.get("ftf")
    )


def _misread(text: str, part: str) -> str:
    return (
        f"--orders '{text}': '{part}' is not understood; give multiples of the shaft rate: "
        "--orders 3.585,5.415 (BPFO, BPFI) or --orders bpfo=3.585,bpfi=5.415,bsf2=4.714,ftf=0.398 "
        "(bsf2 is twice the ball spin frequency)."
    )


def _plausible(bearing: Bearing) -> Bearing:
    refuse(bearing_findings(bearing.designation, bearing.orders))
    return bearing
