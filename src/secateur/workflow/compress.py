"""``secateur compress``: from recordings to a verified small model, with a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur.core.files import remove_folder, rename_file
from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.records import JsonLines, read_json, to_jsonable, write_json
from secateur.export.bundle import BundleInfo
from secateur.models import checkpoint
from secateur.models.diagnoser import Diagnoser
from secateur.report.page import write_report
from secateur.training.evaluate import evaluate, fidelity, predict
from secateur.workflow.backbone import build_dense
from secateur.workflow.claim import claim
from secateur.workflow.device_check import check_on_device
from secateur.workflow.examples import write_examples
from secateur.workflow.export import export_bundle
from secateur.workflow.folds import fold_folder, mean_of_folds
from secateur.workflow.rivals import judge_rivals
from secateur.workflow.settings import RunSettings
from secateur.workflow.sia_of_run import checked, followed
from secateur.workflow.steps import (
    partial_folder,
    prune_and_save,
    records_path,
    require_reachable,
    train_dense,
)
from secateur.workflow.task import Preparation, prepare, split_record
from secateur.workflow.verdict import verdict_of

RESULT = "result.json"
REPORT = "report.html"
SIA = "sia.json"
RIVALS = ".rivals.partial"


def compress(settings: RunSettings, out: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Carry out a whole run, or the rest of one that was stopped.

    Parameters
    ----------
    settings : RunSettings
    out : Path
        Run folder; see ``docs/run_folder.md`` for what it gets.
    overwrite : bool, default False
        Whether a run with other settings in it goes.

    Returns
    -------
    dict
        The content of ``result.json``.

    Raises
    ------
    ConfigError
        If ``out`` holds a run with other settings and ``overwrite`` is not given.
    SecateurError
        Whatever a step may raise; the steps finished so far stay.
    """
    out = Path(out)
    folds = prepare(settings.task)
    require_reachable(build_dense(settings.backbone, folds[0], seed=settings.task.seed), settings.cut)
    claim(out, settings.to_json(), seed=settings.task.seed, overwrite=overwrite)
    if len(folds) == 1:
        return _finished(out) or _compress_fold(folds[0], settings, out)
    results = []
    for fold in folds:
        console.rule(fold.split.protocol)
        place = out / fold_folder(fold.split.protocol)
        results.append(_finished(place) or _compress_fold(fold, settings, place))
    if not (out / RESULT).exists():
        write_json(out / RESULT, mean_of_folds(settings, results))
    if not (out / REPORT).exists():
        write_report(out)
    return read_json(out / RESULT)


def _finished(out: Path) -> dict[str, Any] | None:
    """Return the result of a run whose figures are all there; what stands behind them is made up for."""
    if not (out / RESULT).exists():
        return None
    if (out / REPORT).exists():
        console.print(f"{out / RESULT} is there already; nothing is left to do")
    else:
        write_report(out)
    remove_folder(out / RIVALS)
    return read_json(out / RESULT)


