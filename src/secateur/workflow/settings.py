"""Everything that decides the outcome of a run on recordings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from secateur.core.errors import ConfigError
from secateur.core.records import to_jsonable
from secateur.core.typed import typed
from secateur.signals.protocols import parse_protocol
from secateur.signals.windows import WINDOW_LENGTH
from secateur.training.settings import FitSettings
from secateur.workflow.cut_settings import CutSettings

SNR_CURVE_DB = (-10.0, -6.0, -2.0, 2.0, 6.0, 10.0)


@dataclass(frozen=True, kw_only=True)
@typed
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
    window_length: int = WINDOW_LENGTH
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
@typed
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
@typed
class RunSettings:
    """A whole run of ``secateur compress``.

    Parameters
    ----------
    task : TaskSettings
    backbone : str
        A preset, or a local folder of a supported family.
    cut : CutSettings
    fit : FitSettings
        Training of the dense model.
    snr_curve_db : tuple of float
        Noise levels at which dense and pruned are compared.
    rivals : bool
        Whether the baselines are fitted as well.
    sia : SiaSettings
    """

    task: TaskSettings
    cut: CutSettings
    backbone: str = "small-mha"
    fit: FitSettings = field(default_factory=FitSettings)
    snr_curve_db: tuple[float, ...] = SNR_CURVE_DB
    rivals: bool = True
    sia: SiaSettings = field(default_factory=SiaSettings)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return to_jsonable(self)
