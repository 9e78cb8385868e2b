"""Sets built by the ``bearing-datasets`` package: 69 public collections in one Parquet schema."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur.core.documents import one_line, require_regular_file
from secateur.core.errors import DataError
from secateur.signals.bearings.catalogue import orders_by_name
from secateur.signals.findings import Finding, note
from secateur.signals.kinematics import FaultOrders
from secateur.signals.readers.files import require_inside
from secateur.signals.recording import FaultLocation, Recording
from secateur.signals.sources.extras import required
from secateur.signals.sources.quantities import VIBRATION
from secateur.signals.sources.signal_store import Place, StoredSignals

METADATA, MANIFEST, SIGNALS = "metadata.parquet", "manifest.json", "signals"
REQUIRED = (
    "dataset", "signal_id", "recording_id", "channel", "fs", "n_samples", "fault_type", "signal_file",
    "signal_row_group", "signal_row",
)  # fmt: skip
_FAULTS: dict[str, FaultLocation] = {
    "normal": "normal",
    "inner": "inner_race",
    "outer": "outer_race",
    "rolling_element": "ball",
    "ball": "ball",
}
_SAID = ("", "none", "unknown")
_MM_A_MIL = 0.0254


def is_built_set(folder: Path) -> bool:
    """Say whether a folder is a set that the package built."""
    return (folder / METADATA).is_file() and (folder / SIGNALS).is_dir()


def load_built_set(folder: Path) -> list[Recording]:
    """Read the metadata; the samples stay on disk.

    Channels that were recorded together at one rate are one recording; only vibration is taken (acceleration,
    velocity, displacement, or a quantity that the set does not document). Faults of more than one part, or of
    another part than the bearing's rings and balls, have no label here and are named in the notes. Where
    the set does not say which physical bearing was tested, each recording is its own group.

    Parameters
    ----------
    folder : Path
        The folder of one set: ``metadata.parquet`` and ``signals/part-*.parquet``.

    Raises
    ------
    DataError
        If the metadata lack a column, or hold no vibration.
    """
    path = folder / METADATA
    require_regular_file(path)
    parquet = required("pyarrow.parquet", f"{folder} is a set of Parquet files")
    try:
        table = parquet.read_table(path, use_threads=False)
    except (OSError, ValueError, RuntimeError) as error:  # what Arrow's errors are derived from
        raise DataError(f"{path} cannot be read ({one_line(error)}); build the set again.") from None
    # builds before version 0.2 of the package have other names
    former = {"condition": "fault_type", "rpm": "speed_rpm", "severity": "fault_severity"}
    names = [former[name] if name in former and former[name] not in table.column_names else name
             for name in table.column_names]  # fmt: skip
    table = table.rename_columns(names)
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; build the set again.")
    together: dict[tuple[str, float, int], list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        if row.get("quantity", "unknown") in (*VIBRATION, "unknown"):
            key = (str(row["recording_id"]), float(row["fs"]), int(row["n_samples"]))
            together.setdefault(key, []).append(row)
    if not together:
        raise DataError(f"{path} lists no channel of acceleration, velocity or displacement.")
    several = {key[0] for key in together if sum(other[0] == key[0] for other in together) > 1}
    return [_recording(folder, key, rows, alone=key[0] not in several) for key, rows in together.items()]


def _recording(
    folder: Path, key: tuple[str, float, int], rows: Sequence[dict[str, Any]], *, alone: bool
) -> Recording:
    name, rate_hz, n_samples = key
    first = rows[0]
    for row in rows:
        require_inside(str(row["signal_file"]), str(folder / METADATA))
    places = tuple(
        Place(
            path=folder / SIGNALS / row["signal_file"],
            row_group=int(row["signal_row_group"]),
            row=int(row["signal_row"]),
            signal_id=str(row["signal_id"]),
        )
        for row in rows
    )
    fault = str(first["fault_type"])
    bearing_id, units = _word(first, "bearing_id"), {_word(row, "unit") for row in rows}
    recording_id = f"{first['dataset']}_{name}" + ("" if alone else f"_{rate_hz:g}Hz")
    bearing = _word(first, "bearing_model") or ""
    orders = _orders(first)
    findings: tuple[Finding, ...] = ()
    if orders is None:
        orders, findings = orders_by_name(recording_id, bearing)
    if fault not in _FAULTS and fault not in _SAID:
        no_label = f"fault type '{fault}' is none of {', '.join(_FAULTS)}; the recording has no label."
        findings = (*findings, note("fault_type", recording_id, no_label))
    # no path: a file holds many recordings
    return Recording(
        recording_id=recording_id,
        source=StoredSignals(places, n_samples),
        channels=tuple(str(row["channel"]) for row in rows),
        sampling_rate_hz=rate_hz,
        group_id=f"{first['dataset']}_{bearing_id}" if bearing_id else recording_id,
        dataset=str(first["dataset"]),
        fault_location=_FAULTS.get(fault),
        shaft_speed_rpm=_positive(first, "speed_rpm"),
        nominal_speed_rpm=_positive(first, "speed_rpm"),
        load=_number(first, "load"),
        fault_size_mil=None if fault == "normal" else _mil(first),
        severity=None if fault == "normal" else _word(first, "fault_severity"),
        fault_orders=orders,
        bearing=bearing,
        findings=findings,
        specimens_documented=bearing_id is not None,
        subset=_word(first, "operating_condition") or "",
        notes=f"fault: {fault} ({_word(first, 'native_label') or 'no label of its own'})",
        unit=units.pop() if len(units) == 1 else None,
    )


def _number(row: dict[str, Any], column: str) -> float | None:
    value = row.get(column)
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _positive(row: dict[str, Any], column: str) -> float | None:
    value = _number(row, column)
    return value if value is not None and value > 0 else None


def _mil(row: dict[str, Any]) -> float | None:
    size_mm = _positive(row, "fault_size_mm")
    return None if size_mm is None else round(size_mm / _MM_A_MIL, 3)


def _word(row: dict[str, Any], column: str) -> str | None:
    value = row.get(column)
    return None if value is None or str(value) in _SAID else str(value)


def _orders(row: dict[str, Any]) -> FaultOrders | None:
    """Return the orders that the set states; its ``bsf`` is that of the ball, which strikes twice a turn."""
    bpfo, bpfi, bsf, ftf = (_positive(row, name) for name in ("bpfo", "bpfi", "bsf", "ftf"))
    if bpfo is None or bpfi is None:
        return None
    return FaultOrders.from_multipliers(bpfo=bpfo, bpfi=bpfi, bsf2=None if bsf is None else 2 * bsf, ftf=ftf)
