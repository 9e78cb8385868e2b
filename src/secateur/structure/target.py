"""What a finished model may cost: parameters, and any number of other limits, all of which must hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.structure.shape import ModelShape


@runtime_checkable
class Limit(Protocol):
    """An upper bound on something that can be predicted from a shape, such as milliseconds.

    Attributes
    ----------
    name : str
        What is bounded: "latency", "memory".
    unit : str
    """

    name: ClassVar[str]
    unit: ClassVar[str]

    @property
    def most(self) -> float:
        """The bound, in that unit."""

    def cost(self, family: str, shape: ModelShape) -> float:
        """Return what a model of this family and shape is predicted to cost.

        Raises
        ------
        PlanError
            If nothing can be said about such a model.
        """


@dataclass(frozen=True, kw_only=True)
class Target:
    """A budget worked out for one dense model.

    Parameters
    ----------
    parameters : int
        Of the whole model, at most.
    limits : tuple of Limit
        What must hold beside that.
    """

    parameters: int
    limits: tuple[Limit, ...] = ()

    def met_by(self, plan: PruningPlan) -> bool:
        """Whether the model that a plan leaves keeps within everything."""
        return parameters(plan) <= self.parameters and all(
            limit.cost(plan.family, plan.result) <= limit.most for limit in self.limits
        )

    def spent_by(self, plan: PruningPlan) -> bool:
        """Whether the model that a plan leaves uses up something, or more than that."""
        return parameters(plan) >= self.parameters or any(
            limit.cost(plan.family, plan.result) >= limit.most for limit in self.limits
        )

    def excesses(self, plan: PruningPlan) -> list[str]:
        """Say in words which bounds a plan breaks, and by what."""
        found = []
        if parameters(plan) > self.parameters:
            found.append(f"{parameters(plan):,} parameters of at most {self.parameters:,}")
        for limit in self.limits:
            cost = limit.cost(plan.family, plan.result)
            if cost > limit.most:
                found.append(f"a {limit.name} of {cost:.4g} of at most {limit.most:g} {limit.unit}")
        return found

    def fingerprint(self) -> dict[str, Any]:
        """Return what a run that goes on must agree with."""
        return {"target": self.parameters, **({"limits": self.limits} if self.limits else {})}


def predicted(limits: Sequence[Limit], plan: PruningPlan) -> dict[str, dict[str, Any]]:
    """Return, by the name of each limit, its ``unit``, ``most``, and what is ``predicted`` of a plan."""
    return {
        limit.name: {
            "unit": limit.unit,
            "most": limit.most,
            "predicted": limit.cost(plan.family, plan.result),
        }
        for limit in limits
    }
