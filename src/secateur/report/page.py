"""The report of a run: one HTML page that asks nothing of the network.

``result.json`` and the stage records are described where they are written; this page shows what of them
is there. Example windows come from ``examples.npz``:

===================== ================== ======================================================
key                   shape              holds
===================== ================== ======================================================
waveform              (n, samples)       windows, float32
sampling_rate_hz      ()                 their rate
shaft_rate_hz         (n,)               turns a second, 0 if unknown
fault_orders          (n, 4)             BPFO, BPFI, twice BSF and FTF over the shaft rate, or zeros
label                 (n,)               class numbers, -1 if unknown
classes               (classes,)         class names
recording_id          (n,), optional     where each window comes from
dense_probabilities   (n, classes), opt. what the dense model says
pruned_probabilities  (n, classes), opt. what the pruned model says
===================== ================== ======================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader

from secateur.core.arrays import DAMAGE
from secateur.core.errors import CheckpointError, DataError
from secateur.core.files import write_aside
from secateur.core.records import JsonLines, read_json
from secateur.report import numbers, tables
from secateur.report.bench import bench_section, read_bench
from secateur.report.device import in_words
from secateur.report.figures.confusion import confusion_rows
from secateur.report.figures.example import FAMILIES, demodulation_band, envelope_picture, waveform_picture
from secateur.report.figures.layers import layer_rows
from secateur.report.figures.path import size_path
from secateur.report.figures.snr import snr_curve
from secateur.report.sia import sia_section
from secateur.report.stage_figure import stage_figure

RESULT = "result.json"
MOST_EXAMPLES = 12
SIDES = ("dense", "pruned")
REQUIRED_EXAMPLE_KEYS = ("waveform", "sampling_rate_hz", "shaft_rate_hz", "fault_orders", "label", "classes")
STAGE_KEYS = ("stage", "before", "after_cut", "after_recovery")


def render(
    result: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    examples: Mapping[str, np.ndarray] | None,
    plan: Mapping[str, Any] | None,
    bench: Mapping[str, Any] | None = None,
) -> str:
    """Return the page.

    Parameters
    ----------
    result : mapping
        ``result.json``.
    records : sequence of mapping
        Lines of ``records.jsonl``; the stages of one method.
    examples : mapping or None
        Arrays of ``examples.npz`` (see the module).
    plan : mapping or None
        JSON of the pruning plan.
    bench : mapping or None
        ``bench.json``, as ``secateur bench`` writes it.

    Returns
    -------
    str
        HTML. A part whose data are missing is left out; no figure is made up.
    """
    environment = Environment(
        loader=PackageLoader("secateur.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=numbers.percent,
        count=numbers.count,
        times=numbers.times,
        words=numbers.words,
        ranges=numbers.ranges,
    )
    stages = [dict(record) for record in records if all(key in record for key in STAGE_KEYS)]
    return environment.get_template("template.html.j2").render(
        style=resources.files("secateur.report").joinpath("style.css").read_text(encoding="utf-8"),
        result=result,
        dense=result.get("dense") or {},
        pruned=result.get("pruned") or {},
        split=result.get("split") or {},
        headline=tables.headline(result),
        parity=tables.parity_text(result),
        device=[in_words(name, entry) for name, entry in (result.get("device") or {}).items()],
        path=size_path(stages),
        stages=tables.stage_rows(stages),
        stage_figure=stage_figure(stages).words,
        validated_on=tables.validated_on(result.get("split") or {}),
        standings=tables.standing_rows(result.get("standings")),
        tokens_note=tables.tokens_note(result),
        standing_tile=tables.standing_tile(result.get("standings")),
        samples=result.get("samples") or [],
        layers=layer_rows(dict(plan)) if plan else [],
        plan=plan,
        snr=snr_curve({side: (result.get(side) or {}).get("snr_curve") or () for side in SIDES}),
        noise=tables.noise_rows(result),
        recalls=tables.recall_rows(result),
        confusions=_confusions(result),
        rivals=tables.rival_rows(result),
        sia=sia_section(result.get("sia")),
        bench=bench_section(bench),
        examples=_examples(examples) if examples else [],
        band=demodulation_band(float(examples["sampling_rate_hz"])) if examples else None,
        families=FAMILIES,
        checksums=_checksums(result.get("data_sha256")),
        provenance=result.get("provenance") or {},
        versions=result.get("versions") or {},
    )


def write_report(folder: Path) -> Path:
    """Write ``report.html`` of a run from the files in its folder.

    Parameters
    ----------
    folder : Path
        Holds ``result.json``, and as far as the run got ``records.jsonl``, ``examples.npz``,
        ``pruned/plan.json`` and ``bench/bench.json``.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    DataError
        If there is no finished run.
    CheckpointError
        If a file is damaged.
    """
    folder = Path(folder)
    if not (folder / RESULT).is_file():
        raise DataError(
            f"{folder} holds no {RESULT}, so it is no finished run; give the --out of a 'secateur compress' "
            "that has ended."
        )
    plan = folder / "pruned" / "plan.json"
    page = render(
        read_json(folder / RESULT, ("dense", "pruned")),
        JsonLines(folder / "records.jsonl").read(),
        _read_examples(folder / "examples.npz"),
        read_json(plan) if plan.exists() else None,
        read_bench(folder),
    )
    with write_aside(folder / "report.html") as aside:
        aside.write_text(page, encoding="utf-8")
    return folder / "report.html"


def _read_examples(path: Path) -> dict[str, np.ndarray] | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except DAMAGE as error:
        raise CheckpointError(f"{path} is damaged ({error}); run the command again.") from None
    missing = [name for name in REQUIRED_EXAMPLE_KEYS if name not in arrays]
    if missing:
        raise CheckpointError(f"{path} lacks {', '.join(missing)}; run the command again.")
    return arrays


def _examples(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    classes = [str(name) for name in arrays["classes"]]
    rate_hz = float(arrays["sampling_rate_hz"])
    shown = []
    for row in range(min(MOST_EXAMPLES, len(arrays["waveform"]))):
        label = int(arrays["label"][row])
        name = classes[label] if label >= 0 else "unlabelled"
        shaft_rate_hz = float(arrays["shaft_rate_hz"][row])
        says = {
            side: tables.confidence(arrays[f"{side}_probabilities"][row].tolist(), classes)
            for side in SIDES
            if f"{side}_probabilities" in arrays
        }
        waveform, orders = arrays["waveform"][row], arrays["fault_orders"][row]
        shown.append(
            {
                "name": name,
                "recording": str(arrays["recording_id"][row]) if "recording_id" in arrays else "",
                "shaft": f"{60 * shaft_rate_hz:.0f} rpm" if shaft_rate_hz else "speed unknown",
                "says": says,
                "waveform": waveform_picture(waveform, rate_hz, name),
                "envelope": envelope_picture(waveform, rate_hz, shaft_rate_hz, orders, name),
            }
        )
    return shown


def _confusions(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    shown = []
    for side in SIDES:
        figures = result.get(side) or {}
        counts = figures.get("confusion")
        if counts:
            recalls = figures.get("per_class_recall") or {}
            classes = result.get("classes") or list(recalls) or [str(i) for i in range(len(counts))]
            shown.append({"side": side, "rows": confusion_rows(counts, classes)})
    return shown


def _checksums(value: Any) -> dict[str, str]:
    return {"all recordings": value} if isinstance(value, str) else dict(value or {})
