"""The step from a checkpoint to a bundle: parity on test windows, and the figures of the very bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from secateur.bundle.manifest import MANIFEST_FILE, MetricsRecord
from secateur.bundle.session import Session
from secateur.core.errors import ConfigError
from secateur.core.files import require_replaceable
from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.records import to_jsonable
from secateur.core.seeds import generator
from secateur.edge.runtime import BATCH_WINDOWS
from secateur.export.bundle import BundleInfo, ExportPrecision, write_bundle
from secateur.export.quantise import Quantisation, Scheme
from secateur.models.diagnoser import Diagnoser
from secateur.signals.windows import Windows
from secateur.structure.plan import PruningPlan
from secateur.training.evaluate import evaluate
from secateur.workflow.task import Preparation

FIGURES = ("accuracy", "macro_f1", "false_alarm_rate", "ece")
PARITY_WINDOWS: Mapping[ExportPrecision, int] = {"float32": 32, "int8": 200}
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
    precision: ExportPrecision = "float32",
    scheme: Scheme | None = None,
) -> BundleInfo:
    """Write the ONNX bundle, its parity proved and its figures measured on test windows.

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
    precision : {"float32", "int8"}
    scheme : {"dynamic", "static"}, optional
        Of the quantisation; default: dynamic.

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
    noise = {"snr_db": split.test_snr_db, "seed": seed}
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

    origin = provenance(seed=seed)
    console.print("exporting to ONNX")
    return write_bundle(
        model,
        test.take(_evenly(len(test), PARITY_WINDOWS[precision])),
        folder,
        name=name,
        plan=plan,
        metrics=measured,
        precision=precision,
        quantise=quantisation,
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
