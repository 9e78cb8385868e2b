"""The step from a checkpoint to what a device runs, in the format that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from secateur.bundle.manifest import MANIFEST_FILE, ChannelRecord, MetricsRecord, Precision, VerdictRecord
from secateur.bundle.session import Session
from secateur.core.errors import ConfigError
from secateur.core.files import require_replaceable
from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.records import to_jsonable
from secateur.core.seeds import generator
from secateur.edge.runtime import BATCH_WINDOWS
from secateur.export.bundle import BundleInfo, write_bundle
from secateur.export.causal_bundle import CausalBundleInfo
from secateur.export.encoder_bundle import EncoderBundleInfo
from secateur.export.formats import Format
from secateur.export.gguf_export import GgufInfo
from secateur.export.quantise import Quantisation, Scheme
from secateur.models import checkpoint
from secateur.models.diagnoser import Diagnoser
from secateur.signals.simulator.machine_collection import DATASET as MACHINES
from secateur.signals.windows import Windows
from secateur.structure.plan import PruningPlan
from secateur.training.abstention import SetOn, fit_abstention
from secateur.training.evaluate import evaluate, predict
from secateur.workflow.export_request import ExportRequest
from secateur.workflow.export_text import (
    CAUSAL_PRECISIONS,
    GGUF_PRECISIONS,
    export_gguf_folder,
    export_text_bundle,
)
from secateur.workflow.steps import load_for_task
from secateur.workflow.task import Preparation, split_record
from secateur.workflow.verdict import verdict_of

FIGURES = ("accuracy", "macro_f1", "false_alarm_rate", "ece")
PARITY_WINDOWS: Mapping[Precision, int] = {"float32": 32, "bfloat16": 200, "int8": 200, "int4": 200}
"""Fewer bits need more windows: a share of 99 % alike cannot be told from a few dozen."""

CALIBRATION_WINDOWS = 128


def export_bundle(
    model: Diagnoser,
    preparation: Preparation,
    *,
    folder: Path,
    plan: PruningPlan,
    name: str,
    seed: int,
    values: Mapping[str, Any] | None = None,
    format: Format = "onnx",
    precision: Precision = "float32",
    scheme: Scheme | None = None,
    verdict: VerdictRecord | None = None,
) -> BundleInfo:
    """Write a bundle, its parity proved and its figures measured on test windows.

    Parameters
    ----------
    model : Diagnoser
    preparation : Preparation
        Parity and figures are measured on the test part, ranges on the training part.
    folder : Path
        Of the bundle.
    plan : PruningPlan
    name : str
        What to call the model.
    seed : int
        Of the task: the same noise as for the checkpoint, and the choice of calibration windows.
    values : mapping, optional
        Figures of the checkpoint on the same windows; measured if not given.
    format : {"onnx", "openvino", "executorch", "litert"}
    precision : {"float32", "bfloat16", "int8", "int4"}
    scheme : {"dynamic", "static", "weights"}, optional
        Of the quantisation; default: see ``secateur.export.formats.SCHEMES_OF``.

    verdict : VerdictRecord, optional
        Of the run; default: what the model's own figures say.

    Returns
    -------
    BundleInfo

    Raises
    ------
    ConfigError
        If the folder holds something else, or precision and scheme do not go together.
    ExportError
        As ``write_bundle``.
    """
    require_replaceable(folder, MANIFEST_FILE)
    quantisation = None
    if scheme is not None:
        if precision == "float32":
            raise ConfigError(f"quantisation '{scheme}' was chosen for fp32; add --precision int8.")
        quantisation = Quantisation(
            scheme=scheme,
            calibration=_calibration(preparation.train, seed=seed) if scheme == "static" else (),
        )
    test, split = preparation.test, preparation.split
    noise: dict[str, Any] = {"snr_db": split.test_snr_db, "seed": seed}
    if values is None:
        console.print("judging the checkpoint")
        values = to_jsonable(evaluate(model, test, classes=preparation.classes, **noise))

    def measured(session: Session) -> MetricsRecord:
        console.print("judging the bundle")
        judged = evaluate(
            _Bundled(session), test, classes=preparation.classes, batch_size=BATCH_WINDOWS, **noise
        )
        return MetricsRecord(
            protocol=split.protocol,
            leaks=split.leaks,
            leak_reason=split.leak_reason or None,
            values={figure: getattr(judged, figure) for figure in FIGURES},
            measured_on="bundle",
            checkpoint_values={figure: values[figure] for figure in FIGURES},
        )

    held_out = preparation.validation
    abstention = fit_abstention(
        predict(model, held_out), held_out.labels, held_out.group_ids, set_on=_set_on(preparation)
    )
    if verdict is None:
        verdict = verdict_of({"pruned": values, "split": split_record(split)})
    origin = provenance(seed=seed)
    console.print(f"exporting to {format}")
    return write_bundle(
        model,
        test.take(_evenly(len(test), PARITY_WINDOWS[precision])),
        folder,
        name=name,
        plan=plan,
        metrics=measured,
        format=format,
        precision=precision,
        quantise=quantisation,
        channel=ChannelRecord(name=preparation.train.channel_name, unit=preparation.train.unit),
        abstention=abstention,
        verdict=verdict,
        lineage={
            "seed": seed,
            "command": origin["command"],
            "time_utc": origin["time_utc"],
            "versions": origin["versions"],
            "data_sha256": preparation.data_sha256,
        },
    )


class _Bundled:
    """A session judged like any other model."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def window_logits(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """See ``WindowClassifier``."""
        return self._session.run(arrays)[0]


def _evenly(total: int, wanted: int) -> np.ndarray:
    return np.unique(np.linspace(0, total - 1, min(wanted, total)).round().astype(int))


def _calibration(train: Windows, *, seed: int) -> Iterator[dict[str, np.ndarray]]:
    chosen = generator(seed, "export", "calibration").permutation(len(train))
    return train.batches(BATCH_WINDOWS, np.sort(chosen[:CALIBRATION_WINDOWS]))


_PRECISIONS: Mapping[str, Precision] = {
    "fp32": "float32",
    "bf16": "bfloat16",
    "int8": "int8",
    "int4": "int4",
}


def export_diagnoser(request: ExportRequest, *, format: Format = "onnx") -> BundleInfo:
    """Write the bundle of a Diagnoser; see :func:`export_bundle`."""
    request.require_only({"data", "split", "quantise"}, "a Diagnoser")
    folder = Path(request.source)
    loaded, task, preparation = load_for_task(folder, data=request.data, split=request.split)
    return export_bundle(
        loaded,
        preparation,
        folder=request.folder,
        plan=checkpoint.describe(folder).plan,
        name=folder.resolve().name,
        seed=task.seed,
        format=format,
        precision=_PRECISIONS[request.precision],
        scheme=request.quantise,
    )


def _set_on(preparation: Preparation) -> SetOn:
    """Say what the validation windows prove."""
    split = preparation.split
    if split.last_fit or set(preparation.train.group_ids) & set(preparation.validation.group_ids):
        return "windows of the training specimens"
    machines = all(segment.recording.dataset == MACHINES for segment in split.validation)
    return "held-out machines" if machines else "held-out specimens"


Exported = BundleInfo | CausalBundleInfo | EncoderBundleInfo | GgufInfo
Kind = Literal["Diagnoser", "model of texts"]

EXPORTERS: Mapping[tuple[Kind, str], Callable[[ExportRequest], Exported]] = {
    ("Diagnoser", "onnx"): export_diagnoser,
    ("Diagnoser", "openvino"): partial(export_diagnoser, format="openvino"),
    ("Diagnoser", "executorch"): partial(export_diagnoser, format="executorch"),
    ("Diagnoser", "litert"): partial(export_diagnoser, format="litert"),
    ("model of texts", "onnx"): export_text_bundle,
    ("model of texts", "gguf"): export_gguf_folder,
}
"""What writes each format of each kind of model."""

PRECISIONS: Mapping[tuple[Kind, str], tuple[str, ...]] = {
    ("Diagnoser", "onnx"): tuple(_PRECISIONS),
    ("Diagnoser", "openvino"): tuple(_PRECISIONS),
    ("Diagnoser", "executorch"): ("fp32", "int8"),
    ("Diagnoser", "litert"): ("fp32", "int8"),
    ("model of texts", "onnx"): tuple(CAUSAL_PRECISIONS),
    ("model of texts", "gguf"): tuple(GGUF_PRECISIONS),
}


def export_model(request: ExportRequest, *, format: str) -> Exported:
    """Export a model in a format that there is for its kind.

    Parameters
    ----------
    request : ExportRequest
    format : str
        One of those in ``EXPORTERS``.

    Raises
    ------
    ConfigError
        If the format or the precision is not for that kind of model, or as the exporter.
    SecateurError
        As the exporter.
    """
    kind = _kind(request)
    if (kind, format) not in EXPORTERS:
        allowed = " or ".join(name for known, name in EXPORTERS if known == kind)
        raise ConfigError(f"--format {format}: not for a {kind}, which is exported as {allowed}.")
    if request.precision not in PRECISIONS[kind, format]:
        raise ConfigError(
            f"--precision {request.precision}: not for a {kind} as {format}; choose "
            f"{' or '.join(PRECISIONS[kind, format])}."
        )
    return EXPORTERS[kind, format](request)


def _kind(request: ExportRequest) -> Kind:
    """A folder that is gone, and no text given, is told of where checkpoints are read."""
    source, folder = request.source, Path(request.source)
    gone = not folder.exists() and (source.startswith((".", "/")) or source.count("/") > 1)
    is_diagnoser = checkpoint.kind_of(folder) == "diagnoser" or (gone and request.text is None)
    return "Diagnoser" if is_diagnoser else "model of texts"
