"""How a ``transformers`` model is to be cut, and what that leaves it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from secateur.blockwise.refit import Target
from secateur.core.errors import ConfigError, PlanError
from secateur.core.seeds import derive
from secateur.methods.base import Method
from secateur.methods.floor import Floors
from secateur.methods.registered import changes_weights, method_of, require_none_of_units
from secateur.methods.rounds import kinds_to_cut as kinds_of_method
from secateur.methods.settings import (
    ALL_STAGES,
    STAGE_NAMES,
    STAGE_OF,
    CascadeSettings,
    HandAllocation,
    RoundsSettings,
    SearchSettings,
    StageName,
)
from secateur.recovery.settings import Adapter, TextRecoverySettings
from secateur.scoring.allocation import WidthKind
from secateur.scoring.registered import CRITERIA, TEXT_CRITERION
from secateur.structure.budget import Budget
from secateur.structure.counting import block_parameters, parameters, shape_parameters
from secateur.structure.plan import PruningPlan
from secateur.tasks.reading import (
    CALIBRATION_BLOCKS,
    RANKING_SAMPLES,
    TEXT_TASKS,
    TextData,
    TextTaskName,
)
from secateur.training.settings import require_choice

WITHOUT_DATA = ("nothing", "weights")
HELD_OUT = 0.1
"""Share of the data that choices are made by, and again that the result is judged by."""

NOT_FOR_WEIGHTS = {
    "block_fraction": "--block-fraction",
    "max_parameters": "--memory-mib",
    "criterion": "--criterion",
    "vocabulary": "--vocabulary",
    "units": "--units",
    "uniform": "--uniform",
    "multiple": "--multiple",
    "rounds": "--rounds",
    "hand": "--layers, --heads, --channels",
    "calibration_blocks": "--calibration-blocks",
    "general_share": "--general-share",
    "floors": "--min-accuracy, --max-perplexity-ratio",
    "recovery_steps": "--recovery-steps",
    "recovery_minutes": "--recovery-minutes",
}
"""What says nothing of methods that change weights and leave every shape."""

STEPS_WITHOUT_LIMIT = 100_000
LEARNING_RATES: Mapping[Adapter, float] = {"lora": 1e-3, "full": 3e-4}
"""Low-rank updates take larger steps than whole weights."""


@dataclass(frozen=True, kw_only=True)
class TransformerCut:
    """How a ``transformers`` model is cut.

    Parameters
    ----------
    ratio : float, optional
        Parameters of the model as given over those that remain, embeddings and head included.
    block_fraction : float, optional
        Share of the parameters of the blocks to remove; in place of a ratio.
    max_parameters : int, optional
        Parameters that may remain; holds beside a ratio or fraction.
    criterion : str, optional
        Name of a registered criterion; default for methods that remove units: ``surgeon``.
    calibration : Path, optional
        Text in UTF-8 by which units are scored and output projections re-fitted. By methods that change
        weights the result is judged on it.
    vocabulary : Path, optional
        Text whose tokens are kept, all others removed. Alone it may be the whole cut.
    units : tuple of {"group", "head", "channel"}, optional
        What is cut of the blocks, by the methods "rounds" and "cascade"; default: see :func:`kinds_to_cut`,
        and all but heads.
    uniform : bool
        Equal widths in all layers.
    multiple : int, optional
        Multiple to which channels are rounded.
    calibration_blocks : int
        Blocks of text to score on, of 256 tokens (fewer where the model has fewer positions).
    refit_blocks : int, optional
        Blocks to re-fit on; default: four times as many.
    general_share : float
        Share of both that is taken from a general text; running text only. See
        :mod:`secateur.models.general_text`.
    general_text : Path, optional
        In place of the one that ships with the package.
    refit_target : {"stream", "projection"}
        See :func:`secateur.blockwise.refit.refit`.
    task : {"text", "answers", "labels", "embeddings"}, optional
        What the calibration file holds; default: what the model's head is for.
    method : str
        Name of a registered method.
    rounds : int
        Rounds of scoring, cutting and re-fitting, by the method "rounds".
    hand : HandAllocation, optional
        A shape chosen by hand.
    floors : Floors
        Below which a stage is undone.
    order, recovery_shares
        See :class:`secateur.methods.settings.CascadeSettings`.
    max_depths : int
        Candidate depths that are probed, at most.
    recovery_steps : int
        Optimiser steps on the training part of the data, at most.
    recovery_minutes : float, optional
        Time for these steps; alone it is the only limit.
    recovery_adapter : {"full", "lora"}
        Whether all weights are trained, or low-rank updates, which take a fraction of the memory.
    recovery_control : bool
        Whether the dense model is trained alike, for comparison; it takes as long again.
    judged : bool
        Whether a part of the data is held out to judge the result by, though nothing is chosen by it.
    seed : int
        Of the random criterion, the choice of calibration blocks and the recovery.

    Raises
    ------
    ConfigError
        If a criterion needs calibration and there is none, or it is unknown.
    PlanError
        If both ratio and fraction are given, nothing is to be cut, or a number is out of range.
    """

    ratio: float | None = None
    block_fraction: float | None = None
    max_parameters: int | None = None
    criterion: str | None = None
    calibration: Path | None = None
    vocabulary: Path | None = None
    units: tuple[WidthKind, ...] | None = None
    uniform: bool = False
    multiple: int | None = None
    calibration_blocks: int = CALIBRATION_BLOCKS
    refit_blocks: int | None = None
    general_share: float = 0.0
    general_text: Path | None = None
    refit_target: Target = "stream"
    task: TextTaskName | None = None
    method: str = "rounds"
    rounds: int = 1
    hand: HandAllocation | None = None
    floors: Floors = field(default_factory=Floors)
    order: tuple[StageName, ...] = STAGE_NAMES
    recovery_shares: tuple[float, ...] | None = None
    max_depths: int = 3
    recovery_steps: int = 0
    recovery_minutes: float | None = None
    recovery_adapter: Adapter = "full"
    recovery_control: bool = True
    judged: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.changes_weights:
            self._require_of_weights()
        elif self.criterion is None:
            object.__setattr__(self, "criterion", TEXT_CRITERION)
        if self.task is not None and self.task not in TEXT_TASKS:
            raise ConfigError(f"unknown task '{self.task}'; allowed: {', '.join(TEXT_TASKS)}.")
        if self.general_share and self.calibration is None:
            raise ConfigError("--general-share mixes into a calibration text; give --calibration FILE too.")
        if self.general_text is not None and not self.general_share:
            raise ConfigError("--general-text is a text to mix in; say how much by --general-share.")
        needs = None if self.criterion is None else CRITERIA.get(self.criterion).needs
        if self.calibration is None and needs not in (None, *WITHOUT_DATA) and self.cuts_blocks:
            free = [name for name in CRITERIA.names() if CRITERIA.get(name).needs in WITHOUT_DATA]
            raise ConfigError(
                f"criterion '{self.criterion}' looks at {needs} and needs a text; give --calibration FILE, "
                f"or a criterion without data: {', '.join(f'--criterion {name}' for name in free)}."
            )
        if self.ratio is not None and self.block_fraction is not None:
            raise PlanError("both --ratio and --block-fraction were given; give one of them.")
        if not self.cuts_blocks and self.vocabulary is None:
            raise PlanError(
                "nothing is to be cut; give --ratio, --block-fraction, --memory-mib or --vocabulary."
            )
        if self.ratio is not None:
            Budget(ratio=self.ratio)
        if self.max_parameters is not None:
            Budget(max_parameters=self.max_parameters)
        if self.calibration is not None:
            object.__setattr__(self, "refit_blocks", self.data().fitted_blocks)
        if self.units is not None and (not self.units or not set(self.units) <= set(STAGE_OF)):
            raise ConfigError(f"units are {self.units}; allowed: 'group', 'head', 'channel', or several.")
        _ = self.chosen_method
        if self.recovers and self.calibration is None:
            raise ConfigError("recovery learns from a text; give --calibration FILE.")
        if self.calibration is None and self.measures:
            raise ConfigError(
                f"method '{self.method}' and floors are measured on data; give --calibration FILE."
            )
        in_rounds = {"--uniform": self.uniform, "--rounds": self.rounds > 1}
        in_rounds["--units"] = self.units is not None and self.method != "cascade"
        if self.method != "rounds" and (wrong := [name for name, value in in_rounds.items() if value]):
            raise ConfigError(f"{', '.join(wrong)}: not for method '{self.method}'; leave out.")
        if self.floors != Floors() and self.method not in ("rounds", "cascade"):
            raise ConfigError(
                f"a floor needs stages to go back to, which '{self.method}' has not; leave it out."
            )
        require_choice("recovery_adapter", self.recovery_adapter, Adapter)
        if self.method == "scratch" and not self.recovers:
            raise ConfigError("training from scratch needs --recovery-steps or --recovery-minutes.")
        if self.block_fraction is not None and not 0 < self.block_fraction < 1:
            raise PlanError(f"--block-fraction must lie between 0 and 1; got {self.block_fraction}.")

    def _require_of_weights(self) -> None:
        """Refuse what only removing units has a use for."""
        usual = {entry.name: entry.default for entry in fields(self)} | {"floors": Floors()}
        given = {said: getattr(self, name) != usual[name] for name, said in NOT_FOR_WEIGHTS.items()}
        require_none_of_units(self.method, given)
        if self.ratio is None:
            raise PlanError(f"method '{self.method}' goes by a ratio; give --ratio.")

    @property
    def changes_weights(self) -> bool:
        """Whether weights get a compact form, and no unit is removed."""
        return changes_weights(self.method)

    @property
    def recovers(self) -> bool:
        """Whether the cut model is trained."""
        return self.recovery_steps > 0 or self.recovery_minutes is not None

    @property
    def cuts_blocks(self) -> bool:
        """Whether more than the vocabulary is cut."""
        targets = (self.ratio, self.block_fraction, self.max_parameters, self.hand)
        return any(target is not None for target in targets)

    @property
    def measures(self) -> bool:
        """Whether choices are made on samples that are held out for it."""
        if self.changes_weights:
            return self.calibration is not None
        return self.judged or self.recovers or self.method != "rounds" or self.floors != Floors()

    def data(self) -> TextData:
        """Return what is read of the calibration file, where there is one."""
        assert self.calibration is not None, "asked for where a calibration file is given"
        return TextData(
            path=self.calibration,
            blocks=self.calibration_blocks,
            refit_blocks=self.refit_blocks,
            general_share=self.general_share,
            general_text=self.general_text,
            held_out=HELD_OUT if self.measures else 0.0,
            learns=self.recovers,
            seed=self.seed,
        )

    @property
    def search(self) -> SearchSettings:
        """How units are scored and the depth is chosen.

        Passes of language models take long: no gradient steps before a probe is judged, few samples to rank
        layers on, and few layers measured again.
        """
        return SearchSettings(
            criterion=self.criterion or TEXT_CRITERION,
            multiple=self.multiple,
            hand=self.hand,
            max_depths=self.max_depths,
            probe_steps=0,
            ranking_samples=RANKING_SAMPLES[self.task or "text"],
            layer_candidates=6,
            refit_target=self.refit_target,
        )

    @property
    def _stages_of_units(self) -> tuple[StageName, ...]:
        wanted = {STAGE_OF[kind] for kind in self.units or ()}
        return tuple(stage for stage in ALL_STAGES if stage == "layers" or stage in wanted)

    @property
    def chosen_method(self) -> Method:
        """The method with its settings."""
        cascade = CascadeSettings(
            search=self.search,
            order=self.order if self.units is None else self._stages_of_units,
            recovery_shares=self.recovery_shares,
            floors=self.floors,
        )
        rounds = RoundsSettings(
            search=self.search,
            rounds=self.rounds,
            kinds=self.units,
            uniform=self.uniform,
            floors=self.floors,
        )
        return method_of(self.method, cascade=cascade, rounds=rounds)

    @property
    def recovery(self) -> TextRecoverySettings | None:
        """Settings of the gradient steps; None for none."""
        if not self.recovers:
            return None
        return TextRecoverySettings(
            adapter=self.recovery_adapter,
            learning_rate=LEARNING_RATES[self.recovery_adapter],
            max_steps=self.recovery_steps or STEPS_WITHOUT_LIMIT,
            max_minutes=self.recovery_minutes,
            seed=derive(self.seed, "recovery"),
        )


def budget_of(cut: TransformerCut, tokens_cut: PruningPlan) -> Budget | None:
    """Return :func:`target_parameters` as a budget; None where the shape is chosen by hand alone.

    Methods that change weights count in units of their own; theirs is the ratio.
    """
    if cut.changes_weights:
        return Budget(ratio=cut.ratio)
    if (cut.ratio, cut.block_fraction, cut.max_parameters) == (None, None, None):
        return None
    return Budget(max_parameters=target_parameters(cut, tokens_cut))


def target_parameters(cut: TransformerCut, tokens_cut: PruningPlan) -> int:
    """Return the parameters that may remain while the vocabulary is still whole.

    Parameters
    ----------
    cut : TransformerCut
    tokens_cut : PruningPlan
        The plan that removes nothing but tokens.

    Raises
    ------
    PlanError
        If the size is out of reach; the message names the largest ratio that is not.
    """
    family, shape = tokens_cut.family, tokens_cut.shape
    dense = shape_parameters(family, shape)
    tokens = dense - parameters(tokens_cut)
    narrowest = PruningPlan.identity(family, shape)
    if cut.method != "rounds" and len(shape.stack_sizes) == 1:
        narrowest = narrowest.without_layers(range(1, shape.n_layers))
    for layer in narrowest.layers:
        narrowest = narrowest.with_groups(layer.index, [0]).with_channels(layer.index, [0])
    smallest = parameters(narrowest) - tokens
    allowed = []
    if cut.ratio is not None:
        allowed.append((Budget(ratio=cut.ratio).target_parameters(dense), f"ratio {cut.ratio:g}"))
    if cut.max_parameters is not None:
        limit = Budget(max_parameters=cut.max_parameters).target_parameters(dense)
        allowed.append((limit, f"a limit of {cut.max_parameters:,} parameters"))
    if cut.block_fraction is not None:
        removed = math.ceil(cut.block_fraction * block_parameters(family, shape))
        allowed.append((dense - removed - tokens, f"block fraction {cut.block_fraction:g}"))
    remaining, wanted = min(allowed)
    if remaining < smallest:
        fraction = int(1000 * (dense - tokens - smallest) / block_parameters(family, shape)) / 1000
        ratio = int(100 * dense / smallest) / 100
        raise PlanError(
            f"{wanted} leaves {remaining:,} of {dense:,} parameters, but with one key/value group and one "
            f"FFN channel in {'each' if len(narrowest.layers) == shape.n_layers else 'one'} layer "
            f"{smallest:,} stay, {shape.other_parameters - tokens:,} of them outside the blocks. The largest "
            f"ratio that can be reached is {ratio:.2f} "
            f"(block fraction {fraction:g}); ask for less"
            + (", or cut the vocabulary too (--vocabulary)." if shape.vocabulary and not tokens else ".")
        )
    return remaining + tokens


def kinds_to_cut(cut: TransformerCut, identity: PruningPlan, target: int) -> tuple[WidthKind, ...]:
    """Return the units that were chosen; else see :func:`secateur.methods.rounds.kinds_to_cut`."""
    return cut.units or kinds_of_method(cut.criterion or TEXT_CRITERION, identity, target)
