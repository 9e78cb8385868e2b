"""The independence check inside a run: carried out once on the dense model, heard before it is cut."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from secateur.core.progress import console
from secateur.core.records import read_json, write_json
from secateur.core.seeds import derive
from secateur.models.binding import bind
from secateur.models.diagnoser import Diagnoser
from secateur.sia.components import Component
from secateur.workflow.settings import CutSettings, RunSettings
from secateur.workflow.sia import Effort, calibration_windows, check_model, check_structurally, record_of
from secateur.workflow.task import Preparation

COMPONENTS: tuple[Component, ...] = ("layer", "group", "channel")
"""What a run cuts: closed units."""


def checked(dense: Diagnoser, preparation: Preparation, settings: RunSettings, path: Path) -> dict[str, Any]:
    """Check the dense model and write what was found, or read it if that was done before.

    A granularity whose importance is not to be trusted is told on the console; the run goes on.

    Parameters
    ----------
    dense : Diagnoser
    preparation : Preparation
    settings : RunSettings
    path : Path
        Of the record.

    Returns
    -------
    dict
        See :func:`secateur.workflow.sia.record_of`.
    """
    if not path.exists():
        write_json(path, _check(dense, preparation, settings))
    return warned(read_json(path))


def warned(record: dict[str, Any]) -> dict[str, Any]:
    """Tell on the console which granularities cannot be trusted; return the record."""
    for entry in record["verdict"]["granularities"]:
        if entry["verdict"] == "unreliable":
            failed = ", ".join(
                check["figure"].replace("_", " ") for check in entry["checks"] if check["outcome"] == "fails"
            )
            console.print(
                f"warning: importance of {entry['granularity']} is unreliable on "
                f"this model ({failed}); expect more loss than scores promise. See the report."
            )
    return record


def _check(dense: Diagnoser, preparation: Preparation, settings: RunSettings) -> dict[str, Any]:
    sia, ratio, seed = settings.sia, settings.cut.ratio, derive(settings.task.seed, "sia")
    shape, samples, effort = bind(dense).shape, None, None
    if sia.measure:
        effort = Effort(budget_s=math.inf, samples=sia.samples, max_evaluations=sia.evaluations)
        batches, samples = calibration_windows(preparation, sia.samples, seed=seed)
        check = check_model(dense, batches, ratio=ratio, effort=effort, seed=seed, components=COMPONENTS)
    else:
        check = check_structurally(bind(dense), ratio)
    return record_of(settings.backbone, shape, check, samples=samples, effort=effort, seed=seed)


def followed(settings: RunSettings, record: dict[str, Any]) -> CutSettings:
    """Return the settings of the cut with the recommended criterion, where the run is to follow it."""
    criterion = record["verdict"]["criterion"]
    if not settings.sia.follow or criterion is None:
        return settings.cut
    cascade = settings.cut.cascade
    search = replace(cascade.search, criterion=criterion)
    return replace(settings.cut, cascade=replace(cascade, search=search))
