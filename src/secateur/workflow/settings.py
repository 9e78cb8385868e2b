"""Everything that decides the outcome of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from secateur.core.errors import ConfigError
from secateur.core.records import to_jsonable
from secateur.methods.registered import METHODS
from secateur.methods.settings import CascadeSettings
from secateur.recovery.settings import RecoverySettings
from secateur.signals.protocols import parse_protocol
from secateur.training.settings import FitSettings

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


@dataclass(frozen=True, kw_only=True)
class CutSettings:
    """How the model is made small.

    Parameters
    ----------
    method : str
        Name of a registered method.
    ratio : float, optional
        Dense over remaining parameters, of the whole model; None only with an allocation by hand.
    cascade : CascadeSettings
        Search, order, shares and floor; one-shot methods use its search alone.
    recovery : RecoverySettings
        Gradient recovery.
    """

    method: str = "cascade"
    ratio: float | None = 13.8
    cascade: CascadeSettings = field(default_factory=CascadeSettings)
    recovery: RecoverySettings = field(default_factory=RecoverySettings)

    def __post_init__(self) -> None:
        METHODS.get(self.method)
        if self.ratio is None and self.cascade.search.hand is None:
            raise ConfigError("neither a ratio nor an allocation by hand was given; give one of them.")


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
