"""From options to the settings of a cut of a transformers model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secateur.cli.settings import hand_allocation
from secateur.core.errors import ConfigError
from secateur.methods.floor import Floors
from secateur.structure.memory import parameters_within
from secateur.tasks.reading import CALIBRATION_BLOCKS
from secateur.workflow.transformer_settings import TransformerCut


def model_cut(given: Mapping[str, Any]) -> TransformerCut:
    """Gather what the options say.

    Parameters
    ----------
    given : mapping
        By the name of the parameter; None where an option was not given.

    Raises
    ------
    ConfigError, PlanError
        If they contradict each other.
    """
    streamed = given.get("max_memory") is not None and given["method"] is None
    return TransformerCut(
        ratio=given["ratio"],
        block_fraction=given["block_fraction"],
        max_parameters=_weights_within(given["memory_mib"], given["precision"]),
        criterion=given["criterion"] or ("activation" if streamed else None),
        calibration=given["calibration"],
        vocabulary=given["vocabulary"],
        task=given["task"],
        method=given["method"] or "rounds",
        hand=hand_allocation(given["layers"], given["heads"], given["channels"]),
        floors=Floors(min_accuracy=given["min_accuracy"], max_perplexity_ratio=given["max_perplexity_ratio"]),
        units=given["units"],
        uniform=bool(given["uniform"]),
        multiple=given["multiple"],
        calibration_blocks=given["calibration_blocks"] or CALIBRATION_BLOCKS,
        general_share=given["general_share"] or 0.0,
        general_text=given["general_text"],
        rounds=given["rounds"] or 1,
        recovery_steps=given["recovery_steps"] or 0,
        recovery_minutes=given["recovery_minutes"],
        recovery_adapter=given["recovery_adapter"] or "full",
        recovery_control=given["recovery_control"] is not False,
        seed=given["seed"] or 0,
    )


def _weights_within(memory_mib: float | None, precision: str | None) -> int | None:
    if memory_mib is not None:
        return parameters_within(memory_mib, precision or "fp32")
    if precision is not None:
        raise ConfigError("--precision: goes with --memory-mib; add it, or leave out.")
    return None
