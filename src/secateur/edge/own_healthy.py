"""What a machine's own healthy recordings look like to a bundle, and whether a new one is like them.

One healthy machine sounds unlike the next, so a bundle alone must be careful with both. With recordings of
the machine's own healthy state it says "normal" of what is like them, and never of what is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError

from secateur.bundle.manifest import Name, Part
from secateur.core.documents import read_json_document
from secateur.core.errors import CheckpointError, ConfigError, DataError
from secateur.edge.robust import median_and_spread
from secateur.edge.window_diagnoses import WindowDiagnoses, root_mean_square
from secateur.signals.kinematics import FaultOrders
from secateur.signals.sources.quantities import are_same_unit

NORMAL = "normal"
"""The class of a healthy machine."""

LEAST_WINDOWS = 3
SPREADS = 3.0
"""Up to which a recording is like the healthy windows: robust standard deviations of their log-odds."""

LEAST_SPREAD = 0.3
"""Of the log-odds: few windows of one recording look more alike than the machine's next ones are."""

LEVEL_RATIO = 1.5
"""How far the level may lie above the highest or below the lowest of the healthy recordings, as a ratio."""

SPEED_SHARE = 0.1
"""How far the speed may lie outside those of the healthy recordings: the level follows the speed."""

_SUREST = 1e-6


@dataclass(frozen=True, kw_only=True)
class HealthyRecording:
    """One healthy recording as a bundle sees it.

    Attributes
    ----------
    normal : ndarray, shape (windows,)
        Calibrated probability of the class "normal".
    rms : ndarray, shape (windows,)
        Level in the unit of the recording.
    shaft_rate_hz : float
        0 if unknown.
    """

    normal: np.ndarray
    rms: np.ndarray
    shaft_rate_hz: float = 0.0

    @classmethod
    def heard(
        cls, parts: Sequence[WindowDiagnoses], labels: Sequence[str], *, shaft_rate_hz: float
    ) -> HealthyRecording:
        """Take the usable windows of what a runtime streams of a recording, whose classes are ``labels``."""
        place = labels.index(NORMAL)
        return cls(
            normal=np.concatenate([part.probabilities[part.usable, place] for part in parts]).astype(
                np.float64
            ),
            rms=np.concatenate([part.rms[part.usable] for part in parts]),
            shaft_rate_hz=shaft_rate_hz,
        )

    @property
    def level(self) -> float | None:
        """Root mean square over the windows; None where there are none."""
        return root_mean_square(self.rms) if len(self.rms) else None


class OwnHealthy(Part):
    """Limits learned from a machine's own healthy recordings, by one version of one bundle.

    Attributes
    ----------
    bundle, version : str
        Name of the bundle, and the first 12 digits of the SHA-256 of its manifest.
    recordings, windows : int
        What was learned from.
    most_damage : float
        Mean probability of damage (one minus that of "normal") up to which a recording is like them.
    lowest_rms, highest_rms : float
        Levels of the healthy recordings.
    lowest_shaft_hz, highest_shaft_hz : float or None
        Speeds of the healthy recordings; None where one of them is not known.
    fault_orders : FaultOrders or None
        Of their bearing; None if it was not stated.
    channel, unit : str or None
        Of the healthy recordings.
    """

    schema_version: Literal[1] = 1
    bundle: Name
    version: str
    recordings: int = Field(ge=1)
    windows: int = Field(ge=LEAST_WINDOWS)
    most_damage: float = Field(gt=0, le=0.5)
    lowest_rms: float = Field(gt=0)
    highest_rms: float = Field(gt=0)
    lowest_shaft_hz: float | None = Field(default=None, gt=0)
    highest_shaft_hz: float | None = Field(default=None, gt=0)
    fault_orders: FaultOrders | None
    channel: Name | None = None
    unit: Name | None = None

    def require_comparable(
        self,
        *,
        shaft_rate_hz: float,
        fault_orders: FaultOrders | None,
        channel: str | None = None,
        unit: str | None = None,
    ) -> None:
        """Refuse a recording of which something else is stated than of the healthy ones.

        The model answers otherwise where it is told another bearing, and levels of two channels differ.

        Parameters
        ----------
        shaft_rate_hz : float
            As stated; 0 if it is not.
        fault_orders : FaultOrders or None
            As stated.
        channel, unit : str or None
            None if unknown; then they are not compared.

        Raises
        ------
        DataError
            With all that differs.
        """
        orders, knows_speed = self.fault_orders, self.lowest_shaft_hz is not None
        same_bearing = fault_orders is orders is None or (
            fault_orders is not None and orders is not None and orders.are_like(fault_orders)
        )
        compared = {
            "bearing": (same_bearing, _told(fault_orders), _told(orders)),
            "shaft speed": (
                knows_speed == (shaft_rate_hz > 0),
                "stated" if shaft_rate_hz > 0 else "not stated",
                "stated" if knows_speed else "not stated of all",
            ),
            "channel": (None in (channel, self.channel) or channel == self.channel, channel, self.channel),
            "unit": (
                unit is None or self.unit is None or are_same_unit(unit, self.unit),
                unit,
                self.unit,
            ),
        }
        differing = [
            f"its {what} is {here}, that of the healthy recordings {there}"
            for what, (same, here, there) in compared.items()
            if not same
        ]
        if differing:
            raise DataError(
                f"the recording cannot be compared with the machine's own healthy ones: "
                f"{'; '.join(differing)}. State the same of both, or commission anew."
            )

    def differences(self, *, normal: float, rms: float, shaft_rate_hz: float) -> tuple[str, ...]:
        """Say in what a recording differs from the healthy ones; empty if in nothing.

        Parameters
        ----------
        normal : float
            Mean calibrated probability of "normal" over its windows.
        rms : float
            Its level, in the unit of the healthy recordings.
        shaft_rate_hz : float
            0 if unknown.
        """
        found = []
        low_hz, high_hz = self.lowest_shaft_hz, self.highest_shaft_hz
        if low_hz is not None and high_hz is not None and shaft_rate_hz > 0:
            slack = 1.0 + SPEED_SHARE
            if not low_hz / slack <= shaft_rate_hz <= high_hz * slack:
                speeds = f"{60 * low_hz:.0f} to {60 * high_hz:.0f} rpm"
                found.append(f"it turns at {60 * shaft_rate_hz:.0f} rpm, the healthy recordings at {speeds}")
        if rms > LEVEL_RATIO * self.highest_rms:
            found.append(f"its level is {rms / self.highest_rms:.1f} times the highest of them")
        elif rms < self.lowest_rms / LEVEL_RATIO:
            found.append(f"its level is {rms / self.lowest_rms:.2f} times the lowest of them")
        if 1.0 - normal > self.most_damage:
            found.append(
                f"the model sees damage with {100 * (1.0 - normal):.0f} % (like them: up to "
                f"{100 * self.most_damage:.0f} %)"
            )
        return tuple(found)


