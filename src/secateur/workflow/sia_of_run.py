"""The independence check inside a run: carried out once on the dense model, heard before it is cut."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from secateur.core.progress import console
from secateur.core.records import read_json, write_json
from secateur.models.binding import bind
from secateur.sia.components import CLOSED_COMPONENTS
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.settings import RunSettings
from secateur.workflow.sia import Effort, check_model, check_structurally, record_of

if TYPE_CHECKING:
    from secateur.workflow.run import Stations


def checked(stations: Stations, dense: nn.Module, path: Path, *, seed: int) -> dict[str, Any]:
    """Check the dense model of a run and write what was found, or read it if that was done before.

    A granularity whose importance is not to be trusted is told on the console; the run goes on.

    Parameters
    ----------
    stations : Stations
    dense : nn.Module
    path : Path
        Of the record; see :func:`secateur.workflow.sia.record_of`.
    seed : int
    """
    if not path.exists():
        sia, told, effort = stations.sia, None, None
        if sia.measure:
            effort = Effort(budget_s=math.inf, samples=sia.samples, max_evaluations=sia.evaluations)
            batches, told = stations.samples()
            ratio = stations.ratio(dense)
            check = check_model(
                dense, batches, ratio=ratio, effort=effort, seed=seed, components=CLOSED_COMPONENTS
            )
        else:
            check = check_structurally(bind(dense), stations.ratio(dense))
        shape = bind(dense).shape
        write_json(path, record_of(stations.name, shape, check, samples=told, effort=effort, seed=seed))
    record = read_json(path)
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


def followed(settings: RunSettings, record: dict[str, Any]) -> CutSettings:
    """Return the settings of the cut with the recommended criterion, where the run is to follow it."""
    criterion = record["verdict"]["criterion"]
    if not settings.sia.follow or criterion is None:
        return settings.cut
    return replace(settings.cut, search=replace(settings.cut.search, criterion=criterion))
