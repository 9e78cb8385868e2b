"""``secateur compress MODEL``: from a trained model and its data to a verified small one, with a report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from secateur.core.errors import ConfigError, DataError, ExportError, UnsupportedArchitecture
from secateur.core.files import sha256_of
from secateur.core.progress import console
from secateur.core.records import to_jsonable, write_json
from secateur.core.typed import typed
from secateur.methods.weights import WeightMethod
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.calls import Batch
from secateur.structure.budget import Budget
from secateur.structure.counting import parameters
from secateur.tasks.reading import task_of_model
from secateur.tasks.samples import samples
from secateur.tasks.token_task import TokenTask
from secateur.training.state import digest
from secateur.workflow.claim import claim
from secateur.workflow.cut_model import task_of
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.export import export_model
from secateur.workflow.export_request import ExportRequest
from secateur.workflow.prune import prune_model, require_vocabulary_file, trimmed_vocabulary
from secateur.workflow.run import RECORDS, carry_out
from secateur.workflow.settings import SiaSettings
from secateur.workflow.source import Source, open_source
from secateur.workflow.steps import write_records
from secateur.workflow.target import budget_of

NEEDS_DATA = "a run is judged on data; give --calibration FILE (or cut alone, with 'secateur prune')."
EVALUATIONS = 40
"""Of the independence check: a pass of a language model takes as long as hundreds of a Diagnoser."""


@dataclass(frozen=True, kw_only=True)
@typed
class ModelRunSettings:
    """A whole run on a trained model.

    Parameters
    ----------
    source : str
        A ``transformers`` folder, a GGUF file, a name on the hub, or a checkpoint of such a model.
    cut : CutSettings
        With calibration data.
    sia : SiaSettings
        Its criterion is not followed: models of text are scored by the surgeon, which it does not measure.
    """

    source: str
    cut: CutSettings
    sia: SiaSettings = field(default_factory=lambda: SiaSettings(follow=False, evaluations=EVALUATIONS))

    def __post_init__(self) -> None:
        if self.cut.data is None:
            raise ConfigError(NEEDS_DATA)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return to_jsonable(asdict(self))


def compress_model(settings: ModelRunSettings, out: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Carry out a whole run on a trained model; see :func:`secateur.workflow.compress.compress`."""
    out = Path(out)
    require_vocabulary_file(settings.cut.tokens.vocabulary)
    source = open_source(settings.source)
    asked, data = settings.cut.tokens, settings.cut.data
    assert data is not None and isinstance(data.path, Path), "the settings ask for a file"
    cut = replace(settings.cut, text=replace(asked, judged=True))
    cut = cut.on(asked.task or task_of_model(source.model))
    trimmed = trimmed_vocabulary(source, asked.vocabulary)
    tokens_cut = bind(source.model).whole_plan.with_tokens(None if trimmed is None else trimmed.tokens)
    budget = budget_of(cut, tokens_cut)
    if isinstance(method := cut.chosen_method, WeightMethod):
        method.require_reachable(source.model, budget)
    task = task_of(source, cut)
    weights = digest(source.model)
    read = [*data.digests, weights, *([] if asked.vocabulary is None else [sha256_of(asked.vocabulary)])]
    claim(out, settings.to_json(), seed=asked.seed, data_sha256=read, overwrite=overwrite)
    stations = _TextStations(
        source=source,
        weights_sha256=weights,
        task=task,
        cut_settings=cut,
        file=data.path,
        budget=budget,
        name=settings.source,
        seed=asked.seed,
        sia=settings.sia,
    )
    return carry_out(stations, settings.to_json(), out)


@dataclass(frozen=True, kw_only=True)
class _TextStations:
    """A run on a trained model: the dense model is given, and both are asked to say something."""

    source: Source
    weights_sha256: str
    task: TokenTask
    cut_settings: CutSettings
    file: Path
    budget: Budget | None
    name: str
    seed: int
    sia: SiaSettings

    def dense(self, folder: Path) -> PreTrainedModel:
        model = self.source.model
        told = {
            "source": self.name,
            "model_class": type(model).__name__,
            "parameters": parameters(bind(model).whole_plan),
            "weights_sha256": self.weights_sha256,
        }
        write_json(folder / "reference.json", told)
        return model

    def ratio(self, dense: PreTrainedModel) -> float | None:
        whole = parameters(bind(dense).whole_plan)
        return None if self.budget is None else max(1.0, whole / self.budget.target_parameters(whole))

    def samples(self) -> tuple[tuple[Batch, ...], dict[str, Any]]:
        batches = _first(self.task.calibration, self.cut_settings.search.ranking_samples)
        count = sum(len(batch["input_ids"]) for batch in batches)
        return batches, {"kind": self.task.name, "path": self.file, "count": count}

    def cut(self, dense: PreTrainedModel, check: dict[str, Any], folder: Path) -> None:
        del dense, check
        prune_model(self.name, self.cut_settings, folder)

    def judge(self, dense: PreTrainedModel, check: dict[str, Any], out: Path) -> dict[str, Any]:
        del dense, check
        pruned = checkpoint.describe(out / "pruned").metadata
        write_records(pruned["stages"], out / RECORDS)
        return {
            **pruned,
            "samples": _samples(self.source, self.task, out / "pruned"),
            **_bundle(self.file if self.task.name == "text" else None, out),
            "data_sha256": pruned["calibration_sha256"],
        }


def _first(batches: tuple[Batch, ...], count: int) -> tuple[Batch, ...]:
    """Return the first batches that hold so many samples."""
    chosen: list[Batch] = []
    for batch in batches:
        if sum(len(one["input_ids"]) for one in chosen) >= count:
            break
        chosen.append(batch)
    return tuple(chosen)


def _samples(source: Source, task: TokenTask, folder: Path) -> list[dict[str, Any]]:
    assert task.test is not None, "a run holds samples out"
    small = checkpoint.load(folder)
    own = checkpoint.load_tokenizer(folder)
    return samples(
        task.objective.name,
        {"dense": source.model.eval(), "pruned": small},
        task.test,
        {"dense": source.tokenizer, "pruned": own},
    )


def _bundle(text: Path | None, out: Path) -> dict[str, Any]:
    """Export the pruned model; say why where no exporter takes it, or its text is too short."""
    folder = out / "bundle"
    try:
        if not folder.exists():
            export_model(
                ExportRequest(source=str(out / "pruned"), folder=folder, text=text),
                format="onnx",
            )
    except (ExportError, UnsupportedArchitecture, ConfigError, DataError) as error:
        console.print(f"no bundle: {error}")
        return {"bundle": None, "no_bundle_because": str(error)}
    return {"bundle": {"path": "bundle"}, "no_bundle_because": None}
