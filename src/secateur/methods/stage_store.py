"""Finished stages on disk, so that a killed run goes on from the last one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from secateur.core.errors import CheckpointError
from secateur.core.files import remove_folder
from secateur.core.progress import console
from secateur.core.records import read_json, to_jsonable, write_json
from secateur.methods.records import StageRecord
from secateur.methods.stage import State
from secateur.models.checkpoint import load, save
from secateur.structure.plan_file import plan_from_json, plan_to_json
from secateur.tasks.base import Task
from secateur.training.state import digest

RECOVERY = "recovery"


class StageStore:
    """Stages of one run in one folder: ``stage-1-layers/model`` and, written last, ``record.json``.

    Parameters
    ----------
    folder : Path or None
        Where; None keeps nothing.
    fingerprint : dict
        What the run depends on; stages of another run are refused.
    """

    def __init__(self, folder: Path | None, fingerprint: dict[str, Any]) -> None:
        self.folder, self.fingerprint = folder, to_jsonable(fingerprint)

    def place(self, number: int, stage: str) -> Path | None:
        """Return the folder of one stage."""
        return None if self.folder is None else self.folder / f"stage-{number}-{stage}"

    def recovery_place(self, number: int, stage: str) -> Path | None:
        """Return the folder of the resumable state of a stage's recovery; it goes when the stage is done."""
        place = self.place(number, stage)
        return None if place is None else place / RECOVERY

    def write(self, state: State, record: StageRecord) -> None:
        """Keep a finished stage; its record appears only once its model is whole."""
        place = self.place(record.number, record.stage)
        if place is None:
            return
        save(state.model, place / "model", plan=state.plan)
        entry = {"fingerprint": self.fingerprint, "plan": plan_to_json(state.plan), "record": record}
        write_json(place / "record.json", entry)
        remove_folder(place / RECOVERY)

    def remember(self, name: str, find: Callable[[], Any]) -> Any:
        """Return JSON values that took long to find: those of an earlier try, or those found now."""
        if self.folder is None:
            return to_jsonable(find())
        path = self.folder / f"{name}.json"
        if path.exists():
            kept = read_json(path, ("fingerprint", "found"))
            self._require_same(kept["fingerprint"], path)
            return kept["found"]
        found = to_jsonable(find())
        write_json(path, {"fingerprint": self.fingerprint, "found": found})
        return found

    def _require_same(self, theirs: dict[str, Any], place: Path) -> None:
        if theirs != self.fingerprint:
            raise CheckpointError(
                f"{place} holds a stage of another run (model, data, settings or seed differ); "
                "give an empty folder, or the settings of that run."
            )

    def read(self, number: int, stage: str) -> tuple[State, StageRecord] | None:
        """Return a finished stage, or None if it has not been finished.

        Raises
        ------
        CheckpointError
            If it is damaged or belongs to another run.
        """
        place = self.place(number, stage)
        if place is None or not (place / "record.json").exists():
            return None
        entry = read_json(place / "record.json", ("fingerprint", "plan", "record"))
        self._require_same(entry["fingerprint"], place)
        console.print(f"stage {number} ({stage}) is taken from {place}")
        record = StageRecord.from_json(entry["record"])
        plan = plan_from_json(entry["plan"])
        return State(model=load(place / "model"), plan=plan, figures=record.after_recovery), record


def fingerprint(dense: nn.Module, task: Task, **settings: object) -> dict[str, Any]:
    """Return what identifies a run: weights, data, settings."""
    return {"dense": digest(dense), **task.fingerprint(), **settings}
