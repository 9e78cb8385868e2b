"""``secateur order``: does the order of the stages matter, and why?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from secateur.core.files import remove_folder
from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.records import read_json, to_jsonable, write_json
from secateur.models.diagnoser import Diagnoser
from secateur.report.figures.order_pictures import write_order_pictures
from secateur.tasks.windows import WindowTask
from secateur.workflow.backbone import dense_for
from secateur.workflow.claim import claim
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.order_arms import Judge, run_arm
from secateur.workflow.order_information import measure_information
from secateur.workflow.order_settings import ARMS, COARSE_TO_FINE, ORDERS, OrderSettings
from secateur.workflow.order_staleness import measure_staleness
from secateur.workflow.order_summary import summarise
from secateur.workflow.steps import calibrated_task, require_reachable, train_dense
from secateur.workflow.task import Preparation, prepare_one, split_record

RESULT = "result.json"
STAGES = ".stages.partial"


def compare_orders(settings: OrderSettings, out: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Run all six orders, the joint cut and the dense control on every seed, or what of it is left to do.

    The folder gets ``seed-N/`` with the dense model, one JSON file an arm, ``staleness.json`` and
    ``information.json``; then ``result.json`` and ``pictures/``.

    Parameters
    ----------
    settings : OrderSettings
    out : Path
    overwrite : bool, default False
        Whether a run with other settings in it goes.

    Returns
    -------
    dict
        The content of ``result.json``.

    Raises
    ------
    ConfigError
        If ``out`` holds something else, or a run with other settings and ``overwrite`` is not given.
    PlanError
        If the ratio is out of reach of the backbone.
    """
    out = Path(out)
    first = prepare_one(settings.task)
    dense = dense_for(first, settings.backbone, seed=settings.task.seed)
    require_reachable(dense, CutSettings(ratio=settings.ratio))
    decisive = settings.to_json()
    # more seeds may be added to those that are there
    del decisive["n_seeds"]
    read = [first.data_sha256]
    claim(out, decisive, seed=settings.task.seed, data_sha256=read, overwrite=overwrite)
    seeds = [_run_seed(seed, settings, out / f"seed-{seed}", first) for seed in settings.seeds]
    if (out / RESULT).exists() and read_json(out / RESULT, ("settings",))["settings"] == settings.to_json():
        console.print(f"{out / RESULT} is there already; nothing is left to do")
    else:
        write_json(out / RESULT, _result(settings, first, seeds))
    result = read_json(out / RESULT)
    write_order_pictures(result, out / "pictures")
    return result


def _run_seed(seed: int, settings: OrderSettings, folder: Path, first: Preparation) -> dict[str, Any]:
    """Return all that was measured on one seed; what is on disk is not measured again."""
    found = _measured(folder)
    if found is None:
        console.rule(f"seed {seed}")
        preparation = first if seed == settings.task.seed else prepare_one(settings.of_seed(seed))
        _measure_seed(seed, settings, folder, preparation)
        found = _measured(folder)
    assert found is not None, "everything of the seed has just been measured"
    remove_folder(folder / STAGES)
    return {"seed": seed, **found}


def _measured(folder: Path) -> dict[str, Any] | None:
    files = {name: folder / f"{name}.json" for name in ("reference", *ARMS, "staleness", "information")}
    if not all(file.exists() for file in files.values()):
        return None
    contents = {name: read_json(file) for name, file in files.items()}
    return {
        "reference": contents["reference"],
        "arms": {name: contents[name] for name in ARMS},
        "staleness": contents["staleness"],
        "information": contents["information"],
    }


def _measure_seed(seed: int, settings: OrderSettings, folder: Path, preparation: Preparation) -> None:
    dense = train_dense(
        preparation,
        backbone=settings.backbone,
        task=settings.of_seed(seed),
        settings=settings.fit,
        folder=folder / "checkpoint",
    )
    task = calibrated_task(preparation, seed=seed, settings=settings.recovery)
    judge = Judge(dense, preparation, settings.levels_db, seed=seed)
    if not (folder / "reference.json").exists():
        write_json(folder / "reference.json", judge.figures_of_dense(dense))
    for name in ARMS:
        if not (folder / f"{name}.json").exists():
            console.print(f"seed {seed}: {name}")
            arm = run_arm(name, dense, task, settings, judge, folder / STAGES / name)
            write_json(folder / f"{name}.json", arm)
    _measure_chain(seed, settings, folder, preparation, dense, task)


def _measure_chain(
    seed: int,
    settings: OrderSettings,
    folder: Path,
    preparation: Preparation,
    dense: Diagnoser,
    task: WindowTask,
) -> None:
    """Measure staleness and information on the stages that the arms left."""
    arms = {name: read_json(folder / f"{name}.json") for name in ORDERS}
    stages = {name: folder / STAGES / name for name in ORDERS if arms[name]["failed"] is None}
    if not (folder / "staleness.json").exists():
        write_json(folder / "staleness.json", measure_staleness(dense, task, settings, stages))
    if not (folder / "information.json").exists():
        found = measure_information(dense, preparation, settings, stages.get(COARSE_TO_FINE), seed=seed)
        write_json(folder / "information.json", found)


def _result(
    settings: OrderSettings, preparation: Preparation, seeds: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return to_jsonable(
        {
            "settings": settings.to_json(),
            "split": split_record(preparation.split),
            "classes": preparation.classes,
            "data_sha256": preparation.data_sha256,
            "summary": summarise(seeds),
            "seeds": seeds,
            "provenance": provenance(seed=settings.task.seed),
        }
    )
