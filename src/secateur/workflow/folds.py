"""One result out of the results of several folds."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from secateur.core.provenance import provenance
from secateur.workflow.settings import RunSettings

AVERAGED = ("dense", "pruned", "fidelity", "fidelity_elsewhere", "ratio", "parity", "bytes", "baselines")
OF_ONE_FOLD = ("confusion", "accuracy_interval", "windows")


def fold_folder(protocol: str) -> str:
    """Return the name of a fold's folder: ``fault_size:14`` -> ``fault_size-14``."""
    return protocol.replace(":", "-")


def mean_of_folds(settings: RunSettings, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the unweighted means over folds; each fold's own result lies in its folder.

    Parameters
    ----------
    settings : RunSettings
    results : sequence of dict
        ``result.json`` of each fold.

    Returns
    -------
    dict
        The averaged figures, ``folds`` with the headline figures of each, and the split of each.
    """
    origin = provenance(seed=settings.task.seed)
    return {
        **{key: average([result.get(key) for result in results]) for key in AVERAGED},
        "classes": results[0]["classes"],
        "counted": results[0].get("counted", "parameters"),
        "folds": [
            {
                "protocol": result["split"]["protocol"],
                "folder": fold_folder(result["split"]["protocol"]),
                "ratio": result["ratio"],
                "dense": {key: result["dense"][key] for key in ("accuracy", "macro_f1")},
                "pruned": {key: result["pruned"][key] for key in ("accuracy", "macro_f1")},
                "agreement": result["fidelity"]["agreement"],
                "stopped_by_floor": result["stopped_by_floor"],
            }
            for result in results
        ],
        "split": {
            "protocol": settings.task.split,
            "leaks": any(result["split"]["leaks"] for result in results),
            "leak_reason": " ".join(result["split"]["leak_reason"] for result in results).strip(),
            "caveat": results[0]["split"]["caveat"],
            "folds": [result["split"] for result in results],
        },
        "verdict": _verdict(results),
        "seed": settings.task.seed,
        "backbone": settings.backbone,
        "method": settings.cut.method,
        "settings": settings.to_json(),
        "data_sha256": {result["split"]["protocol"]: result["data_sha256"] for result in results},
        "versions": origin["versions"],
        "provenance": origin,
    }


def _verdict(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Fit for use if every fold is; each sentence names its fold."""

    def told(key: str) -> list[str]:
        return [
            f"{result['split']['protocol']}: {sentence}"
            for result in results
            for sentence in result["verdict"][key]
        ]

    reasons = told("reasons")
    return {"fit_for_use": not reasons, "reasons": reasons, "cautions": told("cautions")}


def average(values: Sequence[Any]) -> Any:
    """Average numbers in equal places of nested dictionaries and lists.

    A figure that one fold lacks (None) is None, as is text on which the folds differ; what has a meaning
    within one fold only is left out.
    """
    first = values[0]
    if any(value is None for value in values):
        return None
    if isinstance(first, dict):
        return {
            key: average([value[key] for value in values])
            for key in first
            if key not in OF_ONE_FOLD and all(key in value for value in values)
        }
    if isinstance(first, list):
        return [average(entries) for entries in zip(*values, strict=True)]
    if isinstance(first, Real) and not isinstance(first, bool):
        mean = float(np.mean(values))
        return int(mean) if isinstance(first, int) and mean.is_integer() else mean
    return first if all(value == first for value in values) else None
