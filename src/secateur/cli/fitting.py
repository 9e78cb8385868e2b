"""Which options go with recordings and which with models of text; the one place that refuses the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from secateur.core.errors import ConfigError

Kind = Literal["recordings", "model"]

ONLY_FOR: Mapping[str, Kind] = {
    **dict.fromkeys(
        (
            "data",
            "split",
            "backbone",
            "channel",
            "window_length",
            "snr",
            "train_steps",
            "rivals",
            "batch_size",
            "latency_ms",
            "latency_table",
            "runtime_mib",
        ),
        "recordings",
    ),
    **dict.fromkeys(
        (
            "task",
            "block_fraction",
            "vocabulary",
            "units",
            "uniform",
            "calibration_blocks",
            "general_share",
            "general_text",
            "max_memory",
            "recovery_minutes",
            "recovery_adapter",
            "recovery_control",
            "max_perplexity_ratio",
            "text",
            "context",
            "stride",
            "pairs",
        ),
        "model",
    ),
}
NAMES: Mapping[Kind, str] = {
    "recordings": "Diagnosers",
    "model": "transformers models",
}


def require_fitting(given: Mapping[str, Any], kind: Kind) -> None:
    """Refuse options that say nothing of this kind of model.

    Parameters
    ----------
    given : mapping
        By the name of the parameter; None where an option was not given.
    kind : {"recordings", "model"}

    Raises
    ------
    ConfigError
        Naming the options.
    """
    wrong = [
        f"--{name.replace('_', '-')}"
        for name, value in given.items()
        if value is not None and ONLY_FOR.get(name, kind) != kind
    ]
    if wrong:
        raise ConfigError(f"{', '.join(wrong)}: not for {NAMES[kind]}; leave out.")
