"""How a ``transformers`` model is to be cut, and what that leaves it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.blockwise.refit import Target
from secateur.core.errors import ConfigError, PlanError
from secateur.recovery.settings import Adapter
from secateur.scoring.allocation import WIDTH_KINDS, WidthKind
from secateur.scoring.equal_widths import FEWEST_CHANNELS
from secateur.scoring.registered import CRITERIA, TEXT_CRITERION
from secateur.structure.budget import Budget
from secateur.structure.counting import block_parameters, parameters, shape_parameters
from secateur.structure.plan import PruningPlan
from secateur.training.settings import require_choice

CALIBRATION_BLOCKS, BLOCK_TOKENS = 32, 256
REFIT_BLOCKS_A_SCORED_ONE = 4
WITHOUT_DATA = ("nothing", "weights")


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
    criterion : str
        Name of a registered criterion.
    calibration : Path, optional
        Text in UTF-8 by which units are scored and output projections re-fitted.
    vocabulary : Path, optional
        Text whose tokens are kept, all others removed. Alone it may be the whole cut.
    units : tuple of {"group", "channel"}, optional
        What is cut of the blocks; default: see :func:`kinds_to_cut`.
    uniform : bool
        Equal widths in all layers.
    multiple : int, optional
        Multiple to which channels are rounded.
    calibration_blocks : int
        Blocks of text to score on, of 256 tokens (fewer where the model has fewer positions).
    refit_blocks : int, optional
        Blocks to re-fit on; default: four times as many.
    refit_target : {"stream", "projection"}
        See :func:`secateur.blockwise.refit.refit`.
    rounds : int
        Rounds of scoring, cutting and re-fitting.
    recovery_steps : int
        Optimiser steps on the calibration text afterwards, at most; causal language models only.
    recovery_minutes : float, optional
        Time for these steps; alone it is the only limit.
    recovery_adapter : {"full", "lora"}
        Whether all weights are trained, or low-rank updates, which take a fraction of the memory.
    recovery_control : bool
        Whether the dense model is trained alike, for comparison; it takes as long again.
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
    criterion: str = TEXT_CRITERION
    calibration: Path | None = None
    vocabulary: Path | None = None
    units: tuple[WidthKind, ...] | None = None
    uniform: bool = False
    multiple: int | None = None
    calibration_blocks: int = CALIBRATION_BLOCKS
    refit_blocks: int | None = None
    refit_target: Target = "stream"
    rounds: int = 1
    recovery_steps: int = 0
    recovery_minutes: float | None = None
    recovery_adapter: Adapter = "full"
    recovery_control: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        needs = CRITERIA.get(self.criterion).needs
        if self.calibration is None and needs not in WITHOUT_DATA and self.cuts_blocks:
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
        if self.refit_blocks is None:
            object.__setattr__(self, "refit_blocks", REFIT_BLOCKS_A_SCORED_ONE * self.calibration_blocks)
        for name in ("calibration_blocks", "refit_blocks", "rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.units is not None and (not self.units or not set(self.units) <= set(WIDTH_KINDS)):
            raise ConfigError(f"units are {self.units}; allowed: 'channel', 'group', or both.")
        if self.uniform and self.units is not None:
            raise ConfigError("--uniform chooses the units itself; leave --units out.")
        if self.uniform and self.rounds > 1:
            raise ConfigError("--uniform cuts in one round; leave --rounds out.")
        require_choice("recovery_adapter", self.recovery_adapter, Adapter)
        if self.recovers and self.calibration is None:
            raise ConfigError("recovery learns from a text; give --calibration FILE.")
        if self.block_fraction is not None and not 0 < self.block_fraction < 1:
            raise PlanError(f"--block-fraction must lie between 0 and 1; got {self.block_fraction}.")

    @property
    def recovers(self) -> bool:
        """Whether the cut model is trained."""
        return self.recovery_steps > 0 or self.recovery_minutes is not None

    @property
    def cuts_blocks(self) -> bool:
        """Whether more than the vocabulary is cut."""
        targets = (self.ratio, self.block_fraction, self.max_parameters)
        return any(target is not None for target in targets)


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
            f"FFN channel in each layer {smallest:,} stay, {shape.other_parameters - tokens:,} of them "
            f"outside the blocks. The largest ratio that can be reached is {ratio:.2f} "
            f"(block fraction {fraction:g}); ask for less"
            + (", or cut the vocabulary too (--vocabulary)." if shape.vocabulary and not tokens else ".")
        )
    return remaining + tokens


def block_tokens(config: Any) -> int:
    """Return the tokens of one block of calibration text, at most as many as the model has positions."""
    return min(BLOCK_TOKENS, getattr(config, "max_position_embeddings", None) or BLOCK_TOKENS)


def kinds_to_cut(cut: TransformerCut, identity: PruningPlan, target: int) -> tuple[WidthKind, ...]:
    """Return the units that were chosen; else channels, and groups where they should go too.

    The surgeon weighs both alike, and where query heads share keys a ranking of both leaves a better model.
    In large cuts groups look cheaper than they are to criteria of first order, and to magnitude always; so
    these cut them only where fewer than an eighth of the channels would stay otherwise.
    """
    if cut.units is not None:
        return cut.units
    if cut.criterion == "surgeon" and identity.shape.shares_keys:
        return ("group", "channel")
    plan = identity
    for layer in identity.layers:
        fewest = max(1, int(len(layer.channels) * FEWEST_CHANNELS))
        plan = plan.with_channels(layer.index, layer.channels[:fewest])
    return ("channel",) if parameters(plan) <= target else ("group", "channel")
