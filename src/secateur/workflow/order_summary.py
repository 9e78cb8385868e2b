"""From the figures of every seed to means, intervals and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from secateur.core.records import to_jsonable
from secateur.methods.settings import STAGE_NAMES
from secateur.sia.staleness import GRANULARITIES
from secateur.workflow.order_settings import ARMS, COARSE_TO_FINE, DENSE_CONTROL
from secateur.workflow.order_tests import compare_to, mean_interval, paired_test

FIGURES = ("accuracy", "macro_f1", "kl", "agreement", "parameters", "ratio", "depth", "recovery_steps")
TESTED = ("accuracy", "kl")


def summarise(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the tables and pictures show.

    Parameters
    ----------
    seeds : sequence of mapping
        Each with ``seed``, ``reference``, ``arms``, ``staleness`` and ``information``.

    Returns
    -------
    dict
        ``reference`` and ``arms`` (mean and interval over seeds of every figure, and the noise curve),
        ``failed`` (reason by arm), ``tests`` (by figure, against coarse-to-fine), ``staleness`` (by ``how``),
        ``asymmetry`` (is a fine score staler after a coarse stage than a coarse one after a fine stage?),
        ``information`` (by model, at the input, at its peak and at the head) and
        ``violations`` (how many steps of the data-processing inequality each estimator broke).
    """
    arms = {name: [seed["arms"][name] for seed in seeds] for name in ARMS}
    whole = {name: runs for name, runs in arms.items() if all(run["failed"] is None for run in runs)}
    return to_jsonable(
        {
            "reference": _means([seed["reference"] for seed in seeds]),
            "arms": {name: _means(runs) for name, runs in whole.items()},
            "failed": {
                name: next(run["failed"] for run in runs if run["failed"])
                for name, runs in arms.items()
                if name not in whole
            },
            "tests": _tests(seeds),
            "staleness": {how: _staleness(seeds, how) for how in ("matched", "cascade")},
            "asymmetry": {how: _asymmetry(seeds, how) for how in ("matched", "cascade")},
            "information": _information(seeds),
            "violations": _violations(seeds),
        }
    )


def _means(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    figures = {name: _mean([run[name] for run in runs]) for name in FIGURES if name in runs[0]}
    curve = [
        {"snr_db": points[0]["snr_db"], **{name: _mean([p[name] for p in points]) for name in TESTED}}
        for points in zip(*(run["curve"] for run in runs), strict=True)
    ]
    return {**figures, "curve": curve}


def _mean(values: Sequence[float]) -> dict[str, Any]:
    return {"mean": float(np.mean(values)), "interval": mean_interval(values), "seeds": len(values)}


def _tests(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = {}
    for figure in TESTED:
        values = {
            name: {
                seed["seed"]: seed["arms"][name][figure]
                for seed in seeds
                if seed["arms"][name]["failed"] is None
            }
            for name in ARMS
            if name != DENSE_CONTROL
        }
        found[figure] = compare_to(COARSE_TO_FINE, values) if values[COARSE_TO_FINE] else ()
    return found


def _values(
    seeds: Sequence[Mapping[str, Any]], how: str, stage: str, of: str, field: str
) -> dict[int, float]:
    return {
        seed["seed"]: row[field]
        for seed in seeds
        for row in seed["staleness"]
        if (row["how"], row["stage"], row["of"]) == (how, stage, of) and row[field] is not None
    }


def _staleness(seeds: Sequence[Mapping[str, Any]], how: str) -> list[dict[str, Any]]:
    """One cell a pair of stage and granularity; cells without a value are left out."""
    cells = []
    for stage in STAGE_NAMES:
        for of in GRANULARITIES:
            values = list(_values(seeds, how, stage, of, "value").values())
            if not values:
                continue
            means = {
                name: _optional_mean(_values(seeds, how, stage, of, name))
                for name in ("noise", "beyond_noise")
            }
            cells.append({"stage": stage, "of": of, **_mean(values), **means})
    return cells


def _optional_mean(values: Mapping[int, float]) -> float | None:
    return float(np.mean(list(values.values()))) if values else None


def _asymmetry(seeds: Sequence[Mapping[str, Any]], how: str) -> list[dict[str, Any]]:
    """Staleness of the finer granularity after the coarser stage, minus the other way round."""
    found = []
    for coarse, fine in ((0, 1), (0, 2), (1, 2)):
        forth = _values(seeds, how, STAGE_NAMES[coarse], GRANULARITIES[fine], "value")
        back = _values(seeds, how, STAGE_NAMES[fine], GRANULARITIES[coarse], "value")
        both = sorted(set(forth) & set(back))
        if both:
            name = f"{GRANULARITIES[fine]} after {STAGE_NAMES[coarse]}"
            test = paired_test(name, [forth[seed] - back[seed] for seed in both])
            found.append(
                {
                    "finer": GRANULARITIES[fine],
                    "coarser": GRANULARITIES[coarse],
                    "finer_after_coarser": float(np.mean([forth[seed] for seed in both])),
                    "coarser_after_finer": float(np.mean([back[seed] for seed in both])),
                    "test": test,
                }
            )
    return found


def _information(seeds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return usable information, as shares of ``H(Y)``, and the CKA at the head of every model."""
    models: dict[str, list[Mapping[str, Any]]] = {}
    for seed in seeds:
        for model in seed["information"]:
            models.setdefault(model["model"], []).append(model)
    return [
        {
            "model": name,
            "input": _mean([model["places"][0]["usable"]["share"] for model in found]),
            "peak": _mean([max(place["usable"]["share"] for place in model["places"]) for model in found]),
            "head": _mean([model["places"][-1]["usable"]["share"] for model in found]),
            "head_cka": _mean([model["places"][-1]["kernel"]["cka"] for model in found]),
        }
        for name, found in models.items()
    ]


def _violations(seeds: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the steps looked at, how many of them an estimate rose behind, and the largest rise."""
    models = [model for seed in seeds for model in seed["information"]]
    found = {}
    for name in ("usable", "kernel"):
        broken = [
            {"model": model["model"], **step} for model in models for step in model[f"{name}_violations"]
        ]
        found[name] = {
            "steps": sum(len(model["places"]) - 1 for model in models),
            "violations": len(broken),
            "largest": max(broken, key=lambda step: step["gain"], default=None),
        }
    return found
