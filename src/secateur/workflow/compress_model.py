"""``secateur compress MODEL``: from a trained model and its data to a verified small one, with a report."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from secateur.core.errors import ConfigError, ExportError, UnsupportedArchitecture
from secateur.core.files import remove_folder
from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.records import JsonLines, read_json, to_jsonable, write_json
from secateur.core.seeds import derive
from secateur.methods.weights import WeightMethod
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.calls import Batch
from secateur.report.page import write_report
from secateur.structure.counting import parameters
from secateur.tasks.reading import RANKING_SAMPLES, task_of_model
from secateur.tasks.samples import samples
from secateur.tasks.token_task import TokenTask
from secateur.training.state import digest
from secateur.workflow.claim import claim
from secateur.workflow.export import export_model
from secateur.workflow.export_request import ExportRequest
from secateur.workflow.settings import SiaSettings
from secateur.workflow.sia import Effort, check_model, check_structurally, record_of
from secateur.workflow.sia_of_run import COMPONENTS, warned
from secateur.workflow.steps import partial_folder
from secateur.workflow.transformer import prune_transformer
from secateur.workflow.transformer_blocks import task_of
from secateur.workflow.transformer_settings import TransformerCut, budget_of
from secateur.workflow.transformer_source import Source, open_source

RESULT, REPORT, SIA, RECORDS = "result.json", "report.html", "sia.json", "records.jsonl"
EVALUATIONS = 40
"""Of the independence check: a pass of a language model takes as long as hundreds of a Diagnoser."""


@dataclass(frozen=True, kw_only=True)
class ModelRunSettings:
    """A whole run on a trained model.

    Parameters
    ----------
    source : str
        A ``transformers`` folder, a GGUF file, a name on the hub, or a checkpoint of such a model.
    cut : TransformerCut
        With calibration data.
    sia : SiaSettings
        Its criterion is not followed: models of text are scored by the surgeon, which it does not measure.
    """

    source: str
    cut: TransformerCut
    sia: SiaSettings = field(default_factory=lambda: SiaSettings(follow=False, evaluations=EVALUATIONS))

    def __post_init__(self) -> None:
        if self.cut.calibration is None:
            raise ConfigError(
                "a run is judged on data; give --calibration FILE (or cut alone, with 'secateur prune')."
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return to_jsonable(asdict(self))


def compress_model(settings: ModelRunSettings, out: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Carry out a whole run, or the rest of one that was stopped.

    Parameters
    ----------
    settings : ModelRunSettings
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
        If ``out`` holds a run with other settings and ``overwrite`` is not given, or the model does not fit
        the task.
    SecateurError
        Whatever a step may raise; the steps finished so far stay.
    """
    out = Path(out)
    source = open_source(settings.source)
    cut = replace(settings.cut, task=settings.cut.task or task_of_model(source.model), judged=True)
    budget = budget_of(cut, bind(source.model).whole_plan)
    if isinstance(method := cut.chosen_method, WeightMethod):
        method.require_reachable(source.model, budget)
    task = task_of(source, cut)
    claim(out, settings.to_json(), seed=cut.seed, overwrite=overwrite)
    if (out / RESULT).exists():
        console.print(f"{out / RESULT} is there already; nothing is left to do")
        if not (out / REPORT).exists():
            write_report(out)
        return read_json(out / RESULT)
    write_json(
        out / "dense" / "reference.json",
        {
            "source": settings.source,
            "model_class": type(source.model).__name__,
            "parameters": parameters(bind(source.model).whole_plan),
            "weights_sha256": digest(source.model),
        },
    )
    check = _checked(source, task, settings, out / SIA)
    if not (out / "pruned" / checkpoint.CHECKSUMS).exists():
        prune_transformer(settings.source, cut, out / "pruned")
    remove_folder(partial_folder(out / "pruned"))
    pruned = checkpoint.describe(out / "pruned").metadata
    lines = JsonLines(out / RECORDS)
    lines.clear()
    for record in pruned["stages"]:
        lines.append(record)
    origin = provenance(seed=cut.seed)
    result = to_jsonable(
        {
            **pruned,
            "method": cut.method,
            "criterion": cut.criterion,
            "task": cut.task,
            "seed": cut.seed,
            "sia": check,
            "samples": _samples(source, task, out / "pruned"),
            **_bundle(cut, out),
            "settings": settings.to_json(),
            "data_sha256": pruned["calibration_sha256"],
            "versions": origin["versions"],
            "provenance": origin,
        }
    )
    write_json(out / RESULT, result)
    write_report(out)
    return result


def _checked(source: Source, task: TokenTask, settings: ModelRunSettings, path: Path) -> dict[str, Any]:
    if not path.exists():
        write_json(path, _check(source, task, settings))
    return warned(read_json(path))


def _check(source: Source, task: TokenTask, settings: ModelRunSettings) -> dict[str, Any]:
    sia, cut, model = settings.sia, settings.cut, source.model
    bound, drawn, effort = bind(model), None, None
    budget = budget_of(cut, bound.whole_plan)
    whole = parameters(bound.whole_plan)
    ratio = None if budget is None else max(1.0, whole / budget.target_parameters(whole))
    if sia.measure:
        batches = _first(task.calibration, RANKING_SAMPLES[task.name])
        effort = Effort(budget_s=math.inf, samples=sia.samples, max_evaluations=sia.evaluations)
        seed = derive(cut.seed, "sia")
        check = check_model(model, batches, ratio=ratio, effort=effort, seed=seed, components=COMPONENTS)
        drawn = {
            "kind": task.name,
            "path": cut.calibration,
            "count": sum(len(b["input_ids"]) for b in batches),
        }
    else:
        check = check_structurally(bound, ratio)
    return record_of(settings.source, bound.shape, check, samples=drawn, effort=effort, seed=cut.seed)


def _first(batches: tuple[Batch, ...], count: int) -> tuple[Batch, ...]:
    """Return the first batches that hold so many samples."""
    chosen: list[Batch] = []
    for batch in batches:
        if sum(len(one["input_ids"]) for one in chosen) >= count:
            break
        chosen.append(batch)
    return tuple(chosen)


def _samples(source: Source, task: TokenTask, folder: Path) -> list[dict[str, Any]]:
    small = checkpoint.load(folder)
    own = checkpoint.load_tokenizer(folder)
    return samples(
        task.objective.name,
        {"dense": source.model.eval(), "pruned": small},
        task.test,
        {"dense": source.tokenizer, "pruned": own},
    )


def _bundle(cut: TransformerCut, out: Path) -> dict[str, Any]:
    """Export the pruned model; say why where there is no exporter for it."""
    folder = out / "bundle"
    text = cut.calibration if cut.task in ("text", "answers") else None
    try:
        if not folder.exists():
            export_model(
                ExportRequest(source=str(out / "pruned"), folder=folder, text=text),
                format="onnx",
            )
    except (ExportError, UnsupportedArchitecture, ConfigError) as error:
        console.print(f"no bundle: {error}")
        return {"bundle": None, "no_bundle_because": str(error)}
    return {"bundle": {"path": "bundle"}, "no_bundle_because": None}
