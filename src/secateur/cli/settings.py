"""From options to settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secateur.core.errors import ConfigError
from secateur.methods.floor import Floors
from secateur.methods.registered import changes_weights, require_none_of_units
from secateur.methods.settings import CascadeSettings, HandAllocation, SearchSettings
from secateur.recovery.settings import RecoverySettings
from secateur.scoring.registered import DEFAULT_CRITERION
from secateur.structure.latency import read_latency_table
from secateur.structure.memory import RUNTIME_MIB, Precision
from secateur.workflow.settings import DEFAULT_RATIO, CutSettings, DeviceLimits

RECOVERY_STEPS = 300
"""Of Diagnosers, unless told otherwise."""


def hand_allocation(layers: int | None, heads: int | None, channels: int | None) -> HandAllocation | None:
    """Return the allocation by hand, or None if no part of it was given.

    Raises
    ------
    ConfigError
        If only a part was given.
    """
    if layers is None and heads is None and channels is None:
        return None
    if layers is None or heads is None or channels is None:
        given = {"--layers": layers, "--heads": heads, "--channels": channels}
        missing = [name for name, value in given.items() if value is None]
        raise ConfigError(
            f"an allocation by hand needs --layers, --heads and --channels; missing: {', '.join(missing)}."
        )
    return HandAllocation(layers=layers, heads=heads, channels=channels)


def device_limits(
    *,
    latency_ms: float | None,
    latency_table: Path | None,
    memory_mib: float | None,
    precision: Precision | None = None,
    runtime_mib: float | None,
) -> DeviceLimits | None:
    """Return what the model may cost on the device, or None if nothing was said of it.

    Raises
    ------
    ConfigError
        If an option was given without the one that it belongs to.
    CheckpointError
        If the table is missing or damaged.
    """
    if latency_table is not None and latency_ms is None:
        raise ConfigError("--latency-table was given without a latency; add --latency-ms, or leave it out.")
    if latency_ms is not None and latency_table is None:
        raise ConfigError(
            f"--latency-ms {latency_ms:g} needs a table of this backbone, measured on the device: run "
            "'secateur profile' there and give its file as --latency-table."
        )
    if latency_table is not None and not latency_table.is_file():
        raise ConfigError(
            f"--latency-table {latency_table} is no file; measure one with 'secateur profile --out FILE'."
        )
    if memory_mib is None:
        alone = {"--precision": precision, "--runtime-mib": runtime_mib}
        if wrong := [name for name, value in alone.items() if value is not None]:
            raise ConfigError(f"{', '.join(wrong)}: goes with --memory-mib; add it, or leave out.")
        if latency_ms is None:
            return None
    return DeviceLimits(
        latency_ms=latency_ms,
        latency_table=None if latency_table is None else read_latency_table(latency_table),
        memory_mib=memory_mib,
        precision=precision or "fp32",
        runtime_mib=RUNTIME_MIB if runtime_mib is None else runtime_mib,
    )


def cut_settings(
    *,
    method: str,
    ratio: float | None,
    device: DeviceLimits | None = None,
    criterion: str | None,
    hand: HandAllocation | None,
    multiple: int | None,
    min_accuracy: float | None,
    recovery_steps: int | None,
    batch_size: int,
    learning_rate: float,
    rounds: int | None = None,
) -> CutSettings:
    """Gather what the options say about cutting.

    Recovery takes steps of the ``learning_rate`` that the dense model was trained with: one that went on
    from a trained model is not to be thrown off by larger ones.

    All targets that are given must hold. The default ratio is taken where there is no other target and no
    allocation by hand; defaults of ratio and recovery are those of methods that remove units.
    """
    of_units = not changes_weights(method)
    if not of_units:
        require_none_of_units(method, {"--criterion": criterion is not None})
    if of_units and ratio is None and device is None and hand is None:
        ratio = DEFAULT_RATIO
    if recovery_steps is None:
        recovery_steps = RECOVERY_STEPS if of_units else 0
    search = SearchSettings(criterion=criterion or DEFAULT_CRITERION, hand=hand, multiple=multiple)
    if method not in ("cascade", "rounds") and min_accuracy is not None:
        raise ConfigError(
            f"--min-accuracy goes with methods that have stages to go back to, cascade and rounds, not with "
            f"'{method}'."
        )
    if method != "rounds" and rounds is not None:
        raise ConfigError(f"--rounds: not for method '{method}'; leave out, or choose --method rounds.")
    return CutSettings(
        method=method,
        ratio=ratio,
        device=device,
        rounds=rounds or 1,
        cascade=CascadeSettings(search=search, floors=Floors(min_accuracy=min_accuracy)),
        recovery=RecoverySettings(
            max_steps=recovery_steps, batch_size=batch_size, learning_rate=learning_rate
        ),
    )


def recordings_cut(
    given: Mapping[str, Any], *, method: str, batch_size: int, learning_rate: float
) -> CutSettings:
    """Gather what the options of a command, by the names of its parameters, say about cutting a Diagnoser."""
    return cut_settings(
        method=method,
        ratio=given["ratio"],
        device=device_limits(
            latency_ms=given["latency_ms"],
            latency_table=given["latency_table"],
            memory_mib=given["memory_mib"],
            precision=given.get("precision"),
            runtime_mib=given["runtime_mib"],
        ),
        criterion=given["criterion"],
        hand=hand_allocation(given["layers"], given["heads"], given["channels"]),
        multiple=given["multiple"],
        min_accuracy=given["min_accuracy"],
        recovery_steps=given["recovery_steps"],
        batch_size=batch_size,
        learning_rate=learning_rate,
        rounds=given["rounds"],
    )