def _told(orders: FaultOrders | None) -> str:
    return "not stated" if orders is None else f"one of the fault orders {orders}"


def learn_own_healthy(
    recordings: Sequence[HealthyRecording],
    *,
    bundle: str,
    version: str,
    fault_orders: FaultOrders | None = None,
    channel: str | None = None,
    unit: str | None = None,
) -> OwnHealthy:
    """Set the limits from healthy recordings of one machine, all of one bearing.

    The limit of damage lies :data:`SPREADS` robust standard deviations above the median of the windows'
    log-odds, and never above one half.

    Raises
    ------
    DataError
        If the windows are too few, or the model sees damage in the healthy recordings themselves.
    """
    damage = np.clip(1.0 - np.concatenate([entry.normal for entry in recordings]), _SUREST, 1.0 - _SUREST)
    if len(damage) < LEAST_WINDOWS:
        raise DataError(
            f"the healthy recordings hold {len(damage)} usable windows; at least {LEAST_WINDOWS} are needed. "
            "Give longer ones or more of them."
        )
    odds = np.log(damage / (1.0 - damage))
    middle, spread = median_and_spread(odds, least_spread=LEAST_SPREAD)
    if middle >= 0.0:
        raise DataError(
            f"the model sees damage with {100 / (1.0 + math.exp(-middle)):.0f} % in the healthy recordings: "
            "it cannot tell when this machine is healthy. Check speed, bearing and channel, or train a model "
            "on this machine with 'secateur compress --backbone foundation-micro'."
        )
    most_damage = min(1.0 / (1.0 + math.exp(-(middle + SPREADS * spread))), 0.5)
    levels = [level for entry in recordings if (level := entry.level) is not None]
    speeds = [entry.shaft_rate_hz for entry in recordings]
    knows_speed = all(speed > 0 for speed in speeds)
    return OwnHealthy(
        bundle=bundle,
        version=version,
        recordings=len(recordings),
        windows=len(damage),
        most_damage=most_damage,
        lowest_rms=min(levels),
        highest_rms=max(levels),
        lowest_shaft_hz=min(speeds) if knows_speed else None,
        highest_shaft_hz=max(speeds) if knows_speed else None,
        fault_orders=fault_orders,
        channel=channel,
        unit=unit,
    )


def is_own_healthy(path: Path) -> bool:
    """Whether a file holds limits that ``secateur commission`` wrote, by whatever bundle."""
    try:
        OwnHealthy.model_validate(read_json_document(path))
    except (DataError, ValidationError):
        return False
    return True


def read_own_healthy(path: Path, *, bundle: str, version: str) -> OwnHealthy:
    """Read the limits that ``secateur commission`` wrote, for the bundle that learned them.

    Raises
    ------
    DataError
        If the file is missing or cannot be read.
    CheckpointError
        If it holds something else.
    ConfigError
        If another bundle, or another version of it, learned them.
    """
    try:
        found = OwnHealthy.model_validate(read_json_document(path))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise CheckpointError(
            f"{path} is not what 'secateur commission --healthy' writes: {field}: {first['msg']}. "
            "Commission anew."
        ) from None
    if (found.bundle, found.version) != (bundle, version):
        raise ConfigError(
            f"{path} was learned by {found.bundle} (version {found.version}), but the bundle is {bundle} "
            f"(version {version}); commission anew with this one."
        )
    return found
