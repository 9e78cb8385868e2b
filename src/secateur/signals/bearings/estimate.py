"""Estimate the inside of a bearing, which catalogues do not print, from its boundary dimensions.

The pitch diameter is the mean of bore and outside diameter. The rolling elements take a share of the section
(outside minus bore diameter) and fill a part of the circle. The balls of a deep-groove bearing are laid in
with the inner ring pushed aside, so all of them must fit on little more than half of it.

The shares are those of the ball bearings that Timken publishes (timken.yaml; the count is right for most and
one off for the others), and for rollers those of NU 330 and 22228; that of angular contact is chosen. One
element more or less cannot be told: that is the tolerance of an estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from secateur.signals.kinematics import BearingGeometry


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How a kind of bearing is filled.

    Parameters
    ----------
    words : str
        The kind in words.
    section_share : tuple of float
        Diameter of an element over outside minus bore diameter; below and from 37 mm bore on.
    filled_share : float or None
        Part of the pitch circle that the elements cover; None for the limit of laying balls in.
    contact_angle_deg : float
    """

    words: str
    section_share: tuple[float, float]
    filled_share: float | None
    contact_angle_deg: float = 0.0


LARGE_BORE_MM = 37.0
FILLING_ANGLE_DEG = 194.0
"""Angle over which all balls of a deep-groove bearing lie side by side when they are laid in."""

RULES = {
    "deep_groove": Rule(words="deep-groove ball bearing", section_share=(0.2975, 0.3175), filled_share=None),
    "angular_contact": Rule(
        words="angular contact ball bearing",
        section_share=(0.3, 0.3),
        filled_share=0.8,
        contact_angle_deg=40.0,
    ),
    "cylindrical_roller": Rule(
        words="cylindrical roller bearing", section_share=(0.278, 0.278), filled_share=0.85
    ),
    "spherical_roller": Rule(
        words="spherical roller bearing",
        section_share=(0.244, 0.244),
        filled_share=0.835,
        contact_angle_deg=10.0,
    ),
}


def estimated_geometry(designation: str, kind: str, bore_mm: float, outer_mm: float) -> BearingGeometry:
    """Return the geometry that the rule of its kind gives.

    Parameters
    ----------
    designation : str
    kind : str
        One of :data:`RULES`.
    bore_mm, outer_mm : float
        Boundary dimensions.
    """
    rule = RULES[kind]
    pitch_mm = (bore_mm + outer_mm) / 2.0
    element_mm = rule.section_share[bore_mm >= LARGE_BORE_MM] * (outer_mm - bore_mm)
    angle_of_one_deg = 2.0 * math.degrees(math.asin(element_mm / pitch_mm))
    if rule.filled_share is None:
        count = math.floor(1.0 + FILLING_ANGLE_DEG / angle_of_one_deg)
    else:
        count = math.floor(rule.filled_share * math.pi * pitch_mm / element_mm)
    return BearingGeometry(
        designation=designation,
        n_balls=count,
        ball_diameter_mm=element_mm,
        pitch_diameter_mm=pitch_mm,
        contact_angle_deg=rule.contact_angle_deg,
    )
