"""Options of a cut and what each may be, as the command line and Python give them."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from secateur.blockwise.refit import Target as RefitTarget
from secateur.core.errors import ConfigError
from secateur.core.typed import require_types
from secateur.methods.floor import Floors
from secateur.methods.settings import CutUnit, HandAllocation, StageName
from secateur.models.tables import Table
from secateur.recovery.settings import Adapter
from secateur.tasks.text_data import TextTaskName


class LiveOptionTypes(TypedDict, total=False):
    """Options of :func:`secateur.prune`; None is not given.

    What a name means is told by ``secateur prune --help``. Names without an option of the command line:
    ``floors``, ``hand``, ``order``, ``recovery_shares``, ``refit_blocks``, ``refit_target`` and
    ``max_depths``.
    """

    # how small
    ratio: float | None
    block_fraction: float | None
    max_parameters: int | None
    memory_mib: float | None
    precision: Literal["fp32", "fp16", "bf16", "int8", "int4"] | None
    hand: HandAllocation | None
    layers: int | None
    heads: int | None
    channels: int | None
    # by what
    method: str | None
    criterion: str | None
    units: Sequence[CutUnit] | None
    uniform: bool | None
    multiple: int | None
    rounds: int | None
    order: Sequence[StageName] | None
    max_depths: int | None
    refit_target: RefitTarget | None
    floors: Floors | None
    min_accuracy: float | None
    max_perplexity_ratio: float | None
    seed: int | None
    # on what
    calibration_blocks: int | None
    refit_blocks: int | None
    general_share: float | None
    general_text: str | Path | None
    # recovery
    recovery_steps: int | None
    recovery_minutes: float | None
    recovery_adapter: Adapter | None
    recovery_shares: Sequence[float] | None


class CutOptionTypes(LiveOptionTypes, total=False):
    """Options of a cut as ``secateur compress`` and ``secateur prune`` give them."""

    task: TextTaskName | None
    calibration: str | Path | Table | None
    max_memory: str | None
    vocabulary: str | Path | None  # cuts the tokenizer too, and so a folder alone
    recovery_control: bool | None
    # of Diagnosers
    data: str | None
    split: str | None
    channel: str | None
    window_length: int | None
    snr: str | None
    backbone: str | None
    train_steps: int | None
    rivals: bool | None
    batch_size: int | None
    unlabelled_share: float | None
    latency_ms: float | None
    latency_table: Path | None
    runtime_mib: float | None


def require_options(given: Mapping[str, Any], declared: type) -> None:
    """Check names and types of options.

    Raises
    ------
    ConfigError
        If a name is unknown, or a value is of another type.
    """
    known = typing.get_type_hints(declared)
    if unknown := sorted({*given} - {*known}):
        raise ConfigError(f"unknown options: {', '.join(unknown)}; allowed: {', '.join(sorted(known))}.")
    require_types(given, declared)
