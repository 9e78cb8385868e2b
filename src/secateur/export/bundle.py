"""The bundle: model, manifest and golden windows in one folder that a device can check by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from secateur.bundle.manifest import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    AbstentionRecord,
    ChannelRecord,
    GoldenRecord,
    Manifest,
    MetricsRecord,
    ParityRecord,
    Precision,
    ResamplingRecord,
    TensorRecord,
    VerdictRecord,
)
from secateur.bundle.session import INPUTS, Session
from secateur.core.errors import ExportError
from secateur.core.files import folder_aside, require_replaceable
from secateur.core.records import to_jsonable
from secateur.export.formats import Format, quantisation_of, write_model
from secateur.export.onnx import frozen_copy
from secateur.export.parity import (
    Tolerance,
    default_tolerance,
    exported_logits,
    measure_parity,
    reference_logits,
)
from secateur.export.quantise import Quantisation
from secateur.export.sealing import Sealed, described_as, file_records, layer_records, lineage_record, seal
from secateur.models.binding import bind
from secateur.models.diagnoser import Diagnoser
from secateur.structure.plan import PruningPlan

GOLDEN_WINDOWS = 2
NORMALISATION = "zero mean and unit RMS per window, inside the graph"


class BundleInfo(Sealed[Manifest]):
    """A bundle of a Diagnoser that was written."""

    @property
    def graph_bytes(self) -> int:
        """Size of the model's files alone."""
        files = self.manifest.files
        return sum(record.bytes for name, record in files.items() if name != self.manifest.golden.file)

    @property
    def parity(self) -> ParityRecord:
        """How far the graph is from the checkpoint."""
        return self.manifest.parity


def write_bundle(
    model: Diagnoser,
    windows: Mapping[str, np.ndarray],
    out: Path,
    *,
    name: str,
    plan: PruningPlan | None = None,
    metrics: MetricsRecord | Callable[[Session], MetricsRecord] | None = None,
    lineage: Mapping[str, Any] | None = None,
    format: Format = "onnx",
    precision: Precision = "float32",
    quantise: Quantisation | None = None,
    tolerance: Tolerance | None = None,
    channel: ChannelRecord | None = None,
    abstention: AbstentionRecord | None = None,
    verdict: VerdictRecord | None = None,
) -> BundleInfo:
    """Export a diagnoser, prove its parity on real windows, and write the bundle.

    The folder appears under its name only after the graph has agreed with the checkpoint and the finished
    bundle has passed the same check that a device makes.

    Parameters
    ----------
    model : Diagnoser
        Left as it is; what is exported is a float32 copy, which is quantised afterwards.
    windows : mapping
        Real windows: ``waveform`` float32 (n, window_length), ``shaft_rate_hz`` (n,), ``fault_orders``
        (n, 4) and, if known, ``label`` (n,), as ``Windows.take`` gives them. At least two.
    out : Path
        The folder; a former bundle there is replaced, anything else is refused.
    name : str
        What to call the model.
    plan : PruningPlan, optional
        What was kept of the dense model; names the original position of each layer.
    metrics : MetricsRecord or callable, optional
        Figures of merit and their split, or what measures them on the finished graph.
    lineage : mapping, optional
        Fields of :class:`~secateur.bundle.manifest.LineageRecord` except ``plan_sha256``.
    format : {"onnx", "openvino", "executorch", "litert"}
        What is to run it.
    precision : {"float32", "bfloat16", "int8", "int4"}
        Of the backbone's weights.
    quantise : Quantisation, optional
        How the precision is reached; default: the first of ``secateur.export.formats.SCHEMES_OF``.
    tolerance : Tolerance, optional
        Default: :func:`secateur.export.parity.default_tolerance`.
    channel : ChannelRecord, optional
        What the model was trained on.
    abstention : AbstentionRecord, optional
        When an answer means "cannot say".
    verdict : VerdictRecord, optional
        Whether the model is fit for use.

    Returns
    -------
    BundleInfo

    Raises
    ------
    ConfigError
        If ``out`` holds something that is no bundle, format, precision and quantisation do not go together,
        or a package is missing.
    ExportError
        If the windows do not fit the model, the model cannot be exported or quantised, or parity fails.
    """
    quantisation = quantisation_of(format, precision, quantise)
    require_replaceable(Path(out), MANIFEST_FILE)
    _check_windows(model, windows)
    model = frozen_copy(model)
    expected = reference_logits(model, windows)
    if tolerance is None:
        tolerance = default_tolerance(precision, model, windows, expected)
    with folder_aside(Path(out)) as folder:
        written = write_model(
            model, windows, folder, format=format, precision=precision, quantisation=quantisation
        )
        parity = measure_parity(written.session, expected, windows, tolerance=tolerance)
        rows = _golden_rows(windows)
        golden = {key: np.asarray(windows[key], dtype=np.float32)[rows] for key in INPUTS}
        # a device is to compute what this very graph computes
        logits = exported_logits(written.session, golden) if written.quantisation else expected[rows]
        np.savez(
            folder / GOLDEN_FILE,
            logits=logits,
            waveform=golden["waveform"],
            shaft_rate_hz=golden["shaft_rate_hz"],
            fault_orders=golden["fault_orders"],
        )
        manifest = described_as(
            Manifest,
            **_description(model, plan, batch=written.batch),
            name=name,
            files=file_records(folder / file for file in (*written.names, GOLDEN_FILE)),
            format=format,
            model_file=written.names[0],
            precision=precision,
            quantisation=written.quantisation,
            channel=channel,
            abstention=abstention,
            verdict=verdict,
            parity=parity,
            metrics=metrics(written.session) if callable(metrics) else metrics,
            lineage=lineage_record(lineage, plan),
            golden=GoldenRecord(file=GOLDEN_FILE, windows=len(rows), tolerance=tolerance.golden),
        )
        n_bytes = seal(folder, manifest)
    return BundleInfo(
        folder=Path(out), manifest=manifest, n_bytes=n_bytes, float32_graph_bytes=written.float32_bytes
    )


