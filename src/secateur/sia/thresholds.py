"""The limits between reliable and unreliable, read from the one file that fixes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import yaml

from secateur.core.errors import ConfigError

Figure = Literal["additivity_gap", "interaction", "rank_stability", "fidelity", "cost_over_lot"]
FIGURES: tuple[Figure, ...] = get_args(Figure)

_FILE = Path(__file__).with_name("thresholds.yaml")


@dataclass(frozen=True, kw_only=True)
class Limit:
    """On which side of a number a figure must lie.

    Parameters
    ----------
    sense : {"at_most", "at_least"}
    value : float
    """

    sense: Literal["at_most", "at_least"]
    value: float

    def keeps(self, figure: float) -> bool:
        """Whether a figure lies on the right side."""
        return figure <= self.value if self.sense == "at_most" else figure >= self.value


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """All limits, and when and on what they were fixed.

    Parameters
    ----------
    fixed_on : str
        Date.
    fixed_by : str
        Data that they were fixed on, in words.
    at_fraction : float
        Share of the units that the largest subset whose additivity counts may have.
    negligible : float
        Cost of such a subset, in nats a sample, below which nothing is at stake.
    fewest_units : int
        Units that a rank correlation needs to be held against its limit.
    fewest_sets : int
        Random sets of one size that a figure taken over such sets needs to be held against its limit.
    limits : dict of str to Limit
        One for each of :data:`FIGURES`.
    """

    fixed_on: str
    fixed_by: str
    at_fraction: float
    negligible: float
    fewest_units: int
    fewest_sets: int
    limits: dict[Figure, Limit]


@cache
def thresholds() -> Thresholds:
    """Return the shipped limits."""
    return read_thresholds(_FILE)


def read_thresholds(path: Path) -> Thresholds:
    """Read limits from a file such as ``thresholds.yaml`` beside this module.

    Raises
    ------
    ConfigError
        If an entry is missing or unknown.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        limits = {name: _limit(**entry) for name, entry in content["limits"].items()}
        if sorted(limits) != sorted(FIGURES):
            raise ConfigError(f"{path}: limits are needed for {', '.join(FIGURES)}; got {', '.join(limits)}.")
        return Thresholds(
            fixed_on=str(content["fixed_on"]),
            fixed_by=content["fixed_by"],
            at_fraction=float(content["at_fraction"]),
            negligible=float(content["negligible"]),
            fewest_units=int(content["fewest_units"]),
            fewest_sets=int(content["fewest_sets"]),
            limits=limits,
        )
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: {error} is missing or unknown; needed are fixed_on, fixed_by, at_fraction, negligible, "
            "fewest_units, fewest_sets, and limits, each with at_most or at_least."
        ) from None


def _limit(at_most: float | None = None, at_least: float | None = None) -> Limit:
    if at_most is not None and at_least is None:
        return Limit(sense="at_most", value=float(at_most))
    if at_least is not None and at_most is None:
        return Limit(sense="at_least", value=float(at_least))
    raise TypeError("a limit with both or none of at_most and at_least")
