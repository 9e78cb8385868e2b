"""How many layers to keep: candidate depths are cut to the full target and compared by measured loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from secateur.core.errors import PlanError
from secateur.core.progress import track
from secateur.core.records import to_jsonable
from secateur.methods.largest import narrowest
from secateur.scoring.allocation import CUT_BY_DEFAULT
from secateur.scoring.layers import LayerRanking
from secateur.scoring.scores import ScoredKind
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.structure.target import Target


@dataclass(frozen=True, kw_only=True)
class DepthProbe:
    """One candidate depth.

    Parameters
    ----------
    layers : int
        Layers that stay.
    parameters : int
        Of the candidate, cut to the full target.
    loss : float
        Mean of the loss and of the divergence from the dense model over the probe samples.
    excess, excess_error : float
        Mean over windows of its loss less the best candidate's, and the standard error of that mean.
    """

    layers: int
    parameters: int
    loss: float
    excess: float
    excess_error: float


@dataclass(frozen=True, kw_only=True)
class DepthChoice:
    """The depth that was chosen and why.

    Parameters
    ----------
    layers : int
        Layers that stay.
    ranking : LayerRanking
        Order in which layers are given up.
    probes : tuple of DepthProbe
        All candidates, the shallowest first.
    """

    layers: int
    ranking: LayerRanking
    probes: tuple[DepthProbe, ...]


def removable_layers(identity: PruningPlan, target: Target) -> int:
    """Return the fewest layers after whose removal the rest fits the target whole, one staying at least.

    No more are worth removing. Layers are taken to be of equal size, as in a dense model.
    """
    n_layers = len(identity.layers)
    for n_removed in range(n_layers):
        if target.met_by(identity.without_layers(range(n_removed))):
            return n_removed
    return n_layers - 1


def candidate_starts(
    identity: PruningPlan,
    order: Sequence[int],
    target: Target,
    *,
    limit: int,
    kinds: Sequence[ScoredKind] = CUT_BY_DEFAULT,
) -> list[PruningPlan]:
    """Return plans that lack the first layers of ``order``, for every depth that can spend the target.

    A depth whose whole layers stay under the target is a candidate only where no other is: a method that
    leaves part of its budget unspent cannot be compared at an equal budget. Where latency is limited, the
    candidates are alike in latency and differ in parameters: few layers may be wide, many must be thin.

    Parameters
    ----------
    identity : PruningPlan
        The dense model.
    order : sequence of int
        Layers in the order in which they are given up.
    target : Target
        A depth is out of question if its narrowest model exceeds it.
    limit : int
        Most candidates. They are spread by ratio, not by difference: the cheap shallow ones, between
        which the choice matters most for latency, lie closest.
    kinds : sequence of {"group", "head", "channel"}
        What is cut of the layers that stay.

    Returns
    -------
    list of PruningPlan
        The shallowest first.

    Raises
    ------
    PlanError
        If no depth meets the target by these kinds.
    """
    starts = [identity.without_layers(order[:n_removed]) for n_removed in range(len(order), -1, -1)]
    possible = [start for start in starts if target.met_by(narrowest(start, kinds))]
    if not possible:
        least = narrowest(starts[0], kinds)
        raise PlanError(
            f"with the fewest layers, {len(least.layers)}, cutting {' and '.join(kinds)}s leaves at least "
            f"{', '.join(target.excesses(least))}; ask for more, or cut other units too."
        )
    possible = [start for start in possible if target.spent_by(start)] or possible[-1:]
    if len(possible) <= limit:
        return possible
    depths = [len(start.layers) for start in possible]
    wanted = np.geomspace(depths[0], depths[-1], limit)
    chosen = {int(np.abs(np.array(depths) - depth).argmin()) for depth in wanted}
    return [possible[position] for position in sorted(chosen)]


def choose_depth(
    ranking: LayerRanking,
    starts: Sequence[PruningPlan],
    plan_for: Callable[[PruningPlan], PruningPlan],
    losses_of: Callable[[PruningPlan], np.ndarray],
    *,
    tolerance: float,
    remember: Callable[[str, Callable[[], Any]], Any] = lambda _name, find: to_jsonable(find()),
) -> DepthChoice:
    """Cut every candidate to the full target, measure it, and take the shallowest that is as good as any.

    As good means: its mean excess loss over the best, paired window by window, is within one standard
    error or within ``tolerance``. Depth costs latency: of two models with equal parameters the shallow
    one is faster, and a difference that recovery levels out is not worth that.

    Parameters
    ----------
    ranking : LayerRanking
        Carried into the result.
    starts : sequence of PruningPlan
        Candidates, the shallowest first.
    plan_for : callable
        Gives the full plan of a start.
    losses_of : callable
        Gives the loss of each probe sample of a full plan, shape (samples,).
    tolerance : float
        Excess loss in nats that counts as none.
    remember : callable, optional
        Given a name and how to find something, returns what an earlier try found, or that.
    """
    if len(starts) == 1:
        return DepthChoice(layers=len(starts[0].layers), ranking=ranking, probes=())

    def probed(start: PruningPlan) -> dict[str, Any]:
        plan = plan_for(start)
        return {"parameters": parameters(plan), "losses": losses_of(plan)}

    found = [
        remember(f"depth-{len(start.layers)}", partial(probed, start))
        for start in track(starts, "probing depths")
    ]
    losses = np.array([entry["losses"] for entry in found])
    excess = losses - losses[losses.mean(axis=1).argmin()]
    n_windows = losses.shape[1]
    errors = excess.std(axis=1, ddof=min(1, n_windows - 1)) / np.sqrt(n_windows)
    probes = tuple(
        DepthProbe(
            layers=len(start.layers),
            parameters=found[number]["parameters"],
            loss=float(losses[number].mean()),
            excess=float(excess[number].mean()),
            excess_error=float(errors[number]),
        )
        for number, start in enumerate(starts)
    )
    chosen = next(probe for probe in probes if probe.excess <= max(probe.excess_error, tolerance))
    return DepthChoice(layers=chosen.layers, ranking=ranking, probes=probes)
