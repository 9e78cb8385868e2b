"""Least-squares re-fit of output projections to what the dense model put out at the same place.

A cut takes units out of the input of each output projection. The units that stay are correlated
with those that left, so better weights for them exist in closed form: the ones whose output is
closest to the dense projection's output on calibration samples. Blocks are re-fitted from the
first to the last, each on the stream that the blocks before it, already re-fitted, now give.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from secateur.blockwise.activations import InMemory
from secateur.blockwise.block import (
    OUTPUTS,
    Branch,
    Output,
    advance,
    inputs_of,
    output_projection,
    require_finite,
)
from secateur.blockwise.least_squares import STRIPE, Affine, Size, Solution, choose_ridge
from secateur.blockwise.samples import Samples, embed, require_enough
from secateur.blockwise.walk import CUT, DENSE, Taught, pass_cut, pass_dense, rounding
from secateur.core.errors import PlanError
from secateur.core.memory import trim_heap
from secateur.core.progress import progress
from secateur.models.binding import BoundLayer, BoundProjection, bind
from secateur.models.calls import Batch, rows
from secateur.structure.plan import PruningPlan

RIDGES = (0.01, 0.1, 0.3, 1.0, 3.0)

Target = Literal["projection", "stream"]

INPUTS, SCALES, WANTED, FRONT = "inputs", "scales", "wanted", "front"


@dataclass(frozen=True, kw_only=True)
class ProjectionRefit:
    """What became of one projection.

    Parameters
    ----------
    layer, dense_layer : int
        Index in the cut and in the dense model.
    projection : {'attention_output', 'ffn_output'}
    residual_before, residual_after : float
        Squared distance to the target over its squared size, on held-out samples, with the former weights
        and with those fitted to the other samples.
    adopted : bool
        Whether the new weights were taken; if they did not help on held-out samples they were not.
    """

    layer: int
    dense_layer: int
    projection: Output
    residual_before: float
    residual_after: float
    adopted: bool


@dataclass(frozen=True, kw_only=True)
class RefitReport:
    """What a re-fit did.

    Parameters
    ----------
    windows : int
        Calibration samples (windows, or blocks of tokens), held-out ones included.
    adopted : int
        Projections that took new weights.
    projections : tuple of ProjectionRefit
        First layer first.
    """

    windows: int
    adopted: int
    projections: tuple[ProjectionRefit, ...]

    @classmethod
    def of(cls, windows: int, records: Sequence[ProjectionRefit]) -> RefitReport:
        """Return the report of all projections."""
        adopted = sum(record.adopted for record in records)
        return cls(windows=windows, adopted=adopted, projections=tuple(records))


def refit(
    model: nn.Module,
    plan: PruningPlan,
    dense: nn.Module,
    batches: Sequence[Batch],
    *,
    ridges: Sequence[float] = RIDGES,
    target: Target = "projection",
    rounds: bool = False,
) -> RefitReport:
    """Re-fit every output projection of a cut model, in place.

    The target of a projection is the dense model's output of the same projection in the same layer.
    That holds also for a layer before removed ones: it is not asked to stand in for them. With the target
    "stream" each projection also makes good what the blocks before it left undone: to its target is added the
    dense model's residual stream in front of it minus the cut model's. Where a norm stands between a
    projection and the stream, distances are taken behind it. Where a block does anything else than adding to
    the stream (norms on the stream itself), the former target is taken.

    Both models are run once, block by block; what is held of each sample is its residual stream.

    Parameters
    ----------
    model : nn.Module
        The cut model, of one stack of blocks.
    plan : PruningPlan
        What it keeps, in indices of ``dense``.
    dense : nn.Module
    batches : sequence of dict of Tensor
        Calibration windows or tokens. Every fourth sample is held out, to choose the ridge of each projection
        and to see whether new weights help; then all samples are fitted. Padding is no sample.
    ridges : sequence of float
        Strengths of the pull towards the present weights to choose from; see
        :func:`secateur.blockwise.least_squares.choose_ridge`.
    target : {"projection", "stream"}
    rounds : bool
        See :func:`secateur.blockwise.walk.rounding`. The least squares keep their types.

    Returns
    -------
    RefitReport

    Raises
    ------
    PlanError
        If the plan does not describe ``model`` as cut from ``dense``.
    ConfigError
        If there are too few calibration samples to hold any out.
    UnsupportedArchitecture
        If the model is no single stack of blocks.
    """
    bound, bound_dense = bind(model), bind(dense)
    if plan.shape != bound_dense.shape or plan.result != bound.shape:
        raise PlanError(
            f"the plan leads from {plan.shape.summary()} to {plan.result.summary()}, but the models have "
            f"{bound_dense.shape.summary()} and {bound.shape.summary()}; give the plan that made the cut."
        )
    require_enough(sum(rows(batch) for batch in batches))
    fitting = Refit(ridges=ridges, target=target)
    kept = [layer.index for layer in plan.layers]
    dense_layers, held = bound_dense.layers, InMemory()
    with _evaluating(model), _evaluating(dense), progress("re-fitting", len(kept)) as bar:
        dense_samples = embed(bound_dense, batches, held, (DENSE,))
        samples = embed(bound, batches, held, (CUT,))
        position = 0
        for layer, place in zip(bound.layers, kept, strict=True):
            with rounding(layer, rounds=rounds):
                for passed in range(position, place):
                    advance(dense_layers[passed], dense_samples, DENSE)
                    held.drop(f"{DENSE}.{passed}")
                taught = pass_dense(dense_layers[place], dense_samples)
                pass_cut(layer, samples, taught, fitting)
            held.drop(f"{DENSE}.{place}")
            held.drop(f"{CUT}.{layer.index}")
            position = place + 1
            trim_heap()
            bar.advance()
    return RefitReport.of(samples.count, fitting.records)


@dataclass(kw_only=True)
class Refit:
    """The visitor that re-fits both output projections of a block.

    Attributes
    ----------
    ridges, target
        See :func:`refit`.
    gram : torch.dtype
        See :func:`secateur.blockwise.least_squares.choose_ridge`.
    records : list of ProjectionRefit
        What became of the projections so far.
    """

    ridges: Sequence[float] = RIDGES
    target: Target = "projection"
    gram: torch.dtype = torch.float64
    records: list[ProjectionRefit] = field(default_factory=list)

    def visit(self, layer: BoundLayer, samples: Samples, taught: Taught) -> bool:
        """Re-fit a block; see :class:`secateur.blockwise.walk.Visitor`."""
        for output in OUTPUTS:
            self.records.append(_Projection(self, layer, samples, taught, output).refit())
        for name in (INPUTS, SCALES):
            samples.activations.drop(name)
        return taught.branches is not None


class _Projection:
    """One output projection of a cut block and what it is to put out.

    A norm behind it is taken as the linear map that it is for tokens of the dense output's length,
    ``gain * y / scale``. So for wanted additions ``a`` to the stream the weight W is sought with ``(gain * W)
    (x / scale) = a``.
    """

    def __init__(
        self, settings: Refit, layer: BoundLayer, samples: Samples, taught: Taught, name: Output
    ) -> None:
        self.settings, self.layer, self.samples, self.taught = settings, layer, samples, taught
        self.name, self.held = name, samples.activations
        self.projection: BoundProjection = output_projection(layer, name)
        self.branches = taught.branches or {output: Branch(factor=1.0, norm=None) for output in OUTPUTS}
        self.is_added = taught.branches is not None
        self.branch = self.branches[name]
        self.repairs = settings.target == "stream" and self.is_added
        like = taught.output(name, 0)
        self.gains, self.eps = self.branch.gains(like), torch.finfo(like.dtype).eps

    def refit(self) -> ProjectionRefit:
        """Solve, take the new weights if the held-out residual falls, and let the stream go on."""
        wanted_square = self._gather()
        samples = self.samples
        found = choose_ridge(
            self._rows,
            Size(
                fitted=samples.fitted_tokens,
                held_out=samples.tokens - samples.fitted_tokens,
                inputs=self.projection.unit_features,
                outputs=self.layer.widths.hidden,
            ),
            present=self._present(),
            ridges=self.settings.ridges,
            gram=self.settings.gram,
            rounding=wanted_square * self.eps**2,
        )
        self.held.drop(WANTED)
        if found.solution is not None:
            self._renew(found.solution)
        if self.is_added:
            self._let_stream_go_on()
        size = max(wanted_square, 1e-30)
        return ProjectionRefit(
            layer=self.layer.index,
            dense_layer=self.taught.layer,
            projection=self.name,
            residual_before=found.before / size,
            residual_after=found.after / size,
            adopted=found.solution is not None,
        )

    def _gather(self) -> float:
        """Put inputs and what is wanted aside; return the mean square of the latter on held-out tokens."""
        total, tokens = 0.0, 0
        module = self.projection.module
        known = self._attended if self.name == "ffn_output" and self.is_added else None
        for batch, stream, inputs in inputs_of(self.layer, self.samples, CUT, module, known):
            front = self._front(batch) if self.is_added else stream
            output = self.taught.output(self.name, batch)
            wider = torch.float64 if front.dtype in (torch.float32, torch.float64) else torch.float32
            wanted = self.branch.added(output).to(wider)
            if self.repairs:
                wanted = wanted + self._dense_front(batch).to(wider) - front.to(wider)
            if self.branch.norm is not None:
                self.held.put(SCALES, batch, self.branch.scales(output).float())
            held_out = self.samples.chosen(batch, held_out=True)
            total += float(wanted[held_out].double().square().sum())
            tokens += int(held_out.sum())
            self.held.put(INPUTS, batch, inputs)
            self.held.put(WANTED, batch, wanted.float())
            if self.name == "ffn_output":
                self.taught.forget(batch)
        return total / max(tokens, 1)

    def _attended(self, batch: int) -> Tensor:
        """Return what the attention, already re-fitted, puts out for the inputs that are still held."""
        return self.layer.output("group")(self.held.get(INPUTS, batch))

    def _front(self, batch: int) -> Tensor:
        """Return the cut stream to which the projection's output is added."""
        name = f"{CUT}.{self.layer.index}" if self.name == "attention_output" else FRONT
        return self.held.get(name, batch)

    def _dense_front(self, batch: int) -> Tensor:
        """Return the dense stream to which the projection's output is added."""
        front = self.taught.front(batch)
        if self.name == "attention_output":
            return front
        attention = self.branches["attention_output"]
        return front + attention.added(self.taught.output("attention_output", batch))

    def _rows(self, held_out: bool) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self.samples.batches:
            chosen = self.samples.chosen(batch, held_out=held_out)
            if not chosen.any():
                continue
            inputs = self.held.get(INPUTS, batch)[chosen]
            if self.branch.norm is not None:
                inputs = inputs / self.held.get(SCALES, batch)[chosen].to(inputs.dtype)
            yield inputs, self.held.get(WANTED, batch)[chosen]

    @property
    def _module(self) -> Any:
        """The Linear, or what a family has in its place."""
        return self.projection.module

    def _present(self) -> Affine:
        """Return the present map from inputs to what is added to the stream."""
        gains, module = self.gains, self._module
        weight = self.layer.role_weight(self.projection.spec.roles[0])
        return Affine(
            weight=weight * gains[:, None].to(weight.dtype) if (gains != 1).any() else weight,
            bias=None if module.bias is None else module.bias * gains.to(module.bias.dtype),
        )

    def _renew(self, solution: Solution) -> None:
        """Add the change to the weight, some columns at a time."""
        weight = self.layer.role_weight(self.projection.spec.roles[0])
        gains = self.gains
        # what a gain of nearly nothing hides is left as it is
        seen = gains.abs() > 1e-3 * gains.abs().max()
        back = torch.where(seen, 1 / torch.where(seen, gains, 1.0), 0.0)
        for begin in range(0, weight.shape[1], STRIPE):
            columns = slice(begin, begin + STRIPE)
            change = solution.change(columns).double() * back[:, None]
            weight[:, columns] = (weight[:, columns].double() + change).to(weight.dtype)
        module = self._module
        if module.bias is not None:
            module.bias.copy_(module.bias.double() + solution.shift * back)

    def _let_stream_go_on(self) -> None:
        """Put the cut stream behind this projection, with its new weights."""
        for batch in self.samples.batches:
            output = self.projection.module(self.held.get(INPUTS, batch))
            stream = self._front(batch) + self.branch.added(output)
            if self.name == "attention_output":
                self.held.put(FRONT, batch, stream)
            else:
                for name in (INPUTS, FRONT):
                    self.held.drop(name, batch)
                require_finite(self.layer, stream[self.samples.masks[batch]])
                self.held.put(f"{CUT}.{self.layer.index + 1}", batch, stream)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
