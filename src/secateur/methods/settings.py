"""Settings of the methods."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from secateur.blockwise.refit import Target as RefitTarget
from secateur.core.errors import ConfigError
from secateur.core.typed import typed
from secateur.methods.floor import NO_FLOORS, Floors
from secateur.scoring.registered import CRITERIA, DEFAULT_CRITERION
from secateur.scoring.scores import SCORED_KINDS, ScoredKind

StageName = Literal["layers", "groups", "heads", "channels"]
ALL_STAGES: tuple[StageName, ...] = get_args(StageName)
STAGE_NAMES: tuple[StageName, ...] = ("layers", "groups", "channels")
"""What the cascade cuts unless it is told otherwise."""

CutUnit = Literal["group", "head", "channel"]
"""What a caller may ask to be cut of each block."""

STAGE_OF: dict[CutUnit, StageName] = {"group": "groups", "head": "heads", "channel": "channels"}


@dataclass(frozen=True, kw_only=True)
@typed
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
@typed
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
        Calibration samples on which layers are measured and probed candidates re-fitted, which takes
        many passes.
    layer_candidates : int, optional
        See :func:`secateur.scoring.layers.rank_layers`.
    refit_target : {"projection", "stream"}
        See :func:`secateur.blockwise.refit.refit`.
    """

    criterion: str = DEFAULT_CRITERION
    multiple: int | None = None
    hand: HandAllocation | None = None
    max_depths: int = 4
    depth_tolerance: float = 0.01
    probe_steps: int = 20
    ranking_samples: int = 64
    layer_candidates: int | None = None
    refit_target: RefitTarget = "projection"

    def __post_init__(self) -> None:
        CRITERIA.get(self.criterion)
        for name, least in (
            ("multiple", 1),
            ("max_depths", 1),
            ("depth_tolerance", 0),
            ("probe_steps", 0),
            ("ranking_samples", 1),
            ("layer_candidates", 1),
        ):
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}.")


@dataclass(frozen=True, kw_only=True)
@typed
class CascadeSettings:
    """How the cascade goes about it.

    Parameters
    ----------
    search : SearchSettings
        Scoring and choice of depth.
    order : tuple of {"layers", "groups", "heads", "channels"}
        Layers and what else is cut, each once; by default all but heads, coarse to fine. Heads are query
        heads inside their KV groups, of which each group of a layer loses equally many.
    recovery_shares : tuple of float, optional
        Share of the recovery steps that each stage gets, in the order of the stages; they add up to 1.
        By default the last stage, which sees the final shape, gets all, and the stages before it are
        re-fitted by least squares only: shares for them lost accuracy under noise (docs/decisions.md).
    floors : Floors
        Below which a stage is undone and the cascade ends.
    """

    search: SearchSettings = SearchSettings()
    order: tuple[StageName, ...] = STAGE_NAMES
    recovery_shares: tuple[float, ...] | None = None
    floors: Floors = NO_FLOORS

    def __post_init__(self) -> None:
        order = set(self.order)
        if len(order) < max(2, len(self.order)) or "layers" not in order:
            raise ConfigError(
                f"order {self.order}; it must name layers and at least one of "
                f"{', '.join(ALL_STAGES[1:])}, each once."
            )
        if self.recovery_shares is None:
            object.__setattr__(self, "recovery_shares", (0.0,) * (len(self.order) - 1) + (1.0,))
        shares = self.shares
        if len(shares) != len(self.order) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ConfigError(
                f"recovery_shares {shares}; give {len(self.order)} shares of at least 0 that add up to 1."
            )

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each stage."""
        assert self.recovery_shares is not None
        return self.recovery_shares


@dataclass(frozen=True, kw_only=True)
@typed
class RoundsSettings:
    """How a model is cut in rounds.

    Parameters
    ----------
    search : SearchSettings
        Scoring; all layers stay.
    rounds : int
        Of scoring, cutting and re-fitting.
    kinds : tuple of {"group", "head", "cross_group", "channel"}, optional
        What may be cut; default: see :func:`secateur.methods.rounds.kinds_to_cut`.
    uniform : bool
        Equal widths in all layers, in one round.
    floors : Floors
        Below which a round is undone and the method ends.
    """

    search: SearchSettings = SearchSettings()
    rounds: int = 1
    kinds: tuple[ScoredKind, ...] | None = None
    uniform: bool = False
    floors: Floors = NO_FLOORS

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ConfigError(f"rounds is {self.rounds}; it must be at least 1.")
        if self.kinds == ():
            raise ConfigError(
                f"no units are to be cut; give some of {', '.join(SCORED_KINDS)}, or leave them out."
            )
        if self.uniform and self.kinds is not None:
            raise ConfigError("--uniform chooses the units itself; leave --units out.")
        if self.uniform and self.rounds > 1:
            raise ConfigError("--uniform cuts in one round; leave --rounds out.")


def split_steps(total: int, shares: tuple[float, ...]) -> tuple[int, ...]:
    """Divide a number of steps by shares; the parts add up to ``total``."""
    bounds, done = [0], 0.0
    for share in shares:
        done += share
        bounds.append(round(total * min(done, 1.0)))
    bounds[-1] = total
    return tuple(after - before for before, after in pairwise(bounds))
