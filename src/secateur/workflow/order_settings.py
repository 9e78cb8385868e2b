"""What decides the outcome of a comparison of orders."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

from secateur.core.errors import ConfigError
from secateur.core.records import to_jsonable
from secateur.core.typed import typed
from secateur.methods.settings import STAGE_NAMES, CascadeSettings, SearchSettings, StageName
from secateur.recovery.settings import RecoverySettings
from secateur.training.settings import FitSettings
from secateur.workflow.settings import SNR_CURVE_DB, TaskSettings

ORDERS: dict[str, tuple[StageName, ...]] = {"-".join(order): order for order in permutations(STAGE_NAMES)}
"""All six orders by name, the coarse-to-fine one first."""

COARSE_TO_FINE = "-".join(STAGE_NAMES)
JOINT = "joint"
"""One cut of all three granularities by scores of the dense model, all recovery behind it."""

DENSE_CONTROL = "dense"
"""The dense model with the same recovery, uncut."""

ARMS = (*ORDERS, JOINT, DENSE_CONTROL)


@dataclass(frozen=True, kw_only=True)
@typed
class OrderSettings:
    """A comparison of the six orders and the joint cut over several seeds.

    Parameters
    ----------
    task : TaskSettings
        Its seed is the first; ``n_seeds`` in a row are run.
    backbone : str
        A preset, or a local folder of a supported family.
    ratio : float
        Dense over remaining parameters, of the whole model.
    n_seeds : int
        A paired test on ``n`` seeds by flipping signs has no p-value below ``2 / 2**n``.
    fit : FitSettings
        Training of the dense models.
    search : SearchSettings
        Scoring and choice of depth, the same for all.
    recovery_shares : tuple of float
        Share of the recovery steps of each stage, the same for all orders.
    recovery : RecoverySettings
        ``max_steps`` is the total of every order, of the joint cut and of the dense control. None of them
        stops early.
    snr_curve_db : tuple of float
        Noise levels of the test windows over which figures are averaged; empty judges clean windows only.
    probe_windows : int
        Training windows from which the probes of the information learn.
    """

    task: TaskSettings
    backbone: str = "small-mha"
    ratio: float = 13.8
    n_seeds: int = 5
    fit: FitSettings = field(default_factory=FitSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    recovery_shares: tuple[float, ...] = CascadeSettings().shares
    recovery: RecoverySettings = field(default_factory=RecoverySettings)
    snr_curve_db: tuple[float, ...] = SNR_CURVE_DB
    probe_windows: int = 600

    def __post_init__(self) -> None:
        if self.n_seeds < 1 or self.probe_windows < 2:
            raise ConfigError(
                f"{self.n_seeds} seeds and {self.probe_windows} windows for the probes were asked for; at "
                "least 1 seed and 2 windows are needed."
            )
        if self.search.hand is not None:
            raise ConfigError("an allocation by hand leaves orders little to decide; give a ratio instead.")
        self.cascade(STAGE_NAMES)
        object.__setattr__(self, "recovery", replace(self.recovery, patience=self.recovery.max_steps))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, from that of the task on."""
        return tuple(range(self.task.seed, self.task.seed + self.n_seeds))

    @property
    def levels_db(self) -> tuple[float | None, ...]:
        """Noise levels at which models are judged; None for clean windows."""
        return self.snr_curve_db or (None,)

    def cascade(self, order: tuple[StageName, ...]) -> CascadeSettings:
        """Return the settings of the cascade in one order."""
        return CascadeSettings(search=self.search, order=order, recovery_shares=self.recovery_shares)

    def of_seed(self, seed: int) -> TaskSettings:
        """Return the task with one seed."""
        return replace(self.task, seed=seed)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return to_jsonable(self)
