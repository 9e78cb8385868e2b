"""What the measured part of the condition finds, as data: every figure with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from secateur.sia.components import Component
from secateur.tasks.names import ObjectiveName, ScoreName

Objective = Literal["loss", "divergence"]
"""What a removal costs: increase in task loss (nats), or the distance to the dense model's answer.

The distance is KL(f || f without S) in nats where there are logits; for a model without a task it is half the
squared change of the embedding, in units of the embedding's variance over the samples. It needs no label.
"""

Place = Literal["within", "across"]
"""Whether two units stand in one layer or in two."""

Treatment = Literal["closed", "apart"]
"""Units removed whole (masked), or the same number of rows of each matrix chosen and cut by itself."""

Ending = Literal["width", "budget", "evaluations", "exhausted", "unfinished"]
"""Why measuring stopped.

``width``: every interval was narrow enough; ``budget``: time was up; ``evaluations``: their number was used
up; ``exhausted``: nothing was left to draw; ``unfinished``: it has not, this is an early answer.
"""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its interval; all three are NaN where too little was measured.

    Parameters
    ----------
    value : float
        The estimate from everything that was measured.
    low, high : float
        95 % bootstrap interval, over calibration samples and over what was drawn (subsets, pairs, units).
    """

    value: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Length of the interval."""
        return self.high - self.low


@dataclass(frozen=True, kw_only=True)
class GapPoint:
    """Additivity of the removal of subsets of one size.

    Parameters
    ----------
    size : int
        Units in a subset.
    fraction : float
        Of all units of the component.
    gap : Estimate
        ``sum |D(S) - sum D({i})| / sum max(|D(S)|, |sum D({i})|)`` over the subsets: 0 where removal adds up;
        towards 1 where one is far above the other; above 1, and at most 2, only where they differ in sign.
    joint, summed : Estimate
        Mean of D(S) and of ``sum D({i})``; their difference tells the direction.
    n_subsets : int
        How many subsets were measured.
    """

    size: int
    fraction: float
    gap: Estimate
    joint: Estimate
    summed: Estimate
    n_subsets: int


@dataclass(frozen=True, kw_only=True)
class AdditivityCurve:
    """Additivity gap over growing subsets, ascending in size."""

    component: Component
    objective: Objective
    points: tuple[GapPoint, ...]


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """How two removals bear on each other: ``I = D({i,j}) - D({i}) - D({j})``.

    Parameters
    ----------
    component, objective, place
        Of which units, in which sense, in one layer or across layers.
    mean : Estimate
        Mean of I over the pairs, in nats. Above 0: each stands in for the other (redundancy).
    normalised : Estimate
        ``sum |I| / sum max(|D({i,j})|, |D({i})| + |D({j})|)``; comparable between models.
    signed : Estimate
        The same with I in place of its size: from -1 to 1 where no D is negative.
    n_pairs : int
        How many pairs were measured.
    """

    component: Component
    objective: Objective
    place: Place
    mean: Estimate
    normalised: Estimate
    signed: Estimate
    n_pairs: int


@dataclass(frozen=True, kw_only=True)
class InteractionMap:
    """Interaction by layer and layer, for a heat map.

    Parameters
    ----------
    component, objective
        Of which units, in which sense.
    normalised : tuple of tuple of float
        (layers, layers), symmetric: ``sum |I| / sum max(...)`` over the pairs of a cell; NaN where none was
        measured.
    signed : tuple of tuple of float
        The same with the sign of I.
    n_pairs : tuple of tuple of int
        Pairs measured in each cell.
    """

    component: Component
    objective: Objective
    normalised: tuple[tuple[float, ...], ...]
    signed: tuple[tuple[float, ...], ...]
    n_pairs: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class RankStability:
    """Spearman correlation of the scores of surviving units before and after others are removed.

    Parameters
    ----------
    component : Component
        What is scored, and what is removed.
    criterion : str
        Name of the criterion; ``"removal"`` for the exact D({i}).
    removed_fraction : float
        Part of the units that is removed, drawn at random.
    value : Estimate
        Before and after on the same samples.
    across_halves : Estimate
        Before on one half of the samples, after on the other. To be held against ``noise_ceiling``: sampling
        noise weighs equally on both.
    noise_ceiling : Estimate
        Between the two halves, nothing removed. NaN for criteria that look at no sample.
    n_removals : int
        How many random parts were removed.
    """

    component: Component
    criterion: str
    removed_fraction: float
    value: Estimate
    across_halves: Estimate
    noise_ceiling: Estimate
    n_removals: int


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Spearman correlation of a criterion's score with the exact single-removal D({i}).

    Parameters
    ----------
    component, criterion, objective
        What is scored, by what, and held against which D.
    value : Estimate
        Over the measured units of all layers together.
    within_layers : Estimate
        Mean over layers of the correlation inside a layer; NaN where a layer has too few units.
    n_units : int
        How many units were measured.
    """

    component: Component
    criterion: str
    objective: Objective
    value: Estimate
    within_layers: Estimate
    n_units: int


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Jaccard overlap of what matrices that belong together would each keep if they chose alone.

    Parameters
    ----------
    component : {"channel", "group"}
        The closed unit that the matrices share.
    roles : tuple of str
        The matrices: ``("gate", "up", "down")``, or ``("q", "k")`` for what query heads and what key/value
        heads choose.
    criterion : str
        By what each matrix scores its own rows.
    kept_fraction : float
        Part of the units that each keeps.
    value : Estimate
        Mean over layers and pairs of matrices.
    by_layer : tuple of Estimate
        Mean over pairs of matrices, for each layer.
    by_pair : dict of str to Estimate
        Mean over layers for each pair, by names such as ``"gate-up"``.
    chance : float
        Expected overlap of choices that know nothing of each other.
    """

    component: Component
    roles: tuple[str, ...]
    criterion: str
    kept_fraction: float
    value: Estimate
    by_layer: tuple[Estimate, ...]
    by_pair: dict[str, Estimate]
    chance: float


@dataclass(frozen=True, kw_only=True)
class RemovalPoint:
    """What the removal of a part of the units costs, without recovery.

    Parameters
    ----------
    fraction : float
        Units removed, of all units of the component.
    parameters : float
        Parameters removed, of all parameters of the blocks.
    loss : Estimate
        D(S) in task loss; NaN for a model without a task.
    divergence : Estimate
        D(S) in distance to the dense model.
    score : Estimate
        Named by the curve's ``score_name``.
    """

    fraction: float
    parameters: float
    loss: Estimate
    divergence: Estimate
    score: Estimate


@dataclass(frozen=True, kw_only=True)
class RemovalCurve:
    """Removal of a growing part, the least important first, equally many in every layer.

    Parameters
    ----------
    component : Component
        What is removed; ``"matrix"`` for FFN rows chosen matrix by matrix.
    criterion : str
        What chooses; ``"removal"`` for the exact D({i}).
    treatment : {"closed", "apart"}
    score_name : str
        What ``score`` of the points is.
    dense_score : float
        That of the dense model.
    points : tuple of RemovalPoint
        Ascending; nothing removed is left out.
    """

    component: Component
    criterion: str
    treatment: Treatment
    score_name: ScoreName
    dense_score: float
    points: tuple[RemovalPoint, ...]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything that was measured on a dense model, and how far the measuring got.

    Parameters
    ----------
    task : ObjectiveName
        Decides whether there is a task loss.
    components : tuple of Component
        In the order asked for.
    criteria : tuple of str
        In the order asked for.
    additivity : tuple of AdditivityCurve
        One for each component (all but ``"matrix"``) and objective.
    interactions : tuple of Interaction
        One for each component, objective and place.
    interaction_maps : tuple of InteractionMap
        One for each component and objective.
    rank_stability : tuple of RankStability
        One for each component and criterion that depends on the rest of the model.
    fidelity : tuple of Fidelity
        One for each component, criterion and objective.
    agreement : tuple of Agreement
        Empty where no component of several matrices was asked for.
    removal_loss : tuple of RemovalCurve
        One for each component, criterion and treatment.
    n_samples : int
        Calibration samples (windows, or blocks of tokens).
    n_evaluations : int
        Passes over all of them, whole or from some layer on.
    seconds : float
        Wall time.
    reached_width : float
        Widest interval among the figures that the width is asked of (gaps, normalised interactions,
        correlations).
    wanted_width : float
        What was asked for.
    ended_by : Ending
    seed : int
    """

    task: ObjectiveName
    components: tuple[Component, ...]
    criteria: tuple[str, ...]
    additivity: tuple[AdditivityCurve, ...]
    interactions: tuple[Interaction, ...]
    interaction_maps: tuple[InteractionMap, ...]
    rank_stability: tuple[RankStability, ...]
    fidelity: tuple[Fidelity, ...]
    agreement: tuple[Agreement, ...]
    removal_loss: tuple[RemovalCurve, ...]
    n_samples: int
    n_evaluations: int
    seconds: float
    reached_width: float
    wanted_width: float
    ended_by: Ending
    seed: int
