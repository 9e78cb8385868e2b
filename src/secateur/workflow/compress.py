"""``secateur compress``: from recordings to a verified small model, with a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.core.files import rename_file
from secateur.core.progress import console
from secateur.core.records import JsonLines, to_jsonable
from secateur.core.seeds import derive
from secateur.export.bundle import BundleInfo
from secateur.models import checkpoint
from secateur.models.calls import Batch
from secateur.models.diagnoser import Diagnoser
from secateur.training.evaluate import Fidelity, evaluate, fidelity, predict
from secateur.training.unlabelled import answers, can_simulate, machine_pool
from secateur.workflow.backbone import dense_for
from secateur.workflow.claim import claim
from secateur.workflow.device_check import check_on_device
from secateur.workflow.examples import write_examples
from secateur.workflow.export import export_bundle
from secateur.workflow.folds import fold_folder, mean_of_folds
from secateur.workflow.rivals import judge_rivals
from secateur.workflow.run import RECORDS, RIVALS, carry_out, finish, finished
from secateur.workflow.settings import RunSettings, SiaSettings
from secateur.workflow.sia import calibration_windows
from secateur.workflow.sia_of_run import followed
from secateur.workflow.steps import (
    prune_and_save,
    records_path,
    require_reachable,
    train_dense,
)
from secateur.workflow.task import Preparation, prepare, split_record
from secateur.workflow.verdict import verdict_of

BLOCKS_ELSEWHERE = 2
"""Of 64 simulated machines, on which dense and pruned are compared off the recordings."""


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
    require_reachable(dense_for(folds[0], settings.backbone, seed=settings.task.seed), settings.cut)
    claim(
        out,
        settings.to_json(),
        seed=settings.task.seed,
        data_sha256=[fold.data_sha256 for fold in folds],
        overwrite=overwrite,
    )
    if len(folds) == 1:
        return _compress_fold(folds[0], settings, out)
    results = []
    for fold in folds:
        console.rule(fold.split.protocol)
        results.append(_compress_fold(fold, settings, out / fold_folder(fold.split.protocol)))
    return finished(out) or finish(out, mean_of_folds(settings, results))


def _compress_fold(preparation: Preparation, settings: RunSettings, out: Path) -> dict[str, Any]:
    stations = _WindowStations(
        preparation=preparation,
        settings=settings,
        name=settings.backbone,
        seed=settings.task.seed,
        sia=settings.sia,
    )
    return carry_out(stations, settings.to_json(), out)


@dataclass(frozen=True, kw_only=True)
class _WindowStations:
    """A run on windows of vibration: the dense model is trained, and rivals are judged beside it."""

    preparation: Preparation
    settings: RunSettings
    name: str
    seed: int
    sia: SiaSettings

    def dense(self, folder: Path) -> Diagnoser:
        run = self.settings
        return train_dense(
            self.preparation, backbone=run.backbone, task=run.task, settings=run.fit, folder=folder
        )

    def ratio(self, dense: Diagnoser) -> float | None:
        del dense
        return self.settings.cut.ratio

    def samples(self) -> tuple[tuple[Batch, ...], dict[str, Any]]:
        return calibration_windows(self.preparation, self.sia.samples, seed=derive(self.seed, "sia"))

    def cut(self, dense: Diagnoser, check: dict[str, Any], folder: Path) -> None:
        cut = followed(self.settings, check)
        prune_and_save(dense, self.preparation, task=self.settings.task, cut=cut, folder=folder)

    def judge(self, dense: Diagnoser, check: dict[str, Any], out: Path) -> dict[str, Any]:
        preparation, settings = self.preparation, self.settings
        cut, pruned = followed(settings, check), checkpoint.load(out / "pruned")
        if records_path(out / "pruned").exists():
            rename_file(records_path(out / "pruned"), out / RECORDS)
        described = checkpoint.describe(out / "pruned")
        judged = compare(dense, pruned, preparation, snr_curve_db=settings.snr_curve_db, seed=self.seed)
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
            name=f"{self.name} {cut.method if cut.changes_weights else 'pruned'} {cost['ratio']:.1f}x",
            seed=self.seed,
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
        result |= {"criterion": cut.criterion}
        result |= {
            "device": device,
            "verdict": verdict.model_dump(mode="json"),
            "abstention": _abstention(bundle),
        }
        write_examples(preparation, {"dense": dense, "pruned": pruned}, out / "examples.npz", seed=self.seed)
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
        ``dense`` and ``pruned`` evaluations, ``fidelity``, ``fidelity_elsewhere`` (the same on simulated
        machines that no recording is of; None for windows that are too short or too slow to simulate) and
        ``ratio``, as JSON values.
    """
    test, snr_db = preparation.test, preparation.split.test_snr_db
    dense_figures, pruned_figures = (
        evaluate(
            model, test, classes=preparation.classes, snr_db=snr_db, snr_curve_db=snr_curve_db, seed=seed
        )
        for model in (dense, pruned)
    )
    logits = [predict(model, test, snr_db=snr_db, seed=seed) for model in (dense, pruned)]
    whole, left = (sum(parameter.numel() for parameter in model.parameters()) for model in (dense, pruned))
    return to_jsonable(
        {
            "dense": dense_figures,
            "pruned": pruned_figures,
            "fidelity": fidelity(*logits),
            "fidelity_elsewhere": _elsewhere(dense, pruned, seed),
            "ratio": whole / left,
        }
    )


def _elsewhere(dense: Diagnoser, pruned: Diagnoser, seed: int) -> Fidelity | None:
    length, rate_hz = dense.config.window_length, dense.config.sampling_rate_hz
    if not can_simulate(length, rate_hz):
        return None
    machines = machine_pool(derive(seed, "elsewhere"), length, rate_hz, BLOCKS_ELSEWHERE)
    return fidelity(*(answers(model, machines).numpy() for model in (dense, pruned)))


def _abstention(bundle: BundleInfo) -> dict[str, Any] | None:
    record = bundle.manifest.abstention
    return None if record is None else record.model_dump(mode="json")


def _result(
    preparation: Preparation,
    settings: RunSettings,
    judged: dict[str, Any],
    bundle: BundleInfo,
    described: checkpoint.Description | checkpoint.TransformerDescription,
    rivals: dict[str, Any],
    out: Path,
) -> dict[str, Any]:
    split = preparation.split
    return to_jsonable(
        {
            **judged,
            "classes": split.classes,
            "split": split_record(split),
            "backbone": settings.backbone,
            "method": settings.cut.method,
            "stopped_by_floor": described.metadata["stopped_by_floor"],
            "reason": described.metadata["reason"],
            "stages": JsonLines(out / RECORDS).read(),
            "parity": bundle.parity.model_dump(),
            "bytes": {
                "dense": (out / "dense" / checkpoint.TENSORS).stat().st_size,
                "pruned": (out / "pruned" / checkpoint.TENSORS).stat().st_size,
                "bundle": bundle.n_bytes,
            },
            "baselines": rivals,
            "data_sha256": preparation.data_sha256,
        }
    )
