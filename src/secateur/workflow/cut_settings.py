"""How a model is made small, whatever its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from secateur.core.errors import ConfigError, PlanError
from secateur.core.typed import typed
from secateur.methods.base import Method
from secateur.methods.floor import NO_FLOORS, Floors
from secateur.methods.registered import changes_weights, method_of
from secateur.methods.settings import (
    ALL_STAGES,
    STAGE_NAMES,
    STAGE_OF,
    CascadeSettings,
    CutUnit,
    RoundsSettings,
    SearchSettings,
    StageName,
)
from secateur.recovery.settings import Adapter, StudentSettings
from secateur.scoring.registered import CRITERIA
from secateur.structure.budget import Budget
from secateur.structure.latency import LatencyLimit, LatencyTable
from secateur.structure.memory import RUNTIME_MIB, LoadPrecision, MemoryLimit
from secateur.structure.target import Limit
from secateur.tasks.text_data import RANKING_SAMPLES, TEXT_TASKS, TextData, TextTaskName

WITHOUT_DATA = ("nothing", "weights")
"""What criteria need that take no samples."""

HELD_OUT = 0.1
"""Share of the data that choices are made by, and again that the result is judged by."""

LEARNING_RATES: Mapping[Adapter, Mapping[TextTaskName, float]] = {
    "full": {"text": 3e-4, "answers": 3e-4, "labels": 5e-5, "embeddings": 5e-5},
    "lora": dict.fromkeys(TEXT_TASKS, 1e-3),
}
"""Of recovery. Low-rank updates take larger steps than whole weights; whole encoders take small ones."""


@dataclass(frozen=True, kw_only=True)
@typed
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
    precision: LoadPrecision = "fp32"
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
@typed
class TextPart:
    """What a cut of a model of tokens is told besides.

    Parameters
    ----------
    data : TextData, optional
        The file by which units are scored and projections re-fitted. By methods that change weights the
        result is judged on it.
    task : {"text", "answers", "labels", "embeddings"}, optional
        What the file holds; default: what the model's head is for.
    vocabulary : Path, optional
        Text whose tokens are kept, all others removed. Alone it may be the whole cut.
    control : bool
        Whether the dense model is trained as the cut one is, for comparison; it takes as long again.
    judged : bool
        Whether a part of the data is held out to judge the result by, though nothing is chosen by it.
    seed : int
        Of the random criterion, the choice of calibration blocks and the recovery.
    """

    data: TextData | None = None
    task: TextTaskName | None = None
    vocabulary: Path | None = None
    control: bool = True
    judged: bool = False
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
@typed
class CutSettings:
    """How a model is made small, whatever its task; made from options by :mod:`.cut_options`.

    Parameters
    ----------
    method : str
        Name of a registered method.
    ratio : float, optional
        Dense over remaining parameters of the whole model. All targets that are given must hold.
    block_fraction : float, optional
        Share of the parameters of the blocks to remove; in place of a ratio.
    max_parameters : int, optional
        Parameters that may remain.
    device : DeviceLimits, optional
        Latency and memory of a Diagnoser.
    search : SearchSettings
        How units are scored and the depth is chosen; with a shape by hand, that shape is the target.
    order, recovery_shares
        Of the cascade, see :class:`secateur.methods.settings.CascadeSettings`.
    units : tuple of {"group", "head", "channel"}, optional
        What is cut of each block, by rounds and the cascade; default: see
        :func:`secateur.methods.rounds.kinds_to_cut`, and all but heads.
    rounds, uniform
        Of rounds, see :class:`secateur.methods.settings.RoundsSettings`.
    floors : Floors
        Below which a stage is undone, by rounds and the cascade.
    recovery : StudentSettings, optional
        Gradient steps behind the cut; none by default.
    text : TextPart, optional
        What goes with a model of tokens; None for Diagnosers.

    Raises
    ------
    ConfigError
        If there is no data for what is measured on data, or a name is unknown.
    PlanError
        If nothing is to be cut, both ratio and fraction are given, or a number is out of range.
    """

    method: str = "cascade"
    ratio: float | None = None
    block_fraction: float | None = None
    max_parameters: int | None = None
    device: DeviceLimits | None = None
    search: SearchSettings = field(default_factory=SearchSettings)
    order: tuple[StageName, ...] = STAGE_NAMES
    recovery_shares: tuple[float, ...] | None = None
    units: tuple[CutUnit, ...] | None = None
    rounds: int = 1
    uniform: bool = False
    floors: Floors = NO_FLOORS
    recovery: StudentSettings | None = None
    text: TextPart | None = None

    def __post_init__(self) -> None:
        if self.changes_weights and self.ratio is None:
            raise PlanError(f"method '{self.method}' goes by a ratio; give --ratio.")
        if not self.cuts_blocks and (self.text is None or self.text.vocabulary is None):
            raise PlanError(
                "nothing is to be cut; give --ratio, --block-fraction, --memory-mib or a shape by hand "
                "(--layers, --heads and --channels), or cut tokens alone (--vocabulary)."
            )
        if self.ratio is not None and self.block_fraction is not None:
            raise PlanError("both --ratio and --block-fraction were given; give one of them.")
        if self.block_fraction is not None and not 0 < self.block_fraction < 1:
            raise PlanError(f"--block-fraction must lie between 0 and 1; got {self.block_fraction}.")
        for name in ("ratio", "max_parameters"):
            if (value := getattr(self, name)) is not None:
                Budget(**{name: value})
        if self.units is not None and len(set(self.units)) < max(1, len(self.units)):
            said = f"units are {', '.join(self.units)}" if self.units else "no units are to be cut"
            raise ConfigError(f"{said}; give some of {', '.join(STAGE_OF)}, each once, or leave them out.")
        if self.search.hand is not None:
            self._require_hand_alone()
        _ = self.chosen_method
        if self.method == "scratch" and self.recovery is None:
            raise ConfigError("training from scratch needs --recovery-steps or --recovery-minutes.")
        if self.text is not None and self.text.data is None:
            self._require_no_data()

    def _require_hand_alone(self) -> None:
        """Refuse what a shape by hand leaves nothing to say for."""
        said = {
            "--units": self.units is not None,
            "--uniform": self.uniform,
            "--multiple": self.search.multiple is not None,
            "--rounds": self.rounds > 1,
            "order": {*self.order} != {*STAGE_NAMES},
        }
        if wrong := [name for name, is_given in said.items() if is_given]:
            raise ConfigError(
                f"{', '.join(wrong)}: not with a shape by hand, which sets the layers and all widths in one "
                "cut; leave out, or give a size (--ratio) in place of --layers, --heads and --channels."
            )

    def _require_no_data(self) -> None:
        """Refuse what is measured on a file that is not there."""
        if self.recovery is not None:
            raise ConfigError("recovery learns from a text; give --calibration FILE.")
        needs = CRITERIA.get(self.search.criterion).needs
        if self.cuts_blocks and not self.changes_weights and needs not in WITHOUT_DATA:
            free = [name for name in CRITERIA.names() if CRITERIA.get(name).needs in WITHOUT_DATA]
            raise ConfigError(
                f"criterion '{self.search.criterion}' looks at {needs} and needs a text; give --calibration "
                f"FILE, or a criterion without data: {', '.join(f'--criterion {name}' for name in free)}."
            )
        if self.holds_out:
            raise ConfigError(
                f"method '{self.method}' and floors are measured on what is held out of a file or of texts; "
                "give --calibration FILE."
            )

    @property
    def changes_weights(self) -> bool:
        """Whether weights get a compact form, and no unit is removed."""
        return changes_weights(self.method)

    @property
    def cuts_blocks(self) -> bool:
        """Whether more than the vocabulary is cut."""
        targets = (self.ratio, self.block_fraction, self.max_parameters, self.device, self.search.hand)
        return any(target is not None for target in targets)

    @property
    def criterion(self) -> str | None:
        """By which units are scored; None where none is removed."""
        return self.search.criterion if self.cuts_blocks and not self.changes_weights else None

    @property
    def chosen_method(self) -> Method:
        """The method with its settings."""
        order = self.order
        if self.units is not None:
            wanted = {"layers", *(STAGE_OF[kind] for kind in self.units)}
            order = tuple(stage for stage in ALL_STAGES if stage in wanted)
        return method_of(
            self.method,
            cascade=CascadeSettings(
                search=self.search, order=order, recovery_shares=self.recovery_shares, floors=self.floors
            ),
            rounds=RoundsSettings(
                search=self.search,
                rounds=self.rounds,
                kinds=self.units,
                uniform=self.uniform,
                floors=self.floors,
            ),
        )

    @property
    def tokens(self) -> TextPart:
        """What the cut of a model of tokens is told besides, where it is one."""
        assert self.text is not None, "asked for where a model of tokens is cut"
        return self.text

    @property
    def holds_out(self) -> bool:
        """Whether a part of a text is held out, to choose or to judge by."""
        if self.changes_weights or not self.cuts_blocks:
            return self.tokens.data is not None
        chooses = self.recovery is not None or self.method != "rounds" or self.floors != NO_FLOORS
        return self.tokens.judged or chooses

    @property
    def data(self) -> TextData | None:
        """What is read of the calibration file."""
        if (data := self.tokens.data) is None:
            return None
        return replace(data, held_out=HELD_OUT if self.holds_out else 0.0, learns=self.recovery is not None)

    def on(self, task: TextTaskName) -> CutSettings:
        """Return the same for a named task of tokens: samples of its measurements, steps of its recovery."""
        search = replace(self.search, ranking_samples=RANKING_SAMPLES[task])
        recovery = self.recovery
        if recovery is not None:
            recovery = replace(recovery, learning_rate=LEARNING_RATES[recovery.adapter][task])
        return replace(self, search=search, recovery=recovery, text=replace(self.tokens, task=task))
