"""Settings of the methods."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from secateur.core.errors import ConfigError
from secateur.scoring.registered import CRITERIA, DEFAULT_CRITERION

StageName = Literal["layers", "groups", "channels"]
STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)


@dataclass(frozen=True, kw_only=True)
class HandAllocation:
    """A shape chosen by hand instead of by measurement; the same in every layer that stays.

    Parameters
    ----------
    layers : int
        Layers that stay.
    heads : int
        Query heads a layer; with shared keys and values a multiple of the heads that share them.
    channels : int
        FFN channels a layer.
    """

    layers: int
    heads: int
    channels: int

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "channels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} is {getattr(self, name)}; it must be at least 1.")


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How units are scored and how the depth is chosen; shared by all methods that cut.

    Parameters
    ----------
    criterion : str
        Name of the criterion for groups and channels.
    multiple : int, optional
        Multiple to which channel widths are rounded; by default as large as harms little.
    hand : HandAllocation, optional
        Takes the place of all measurement of shares.
    max_depths : int
        Most candidate depths that are probed, spread over those that are possible.
    depth_tolerance : float
        Excess loss in nats over the best candidate that counts as none, so that the shallower one wins.
    probe_steps : int
        Recovery steps that each candidate gets before it is judged, beside the total. Rankings of
        candidates can flip after recovery.
    ranking_samples : int
        Calibration windows on which layers are measured and probed candidates re-fitted, which takes
        many passes.
    """

    criterion: str = DEFAULT_CRITERION
    multiple: int | None = None
    hand: HandAllocation | None = None
    max_depths: int = 4
    depth_tolerance: float = 0.01
    probe_steps: int = 20
    ranking_samples: int = 64

    def __post_init__(self) -> None:
        CRITERIA.get(self.criterion)
        for name, least in (
            ("multiple", 1),
            ("max_depths", 1),
            ("depth_tolerance", 0),
            ("probe_steps", 0),
            ("ranking_samples", 1),
        ):
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}.")


@dataclass(frozen=True, kw_only=True)
class CascadeSettings:
    """How the cascade goes about it.

    Parameters
    ----------
    search : SearchSettings
        Scoring and choice of depth.
    order : tuple of {"layers", "groups", "channels"}
        Each once; coarse to fine by default.
    recovery_shares : tuple of float
        Share of the recovery steps that each stage gets, in the order of the stages; they add up to 1.
        By default the last stage, which sees the final shape, gets all, and the stages before it are
        re-fitted by least squares only: shares for them lost accuracy under noise (docs/decisions.md).
    min_accuracy : float, optional
        Validation accuracy (0 to 1) below which a stage is undone and the cascade ends.
    """

    search: SearchSettings = SearchSettings()
    order: tuple[StageName, ...] = STAGE_NAMES
    recovery_shares: tuple[float, ...] = (0.0, 0.0, 1.0)
    min_accuracy: float | None = None

    def __post_init__(self) -> None:
        if sorted(self.order) != sorted(STAGE_NAMES):
            raise ConfigError(f"order {self.order}; it must name each of {', '.join(STAGE_NAMES)} once.")
        shares = self.recovery_shares
        if len(shares) != len(self.order) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ConfigError(
                f"recovery_shares {shares}; give {len(self.order)} shares of at least 0 that add up to 1."
            )
        if self.min_accuracy is not None and not 0 <= self.min_accuracy <= 1:
            raise ConfigError(f"min_accuracy is {self.min_accuracy}; it must lie in 0..1.")


def split_steps(total: int, shares: tuple[float, ...]) -> tuple[int, ...]:
    """Divide a number of steps by shares; the parts add up to ``total``."""
    bounds, done = [0], 0.0
    for share in shares:
        done += share
        bounds.append(round(total * min(done, 1.0)))
    bounds[-1] = total
    return tuple(after - before for before, after in pairwise(bounds))
