"""Rates at which a damaged rolling bearing knocks, as multiples of the shaft rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from secateur.core.errors import DataError

LIKE_SHARE = 0.01
"""How far the orders of one bearing may lie apart as two sources state them."""


@dataclass(frozen=True, kw_only=True)
class FaultOrders:
    """Fault rates of a bearing in multiples of the shaft rate (inner ring turning).

    Parameters
    ----------
    bpfo : float
        Ball pass frequency, outer race.
    bpfi : float
        Ball pass frequency, inner race.
    bsf2 : float
        Twice the ball spin frequency: a defect on a ball strikes both races in each turn of the ball.
    ftf : float
        Fundamental train frequency, the rate of the cage.
    tolerance : float
        Share by which the rates may be off because the geometry is estimated; 0 for a published or
        measured one.
    """

    bpfo: float
    bpfi: float
    bsf2: float
    ftf: float
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        rates = (self.bpfo, self.bpfi, self.bsf2, self.ftf)
        if not all(math.isfinite(rate) and rate > 0 for rate in rates) or not self.bpfo < self.bpfi:
            raise DataError(
                f"fault orders bpfo={self.bpfo}, bpfi={self.bpfi}, bsf2={self.bsf2}, ftf={self.ftf}; "
                "all must be positive and bpfo smaller than bpfi (inner ring turning)."
            )

    @classmethod
    def from_multipliers(
        cls, *, bpfo: float, bpfi: float, bsf2: float | None = None, ftf: float | None = None
    ) -> FaultOrders:
        """Take the multiples that a catalogue gives; those left out follow from the two races.

        ``bpfo + bpfi`` is the number of balls N, so ``ftf = bpfo / N``, and at zero contact angle the
        ratio of ball to pitch diameter is ``(bpfi - bpfo) / N``.

        Parameters
        ----------
        bpfo, bpfi : float
            Ball pass frequencies over the shaft rate.
        bsf2 : float, optional
            Twice the ball spin frequency over the shaft rate.
        ftf : float, optional
            Cage rate over the shaft rate.
        """
        if not (math.isfinite(bpfo) and math.isfinite(bpfi) and 0 < bpfo < bpfi):
            raise DataError(
                f"multipliers bpfo={bpfo}, bpfi={bpfi}; both must be positive and bpfo the smaller one."
            )
        ratio = (bpfi - bpfo) / (bpfi + bpfo)
        return cls(
            bpfo=bpfo,
            bpfi=bpfi,
            bsf2=(1.0 - ratio**2) / ratio if bsf2 is None else bsf2,
            ftf=bpfo / (bpfo + bpfi) if ftf is None else ftf,
        )

    def are_like(self, other: FaultOrders) -> bool:
        """Whether these are of the same bearing, but for rounding."""
        return np.allclose(self.as_array(), other.as_array(), rtol=LIKE_SHARE)

    def __str__(self) -> str:
        """Write the four orders, for messages."""
        return ", ".join(f"{order:.4g}" for order in self.as_array())

    def as_array(self) -> np.ndarray:
        """Return (bpfo, bpfi, bsf2, ftf) as float32, the order in which models take them."""
        return np.array([self.bpfo, self.bpfi, self.bsf2, self.ftf], dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class BearingGeometry:
    """Dimensions from which the fault orders follow.

    Parameters
    ----------
    designation : str
        Name of the bearing.
    n_balls : int
        Number of rolling elements.
    ball_diameter_mm : float
        Diameter of a rolling element.
    pitch_diameter_mm : float
        Diameter of the circle through the centres of the rolling elements.
    contact_angle_deg : float
        Angle between the line of contact and the radial plane; 0 for deep-groove bearings.
    """

    designation: str
    n_balls: int
    ball_diameter_mm: float
    pitch_diameter_mm: float
    contact_angle_deg: float = 0.0

    def __post_init__(self) -> None:
        if self.n_balls < 2 or not 0 < self.ball_diameter_mm < self.pitch_diameter_mm < math.inf:
            raise DataError(
                f"bearing {self.designation}: {self.n_balls} balls of {self.ball_diameter_mm} mm on a pitch "
                f"diameter of {self.pitch_diameter_mm} mm; there must be at least 2 balls, smaller than the "
                "pitch diameter."
            )
        if not 0 <= self.contact_angle_deg < 90:
            raise DataError(
                f"bearing {self.designation}: contact angle {self.contact_angle_deg} degrees; "
                "it must lie from 0 to below 90."
            )

    @property
    def orders(self) -> FaultOrders:
        """Fault orders by the kinematics of rolling without slip, inner ring turning.

        With ``g = ball diameter * cos(contact angle) / pitch diameter`` and N balls:
        ``BPFO = N (1 - g) / 2``, ``BPFI = N (1 + g) / 2``, ``FTF = (1 - g) / 2``,
        ``2 BSF = pitch / ball * (1 - g^2)`` (Randall and Antoni, Mechanical Systems and Signal
        Processing 25, 2011, equations 1 to 4).
        """
        g = self.ball_diameter_mm * math.cos(math.radians(self.contact_angle_deg)) / self.pitch_diameter_mm
        return FaultOrders(
            bpfo=self.n_balls * (1.0 - g) / 2.0,
            bpfi=self.n_balls * (1.0 + g) / 2.0,
            bsf2=self.pitch_diameter_mm / self.ball_diameter_mm * (1.0 - g**2),
            ftf=(1.0 - g) / 2.0,
        )
