"""Methods that leave every shape and bring the weights of the blocks into a compact form."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from secateur.core.errors import ConfigError, PlanError
from secateur.methods.base import Changes, Compression
from secateur.methods.cost import Cost, CostUnit
from secateur.methods.records import StageRecord, what_was_cut
from secateur.models.binding import BoundModel, bind
from secateur.models.compact.change import WeightChange
from secateur.models.compact.form import CompactWeight, stored_bytes
from secateur.models.live_tensors import stored_tensors
from secateur.recovery.settings import StudentSettings
from secateur.structure.budget import Budget
from secateur.tasks.base import Task, Yardstick
from secateur.tasks.kinds import require_fit


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A weight matrix of a block.

    Parameters
    ----------
    weight : Tensor, shape (rows, columns)
    transposed : bool
        Whether it stands as (inputs, outputs).
    """

    weight: Tensor
    transposed: bool

    @property
    def entries(self) -> int:
        """Numbers in it."""
        return self.weight.numel()

    @property
    def n_bytes(self) -> int:
        """Bytes of these numbers."""
        return self.weight.numel() * self.weight.element_size()


Matrices = Mapping[str, Matrix]


class WeightMethod:
    """A method that replaces weight matrices of the blocks; subclasses say by which forms.

    What lies outside the blocks (embeddings, front end, head) stays, and counts. Nothing is trained: gradient
    steps on whole matrices would undo the form.
    """

    name: ClassVar[str]
    keeps_weights: ClassVar = True
    changes: ClassVar[Changes] = "weights"
    unit: ClassVar[CostUnit] = "parameters"

    def least(self, matrices: Matrices) -> int:
        """Return the least that can remain of the matrices, in the method's unit."""
        raise NotImplementedError

    def forms(self, matrices: Matrices, allowed: int) -> dict[str, CompactWeight]:
        """Return forms such that the matrices cost no more than is allowed; whole ones are left out."""
        raise NotImplementedError

    def compress(
        self,
        model: nn.Module,
        task: Task,
        budget: Budget | None,
        recovery: StudentSettings | None,
        out: Path | None = None,
    ) -> Compression:
        """See :class:`secateur.methods.base.Method`; there are no stages to keep in ``out``.

        Raises
        ------
        ConfigError
            If the model does not fit the task, or recovery is asked for.
        PlanError
            If the budget limits anything else than the method's unit, or cannot be reached.
        """
        del out
        started = time.perf_counter()
        require_fit(model, task.objective, task.name)
        if recovery is not None and recovery.max_steps:
            raise ConfigError(
                f"method '{self.name}' is not followed by gradient steps, which would undo it; leave "
                "recovery out."
            )
        matrices = block_matrices(bind(model))
        dense, target = self._target(model, matrices, budget)
        small = deepcopy(model).eval()
        whole = sum(self._cost(matrix) for matrix in matrices.values())
        if target >= dense:
            return self._made(small, WeightChange(weights={}), dense, dense, ())
        yardstick = Yardstick(task, model)
        before = yardstick.measure(model)
        forms = self.forms(matrices, target - (dense - whole))
        change = WeightChange(weights=forms)
        change.put_into(small)
        saved = sum(self._cost(matrices[name]) - self._cost_of(form) for name, form in forms.items())
        after = yardstick.measure(small)
        identity = bind(model).whole_plan
        record = StageRecord(
            method=self.name,
            stage=self.name,
            number=1,
            target_parameters=None,
            **what_was_cut(identity, identity),
            before=before,
            after_cut=after,
            after_refit=after,
            after_recovery=after,
            recovery_steps=0,
            samples_seen=0,
            refit={},
            decisions={
                "budget": {"unit": self.unit, "dense": dense, "target": target, "remaining": dense - saved},
                "matrices": {name: self._told(matrices[name], form) for name, form in forms.items()},
            },
            accepted=True,
            seconds=time.perf_counter() - started,
        )
        return self._made(small, change, dense, dense - saved, (record,))

    def require_reachable(self, model: nn.Module, budget: Budget | None) -> None:
        """Check a budget before any work.

        Raises
        ------
        PlanError
            See :meth:`compress`.
        """
        self._target(model, block_matrices(bind(model)), budget)

    def _target(self, model: nn.Module, matrices: Matrices, budget: Budget | None) -> tuple[int, int]:
        """Return what the dense model costs and what may remain."""
        if budget is None or budget.limits or (self.unit == "bytes" and budget.ratio is None):
            raise PlanError(
                f"method '{self.name}' leaves all shapes and goes by a ratio of {self.unit}; give a ratio, "
                "and no number of parameters, latency, memory or allocation by hand."
            )
        stored = stored_tensors(model)
        if self.unit == "bytes":
            dense = sum(tensor.numel() * tensor.element_size() for tensor in stored.values())
        else:
            dense = sum(tensor.numel() for tensor in stored.values() if isinstance(tensor, nn.Parameter))
        whole = sum(self._cost(matrix) for matrix in matrices.values())
        target, least = budget.target_parameters(dense), dense - whole + self.least(matrices)
        if target < least:
            raise PlanError(
                f"{target:,} of {dense:,} {self.unit} were asked for, but {least:,} remain at the least, "
                f"{dense - whole:,} of them outside the blocks' matrices. The largest ratio that can be "
                f"reached is {int(100 * dense / least) / 100:.2f}; ask for that or less."
            )
        return dense, target

    def _cost(self, matrix: Matrix) -> int:
        return matrix.n_bytes if self.unit == "bytes" else matrix.entries

    def _cost_of(self, form: CompactWeight) -> int:
        return stored_bytes(form) if self.unit == "bytes" else form.parameters

    def _told(self, matrix: Matrix, form: CompactWeight) -> dict[str, Any]:
        return {
            "form": form.kind,
            "cost": self._cost_of(form),
            "of": self._cost(matrix),
            "relative_error": relative_error(matrix.weight, form),
        }

    def _made(
        self,
        small: nn.Module,
        change: WeightChange,
        dense: int,
        remaining: int,
        records: tuple[StageRecord, ...],
    ) -> Compression:
        cost = Cost(unit=self.unit, dense=dense, remaining=remaining)
        return Compression(method=self.name, model=small, change=change, cost=cost, records=records)


def block_matrices(bound: BoundModel) -> dict[str, Matrix]:
    """Return every weight matrix of the blocks' projections, by the name of its parameter in the model."""
    return {
        f"{bound.block_path(layer.index)}.{projection.path}.weight": Matrix(
            weight=projection.module.get_parameter("weight").detach(),
            transposed=projection.spec.orientation == "conv1d",
        )
        for layer in bound.layers
        for projection in layer.all_projections
    }


def relative_error(weight: Tensor, form: CompactWeight) -> float:
    """Return the squared distance of a form from its matrix over the matrix's squared size."""
    whole = weight.detach().cpu().double()
    return float((form.decoded().double() - whole).square().sum() / whole.square().sum().clamp_min(1e-300))


def largest_share(cost: Callable[[float], int], allowed: int) -> float:
    """Return the largest share of 0 to 1 whose cost, which grows with it, is allowed; to one in 2**40."""
    if cost(1.0) <= allowed:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) <= allowed else (low, middle)
    return low
