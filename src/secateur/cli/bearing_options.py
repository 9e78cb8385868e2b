"""Options that name or describe a bearing, shared by the commands that place fault lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from secateur.signals.bearings.bearing import Bearing

Name = Annotated[
    str | None,
    typer.Option(
        "--bearing",
        help="Designation, such as 6205 or 'SKF 6205-2RS'; gives the fault lines.",
    ),
]
Balls = Annotated[
    int | None,
    typer.Option("--balls", help="Number of rolling elements, for a bearing of no catalogue."),
]
BallMm = Annotated[
    float | None,
    typer.Option("--ball-mm", help="Diameter of a rolling element in mm."),
]
PitchMm = Annotated[
    float | None,
    typer.Option("--pitch-mm", help="Diameter of the circle through their centres in mm."),
]
Angle = Annotated[float | None, typer.Option("--angle", help="Contact angle in degrees; default 0.")]
Orders = Annotated[
    str | None,
    typer.Option(
        "--orders",
        help="Multiples of the shaft rate instead: BPFO,BPFI or bpfo=3.585,bpfi=5.415,bsf2=4.714,ftf=0.398.",
    ),
]


def bearing_from(
    name: str | None,
    balls: int | None,
    ball_mm: float | None,
    pitch_mm: float | None,
    angle: float | None,
    orders: str | None,
) -> Bearing | None:
    """Return the bearing that the options describe; None if none is given.

    Raises
    ------
    ConfigError
        If it is described twice or incompletely.
    DataError
        If no such bearing can exist.
    """
    from secateur.signals.bearings.given import given_bearing

    return given_bearing(
        name=name,
        n_balls=balls,
        ball_diameter_mm=ball_mm,
        pitch_diameter_mm=pitch_mm,
        contact_angle_deg=angle,
        orders=orders,
    )