def _compress_fold(preparation: Preparation, settings: RunSettings, out: Path) -> dict[str, Any]:
    task = settings.task
    dense = train_dense(
        preparation, backbone=settings.backbone, task=task, settings=settings.fit, folder=out / "dense"
    )
    check = checked(dense, preparation, settings, out / SIA)
    cut = followed(settings, check)
    if (out / "pruned" / checkpoint.CHECKSUMS).exists():
        remove_folder(partial_folder(out / "pruned"))
        pruned = checkpoint.load(out / "pruned")
    else:
        pruned = prune_and_save(dense, preparation, task=task, cut=cut, folder=out / "pruned").model
    if records_path(out / "pruned").exists():
        rename_file(records_path(out / "pruned"), out / "records.jsonl")
    described = checkpoint.describe(out / "pruned")
    judged = compare(dense, pruned, preparation, snr_curve_db=settings.snr_curve_db, seed=task.seed)
    trained = checkpoint.describe(out / "dense").metadata
    cost = described.metadata.get("cost", {"ratio": judged["ratio"], "unit": "parameters"})
    rivals: dict[str, Any] = {}
    if settings.rivals:
        rivals = judge_rivals(
            dense,
            preparation,
            None if cut.changes_weights else described.plan,
            settings=settings,
            dense_steps=trained["fit"]["steps"],
            folder=out / RIVALS,
        )
    known = {
        **judged,
        "baselines": rivals,
        "split": split_record(preparation.split),
        "validation_macro_f1": trained["chosen_by"]["validation_macro_f1"],
    }
    verdict = verdict_of(known)
    bundle = export_bundle(
        pruned,
        preparation,
        folder=out / "bundle",
        plan=described.plan,
        name=f"{settings.backbone} {cut.method if cut.changes_weights else 'pruned'} {cost['ratio']:.1f}x",
        seed=task.seed,
        values=judged["pruned"],
        verdict=verdict,
    )
    device = {}
    if cut.device is not None:
        device = check_on_device(
            out / "bundle", cut.device, described.plan, window_tokens=pruned.front_end.n_tokens
        )
    result = _result(preparation, settings, judged, bundle, described, rivals, out)
    result |= {"ratio": cost["ratio"], "counted": cost["unit"]}
    result |= {"criterion": None if cut.changes_weights else cut.cascade.search.criterion}
    result |= {"sia": check, "device": device}
    result |= {"verdict": verdict.model_dump(mode="json"), "abstention": _abstention(bundle)}
    write_examples(preparation, {"dense": dense, "pruned": pruned}, out / "examples.npz", seed=task.seed)
    write_json(out / RESULT, result)
    write_report(out)
    remove_folder(out / RIVALS)
    return result


def compare(
    dense: Diagnoser,
    pruned: Diagnoser,
    preparation: Preparation,
    *,
    snr_curve_db: Sequence[float],
    seed: int,
) -> dict[str, Any]:
    """Judge dense and pruned on the test windows, and the pruned one against the dense one.

    Returns
    -------
    dict
        ``dense`` and ``pruned`` evaluations, ``fidelity`` and ``ratio``, as JSON values.
    """
    test, snr_db = preparation.test, preparation.split.test_snr_db
    dense_figures, pruned_figures = (
        evaluate(
            model, test, classes=preparation.classes, snr_db=snr_db, snr_curve_db=snr_curve_db, seed=seed
        )
        for model in (dense, pruned)
    )
    logits = [predict(model, test, snr_db=snr_db, seed=seed) for model in (dense, pruned)]
    return to_jsonable(
        {
            "dense": dense_figures,
            "pruned": pruned_figures,
            "fidelity": fidelity(*logits),
            "ratio": dense_figures.parameters / pruned_figures.parameters,
        }
    )


def _abstention(bundle: BundleInfo) -> dict[str, Any] | None:
    record = bundle.manifest.abstention
    return None if record is None else record.model_dump(mode="json")


def _result(
    preparation: Preparation,
    settings: RunSettings,
    judged: dict[str, Any],
    bundle: BundleInfo,
    described: checkpoint.Description,
    rivals: dict[str, Any],
    out: Path,
) -> dict[str, Any]:
    split = preparation.split
    origin = provenance(seed=settings.task.seed)
    return to_jsonable(
        {
            **judged,
            "classes": split.classes,
            "split": split_record(split),
            "seed": settings.task.seed,
            "backbone": settings.backbone,
            "method": settings.cut.method,
            "stopped_by_floor": described.metadata["stopped_by_floor"],
            "reason": described.metadata["reason"],
            "stages": JsonLines(out / "records.jsonl").read(),
            "parity": bundle.parity.model_dump(),
            "bytes": {
                "dense": (out / "dense" / checkpoint.TENSORS).stat().st_size,
                "pruned": (out / "pruned" / checkpoint.TENSORS).stat().st_size,
                "bundle": bundle.n_bytes,
            },
            "baselines": rivals,
            "settings": settings.to_json(),
            "data_sha256": preparation.data_sha256,
            "versions": origin["versions"],
            "provenance": origin,
        }
    )
