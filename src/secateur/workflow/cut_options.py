"""From the options of a cut to its settings; the one place that refuses options which do not fit.

Options go by the names of the parameters of ``secateur compress``, ``secateur prune`` and
:func:`secateur.prune`. What is not among them, or None, was not given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from secateur.core.errors import ConfigError
from secateur.core.seeds import derive
from secateur.methods.floor import Floors
from secateur.methods.registered import changes_weights
from secateur.methods.settings import STAGE_NAMES, HandAllocation, SearchSettings
from secateur.recovery.settings import Adapter, RecoverySettings, TextRecoverySettings
from secateur.scoring.registered import DEFAULT_CRITERION, TEXT_CRITERION
from secateur.structure.latency import read_latency_table
from secateur.structure.memory import RUNTIME_MIB, parameters_within
from secateur.tasks.text_data import CALIBRATION_BLOCKS, RANKING_SAMPLES, TextData
from secateur.training.settings import UNLABELLED_SHARE
from secateur.workflow.cut_settings import LEARNING_RATES, CutSettings, DeviceLimits, TextPart
from secateur.workflow.option_types import CutOptionTypes, require_options

Kind = Literal["recordings", "model"]
Options = Mapping[str, Any]

NAMES: Mapping[Kind, str] = {"recordings": "Diagnosers", "model": "transformers models"}
ONLY_FOR: Mapping[Kind, tuple[str, ...]] = {
    "recordings": (
        "data", "split", "backbone", "channel", "window_length", "snr", "train_steps", "rivals", "batch_size",
        "unlabelled_share", "latency_ms", "latency_table", "runtime_mib",
    ),
    "model": (
        "task", "block_fraction", "max_parameters", "vocabulary", "units", "uniform", "calibration_blocks",
        "refit_blocks", "general_share", "general_text", "max_memory", "recovery_minutes", "recovery_adapter",
        "recovery_control", "max_perplexity_ratio",
    ),
}  # fmt: skip
"""Options that say something of one kind of model alone."""

STAGED = ("cascade", "rounds")
ONLY_BY: Mapping[str, tuple[str, ...]] = {
    "rounds": ("rounds",),
    "uniform": ("rounds",),
    **dict.fromkeys(("units", "floors", "min_accuracy", "max_perplexity_ratio"), STAGED),
    **dict.fromkeys(("order", "recovery_shares"), ("cascade",)),
}
"""Options that some of the methods have a use for."""

OF_UNITS = (
    *ONLY_BY,
    "block_fraction", "max_parameters", "latency_ms", "latency_table", "memory_mib", "runtime_mib",
    "precision", "criterion", "vocabulary", "multiple", "hand", "layers", "heads", "channels",
    "calibration_blocks", "refit_blocks", "general_share", "general_text", "recovery_steps",
    "recovery_minutes", "unlabelled_share",
)  # fmt: skip
"""Options that methods which change weights have no use for."""

GOES_WITH: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("task", "calibration_blocks", "refit_blocks", "general_share", "general_text"), ("calibration",)
    ),
    **dict.fromkeys(("recovery_adapter", "recovery_control"), ("recovery_steps", "recovery_minutes")),
    "precision": ("memory_mib",),
}
"""Options of transformers models that say nothing without one of others."""

SIZES = (
    "ratio", "block_fraction", "max_parameters", "memory_mib", "layers", "heads", "channels", "hand",
)  # fmt: skip
"""Options that ask for a cut of the blocks of transformers models."""

OF_BLOCKS = (
    *ONLY_BY, "method", "criterion", "multiple", "max_depths", "refit_blocks", "refit_target",
)  # fmt: skip
"""Options that say nothing where the vocabulary is the whole cut."""

NOTHING: Options = {"uniform": False, "recovery_steps": 0, "recovery_control": False, "general_share": 0.0}
"""Values that ask for nothing."""

DEFAULT_RATIO = 13.8
RECOVERY_STEPS, WINDOWS_A_STEP = 300, 32
"""Of Diagnosers."""

STEPS_WITHOUT_LIMIT = 100_000


def require_fitting(given: Options, kind: Kind, *, method: str) -> None:
    """Refuse options that say nothing of a kind of model, or nothing to a method.

    Raises
    ------
    ConfigError
        Naming them and, where there are any, the methods that take them.
    """
    names = [name for name, value in given.items() if value is not None and value != NOTHING.get(name)]
    others = {name for other, only in ONLY_FOR.items() if other != kind for name in only}
    if wrong := [_said(name) for name in names if name in others]:
        raise ConfigError(f"{', '.join(wrong)}: not for {NAMES[kind]}; leave out.")
    if changes_weights(method):
        if wrong := [_said(name) for name in names if name in OF_UNITS]:
            raise ConfigError(f"{', '.join(wrong)}: not for method '{method}'; leave out.")
        return
    for name in names:
        if method not in (fitting := ONLY_BY.get(name, (method,))):
            raise ConfigError(
                f"{_said(name)}: not for method '{method}'; leave out, or choose --method "
                f"{' or '.join(fitting)}."
            )


def cuts_tokens_alone(given: Options) -> bool:
    """Return whether options of a transformers model ask for its vocabulary and for no cut of its blocks."""
    return given.get("vocabulary") is not None and all(given.get(size) is None for size in SIZES)


def _require_company(given: Options) -> None:
    """Refuse options that say nothing without one of others, or without a cut of the blocks."""
    wrong = [_said(name) for name in OF_BLOCKS if given.get(name) not in (None, NOTHING.get(name))]
    if wrong and cuts_tokens_alone(given):
        raise ConfigError(
            f"{', '.join(wrong)}: not where the vocabulary is the whole cut; leave out, or cut the blocks "
            "too (--ratio or --block-fraction)."
        )
    if given.get("order") is not None and given.get("units") is not None:
        raise ConfigError("order names what is cut, and --units too; give one of them.")
    for name, others in GOES_WITH.items():
        if given.get(name) in (None, NOTHING.get(name)) or any(given.get(other) for other in others):
            continue
        raise ConfigError(
            f"{_said(name)}: goes with {' or '.join(map(_said, others))}; add one, or leave it out."
        )


def _said(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def cut_of_diagnoser(given: Options, *, learning_rate: float) -> CutSettings:
    """Gather what options say about cutting a Diagnoser.

    Recovery takes steps of the ``learning_rate`` that the dense model was trained with: one that went on
    from a trained model is not to be thrown off by larger ones.

    The default ratio is taken where there is no other target and no shape by hand; defaults of ratio and
    recovery are those of methods that remove units.

    Raises
    ------
    SecateurError
        If an option does not fit, or they contradict each other.
    """
    require_options(given, CutOptionTypes)
    method = _or(given, "method", CutSettings.method)
    require_fitting(given, "recordings", method=method)
    of_units = not changes_weights(method)
    device, hand, ratio = _device_limits(given), _hand(given), given.get("ratio")
    if of_units and ratio is None and device is None and hand is None:
        ratio = DEFAULT_RATIO
    steps = _or(given, "recovery_steps", RECOVERY_STEPS if of_units else 0)
    recovery = None
    if steps:
        recovery = RecoverySettings(
            max_steps=steps,
            batch_size=_or(given, "batch_size", WINDOWS_A_STEP),
            learning_rate=learning_rate,
            unlabelled_share=_or(given, "unlabelled_share", UNLABELLED_SHARE),
        )
    return CutSettings(
        method=method,
        ratio=ratio,
        device=device,
        search=SearchSettings(
            criterion=_or(given, "criterion", DEFAULT_CRITERION), hand=hand, multiple=given.get("multiple")
        ),
        rounds=_or(given, "rounds", 1),
        floors=_floors(given),
        recovery=recovery,
    )


def cut_of_model(**given: Any) -> CutSettings:
    """Gather what options say about cutting a model of tokens.

    Passes of language models take long: no gradient steps before a probe is judged, few samples to rank
    layers on, and few layers measured again.

    Raises
    ------
    SecateurError
        If an option is unknown or does not fit, or they contradict each other.
    """
    require_options(given, CutOptionTypes)
    method, seed = _or(given, "method", "rounds"), _or(given, "seed", 0)
    require_fitting(given, "model", method=method)
    _require_company(given)
    streamed = given.get("max_memory") is not None and given.get("method") is None
    if given.get("memory_mib") is not None:
        given["max_parameters"] = parameters_within(given["memory_mib"], given.get("precision") or "fp32")
    return CutSettings(
        method=method,
        ratio=given.get("ratio"),
        block_fraction=given.get("block_fraction"),
        max_parameters=given.get("max_parameters"),
        search=SearchSettings(
            criterion=_or(given, "criterion", "activation" if streamed else TEXT_CRITERION),
            multiple=given.get("multiple"),
            hand=_hand(given),
            max_depths=_or(given, "max_depths", 3),
            probe_steps=0,
            ranking_samples=RANKING_SAMPLES["text"],
            layer_candidates=6,
            refit_target=_or(given, "refit_target", "stream"),
        ),
        order=tuple(_or(given, "order", STAGE_NAMES)),
        recovery_shares=_or_none(tuple, given.get("recovery_shares")),
        units=_or_none(tuple, given.get("units")),
        rounds=_or(given, "rounds", 1),
        uniform=bool(given.get("uniform")),
        floors=_floors(given),
        recovery=_recovery_of_text(given, seed),
        text=TextPart(
            data=_text(given, seed),
            task=given.get("task"),
            vocabulary=_or_none(Path, given.get("vocabulary")),
            control=given.get("recovery_control") is not False,
            seed=seed,
        ),
    )


def _or(given: Options, name: str, default: Any) -> Any:
    return default if given.get(name) is None else given[name]


def _or_none(kind: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else kind(value)


def _hand(given: Options) -> HandAllocation | None:
    """The shape by hand; None if no part of it was given."""
    parts = {_said(name): given.get(name) for name in ("layers", "heads", "channels")}
    missing = [name for name, value in parts.items() if value is None]
    if len(missing) == len(parts):
        return given.get("hand")
    if given.get("hand") is not None:
        raise ConfigError("the shape was given by hand and by --layers, --heads or --channels; give one.")
    if missing:
        raise ConfigError(
            f"an allocation by hand needs --layers, --heads and --channels; missing: {', '.join(missing)}."
        )
    return HandAllocation(layers=given["layers"], heads=given["heads"], channels=given["channels"])


def _floors(given: Options) -> Floors:
    floors = {name: given.get(name) for name in ("min_accuracy", "max_perplexity_ratio")}
    return given.get("floors") or Floors(**floors)


def _device_limits(given: Options) -> DeviceLimits | None:
    """What a Diagnoser may cost on the device; None if nothing was said of it."""
    latency_ms, table, memory_mib = (given.get(n) for n in ("latency_ms", "latency_table", "memory_mib"))
    if table is not None and latency_ms is None:
        raise ConfigError("--latency-table was given without a latency; add --latency-ms, or leave it out.")
    if latency_ms is not None and table is None:
        raise ConfigError(
            f"--latency-ms {latency_ms:g} needs a table of this backbone, measured on the device: run "
            "'secateur profile' there and give its file as --latency-table."
        )
    if table is not None and not table.is_file():
        raise ConfigError(
            f"--latency-table {table} is no file; measure one with 'secateur profile --out FILE'."
        )
    if memory_mib is None:
        alone = [_said(name) for name in ("precision", "runtime_mib") if given.get(name) is not None]
        if alone:
            raise ConfigError(f"{', '.join(alone)}: goes with --memory-mib; add it, or leave out.")
        if latency_ms is None:
            return None
    return DeviceLimits(
        latency_ms=latency_ms,
        latency_table=None if table is None else read_latency_table(table),
        memory_mib=memory_mib,
        precision=_or(given, "precision", "fp32"),
        runtime_mib=_or(given, "runtime_mib", RUNTIME_MIB),
    )


def _text(given: Options, seed: int) -> TextData | None:
    share, general = given.get("general_share"), given.get("general_text")
    if general is not None and share == 0:
        raise ConfigError("--general-text is a text to mix in; --general-share 0 asks for none.")
    if (path := given.get("calibration")) is None:
        return None
    return TextData(
        path=Path(path) if isinstance(path, str) else path,
        blocks=_or(given, "calibration_blocks", CALIBRATION_BLOCKS),
        refit_blocks=given.get("refit_blocks"),
        general_share=share,
        general_text=_or_none(Path, general),
        seed=seed,
    )


def _recovery_of_text(given: Options, seed: int) -> TextRecoverySettings | None:
    """Steps on the calibration file; a time alone is the only limit."""
    adapter: Adapter = _or(given, "recovery_adapter", "full")
    steps, minutes = given.get("recovery_steps") or 0, given.get("recovery_minutes")
    if not steps and minutes is None:
        return None
    return TextRecoverySettings(
        adapter=adapter,
        learning_rate=LEARNING_RATES[adapter]["text"],
        max_steps=steps or STEPS_WITHOUT_LIMIT,
        max_minutes=minutes,
        seed=derive(seed, "recovery"),
    )
