"""A run of ``secateur compress``, whatever the task: its stations in order, each of them done once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from secateur.core.files import remove_folder
from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.records import read_json, to_jsonable, write_json
from secateur.core.seeds import derive
from secateur.models import checkpoint
from secateur.models.calls import Batch
from secateur.report.page import write_report
from secateur.workflow.settings import SiaSettings
from secateur.workflow.sia_of_run import checked
from secateur.workflow.steps import partial_folder

RESULT, REPORT, SIA, RECORDS = "result.json", "report.html", "sia.json", "records.jsonl"
RIVALS = ".rivals.partial"


class Stations(Protocol):
    """What the stations of a run do for one kind of task; models are those that ``dense`` gives."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def seed(self) -> int:
        """Of the run."""

    @property
    def sia(self) -> SiaSettings:
        """How far the dense model is checked."""

    def dense(self, folder: Path) -> Any:
        """Return the dense model: trained into ``folder``, or written down there which it is."""

    def ratio(self, dense: Any) -> float | None:
        """Return the ratio of the cut to come, where it is known."""

    def samples(self) -> tuple[Sequence[Batch], dict[str, Any]]:
        """Return what the check measures on, and what is told of it."""

    def cut(self, dense: Any, check: dict[str, Any], folder: Path) -> None:
        """Cut the dense model into a checkpoint."""

    def judge(self, dense: Any, check: dict[str, Any], out: Path) -> dict[str, Any]:
        """Judge the cut model, export it, and return what ``result.json`` tells of both."""


def carry_out(stations: Stations, settings: dict[str, Any], out: Path) -> dict[str, Any]:
    """Carry out a run in the folder that its settings have claimed, or the rest of one that was stopped.

    Returns
    -------
    dict
        The content of ``result.json``.
    """
    if (found := finished(out)) is not None:
        return found
    dense, seed, pruned = stations.dense(out / "dense"), stations.seed, out / "pruned"
    check = checked(stations, dense, out / SIA, seed=derive(seed, "sia"))
    if not (pruned / checkpoint.CHECKSUMS).exists():
        stations.cut(dense, check, pruned)
    remove_folder(partial_folder(pruned))
    judged, origin = stations.judge(dense, check, out), provenance(seed=seed)
    told = {"seed": seed, "sia": check, "settings": settings, "versions": origin["versions"]}
    return finish(out, {**judged, **told, "provenance": origin})


def finished(out: Path) -> dict[str, Any] | None:
    """Return the result of a run whose figures are all there; what stands behind them is made up for."""
    if not (out / RESULT).exists():
        return None
    if (out / REPORT).exists():
        console.print(f"{out / RESULT} is there already; nothing is left to do")
    else:
        write_report(out)
    remove_folder(out / RIVALS)
    return read_json(out / RESULT)


def finish(out: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Write ``result.json`` and the report; return the result."""
    result = to_jsonable(result)
    write_json(out / RESULT, result)
    write_report(out)
    remove_folder(out / RIVALS)
    return result