def _check_windows(model: Diagnoser, windows: Mapping[str, np.ndarray]) -> None:
    length = model.config.window_length
    missing = [key for key in INPUTS if key not in windows]
    if missing:
        raise ExportError(f"the windows lack {', '.join(missing)}; needed: {', '.join(INPUTS)}.")
    shape = np.shape(windows["waveform"])
    if len(shape) != 2 or shape[0] < GOLDEN_WINDOWS or shape[1] != length:
        raise ExportError(
            f"windows of shape {shape} were given; an export needs at least {GOLDEN_WINDOWS} windows of "
            f"{length} samples, shape (n, {length})."
        )
    if not np.isfinite(windows["waveform"]).all():
        raise ExportError("the windows for the export hold NaN or infinity; give finite ones.")


def _golden_rows(windows: Mapping[str, np.ndarray]) -> list[int]:
    """Rows of the golden windows, of different classes where labels tell them apart."""
    labels = np.asarray(windows.get("label", np.arange(len(windows["waveform"]))))
    first_of_class = sorted(np.unique(labels, return_index=True)[1].tolist())
    others = [row for row in range(len(labels)) if row not in first_of_class]
    return (first_of_class + others)[:GOLDEN_WINDOWS]


def _description(model: Diagnoser, plan: PruningPlan | None, *, batch: int | str) -> dict[str, Any]:
    """Fields of the manifest that can be read from the model."""
    config = model.config
    bound = bind(model)
    classes = tuple(config.classes)
    per_class = (batch, len(classes))
    return {
        "family": bound.spec.family,
        "labels": classes,
        "window_length": config.window_length,
        "sampling_rate_hz": config.sampling_rate_hz,
        "normalisation": NORMALISATION,
        "inputs": (
            TensorRecord(
                name="waveform", shape=(batch, config.window_length), meaning="acceleration in any unit"
            ),
            TensorRecord(name="shaft_rate_hz", shape=(batch,), meaning="turns a second; 0 if unknown"),
            TensorRecord(
                name="fault_orders",
                shape=(batch, 4),
                meaning="BPFO, BPFI, twice BSF and FTF over the shaft rate; zeros if unknown",
            ),
        ),
        "outputs": (
            TensorRecord(name="logits", shape=per_class, meaning="log-probability plus a constant"),
            TensorRecord(name="probabilities", shape=per_class, meaning="softmax of logits"),
        ),
        # slower recordings lack the upper band that the model has learned to look at
        "resampling": ResamplingRecord(allowed=True, lowest_hz=config.sampling_rate_hz),
        "front_end": to_jsonable(config.to_json()["front_end"]),
        "layers": layer_records(bound.layers, plan),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
