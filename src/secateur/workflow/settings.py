"""Everything that decides the outcome of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from secateur.core.errors import ConfigError, PlanError
from secateur.core.records import to_jsonable
from secateur.methods.registered import changes_weights, require_none_of_units
from secateur.methods.settings import CascadeSettings
from secateur.recovery.settings import RecoverySettings
from secateur.signals.protocols import parse_protocol
from secateur.structure.budget import Budget
from secateur.structure.latency import LatencyLimit, LatencyTable
from secateur.structure.memory import RUNTIME_MIB, MemoryLimit, Precision
from secateur.structure.target import Limit
from secateur.training.settings import FitSettings

DEFAULT_RATIO = 13.8
SNR_CURVE_DB = (-10.0, -6.0, -2.0, 2.0, 6.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What is to be diagnosed.

    Parameters
    ----------
    data : str
        A folder or file of recordings, or ``simulated``.
    split : str
        Protocol, see :data:`secateur.signals.protocols.PROTOCOLS`.
    seed : int
        Of the whole run.
    channel : str, optional
        Name of the channel; by default the first of each recording.
    window_length : int
        Samples a window.
    train_hop, test_hop : int
        Samples from one window to the next; validation windows are cut as test windows are.
    """

    data: str
    split: str
    seed: int = 0
    channel: str | None = None
    window_length: int = 8192
    train_hop: int = 2048
    test_hop: int = 4096

    def __post_init__(self) -> None:
        parse_protocol(self.split)
        for name in ("window_length", "train_hop", "test_hop"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1.")


def windows_of(length: int) -> dict[str, int]:
    """Return the settings of windows of a length: three quarters overlap in training, half in a test."""
    return {"window_length": length, "train_hop": max(1, length // 4), "test_hop": max(1, length // 2)}


@dataclass(frozen=True, kw_only=True)
class DeviceLimits:
    """What the model may cost on the device; all that is given must hold.

    Parameters
    ----------
    latency_ms : float, optional
        From a raw window to probabilities, as the table counts time.
    latency_table : LatencyTable, optional
        What the latency is predicted from; given with it.
    memory_mib : float, optional
        Peak of the process that runs the exported model.
    precision : {"fp32", "int8"}
        Of the weights there.
    runtime_mib : float
        What that process holds without the model.

    Raises
    ------
    ConfigError
        If latency and table do not come together.
    """

    latency_ms: float | None = None
    latency_table: LatencyTable | None = None
    memory_mib: float | None = None
    precision: Precision = "fp32"
    runtime_mib: float = RUNTIME_MIB

    def __post_init__(self) -> None:
        if (self.latency_ms is None) != (self.latency_table is None):
            raise ConfigError(
                "a latency is predicted from a table of this backbone, measured on the device with 'secateur "
                "profile'; give both --latency-ms and --latency-table, or none of them."
            )

    def limits(self, *, window_tokens: int) -> tuple[Limit, ...]:
        """Return the limits for a model of so many tokens a window.

        Raises
        ------
        PlanError
            If a number is out of range, or the table is of other windows.
        """
        found: list[Limit] = []
        if self.latency_ms is not None and self.latency_table is not None:
            if self.latency_table.window_tokens != window_tokens:
                raise PlanError(
                    f"the latency table is of windows of {self.latency_table.window_tokens} tokens, the "
                    f"model makes {window_tokens} of one; measure one for it with 'secateur profile'."
                )
            found.append(LatencyLimit(most=self.latency_ms, table=self.latency_table))
        if self.memory_mib is not None:
            found.append(
                MemoryLimit(
                    most=self.memory_mib,
                    tokens=window_tokens,
                    precision=self.precision,
                    runtime_mib=self.runtime_mib,
                )
            )
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class CutSettings:
    """How the model is made small.

    Parameters
    ----------
    method : str
        Name of a registered method.
    ratio : float, optional
        Dense over remaining parameters, of the whole model; None only with an allocation by hand or limits
        of the device.
    device : DeviceLimits, optional
        Latency and memory, which hold beside the ratio.
    rounds : int
        Of the method of that name.
    cascade : CascadeSettings
        Search, order, shares and floors; other methods use its search and, in rounds, its floors.
    recovery : RecoverySettings
        Gradient recovery.
    """

    method: str = "cascade"
    ratio: float | None = DEFAULT_RATIO
    device: DeviceLimits | None = None
    rounds: int = 1
    cascade: CascadeSettings = field(default_factory=CascadeSettings)
    recovery: RecoverySettings = field(default_factory=RecoverySettings)

    def __post_init__(self) -> None:
        if self.changes_weights:
            self._require_of_weights()
        if self.ratio is None and self.device is None and self.cascade.search.hand is None:
            raise ConfigError(
                "neither a ratio, a latency, a memory nor an allocation by hand was given; give one of them."
            )

    @property
    def changes_weights(self) -> bool:
        """Whether weights get a compact form, and no unit is removed."""
        return changes_weights(self.method)

    def _require_of_weights(self) -> None:
        """Refuse what only removing units has a use for."""
        search = self.cascade.search
        given = {
            "--latency-ms, --memory-mib": self.device is not None,
            "--layers, --heads, --channels": search.hand is not None,
            "--multiple": search.multiple is not None,
            "--min-accuracy": self.cascade.floors.min_accuracy is not None,
            "--recovery-steps": self.recovery.max_steps > 0,
        }
        require_none_of_units(self.method, given)
        if self.ratio is None:
            raise ConfigError(f"method '{self.method}' goes by a ratio; give --ratio.")

    def budget(self, *, window_tokens: int) -> Budget | None:
        """Return ratio and limits of the device as a budget; None where all is chosen by hand.

        Parameters
        ----------
        window_tokens : int
            Tokens that the model makes of a window.

        Raises
        ------
        PlanError
            If a number is out of range, or the latency table is of other windows.
        """
        if self.device is None:
            return None if self.ratio is None else Budget(ratio=self.ratio)
        return Budget(ratio=self.ratio, limits=self.device.limits(window_tokens=window_tokens))


@dataclass(frozen=True, kw_only=True)
class SiaSettings:
    """How far the dense model is checked before it is cut; the structural part is always carried out.

    Parameters
    ----------
    measure : bool
        Whether the measured part is carried out too.
    follow : bool
        Whether the criterion that it recommends takes the place of that of the search.
    evaluations : int
        Passes over the samples. A number, not a time: the same run must choose the same criterion on every
        machine.
    samples : int
        Windows: of the validation part, and where these are too few, of the training part.
    """

    measure: bool = True
    follow: bool = True
    evaluations: int = 120
    samples: int = 64

    def __post_init__(self) -> None:
        for name in ("evaluations", "samples"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1.")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """A whole run of ``secateur compress``.

    Parameters
    ----------
    task : TaskSettings
    backbone : str
        A preset, or a local folder of a supported family.
    fit : FitSettings
        Training of the dense model.
    cut : CutSettings
    snr_curve_db : tuple of float
        Noise levels at which dense and pruned are compared.
    rivals : bool
        Whether the baselines are fitted as well.
    sia : SiaSettings
    """

    task: TaskSettings
    backbone: str = "small-mha"
    fit: FitSettings = field(default_factory=FitSettings)
    cut: CutSettings = field(default_factory=CutSettings)
    snr_curve_db: tuple[float, ...] = SNR_CURVE_DB
    rivals: bool = True
    sia: SiaSettings = field(default_factory=SiaSettings)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return to_jsonable(self)
