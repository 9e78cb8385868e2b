"""Least-squares re-fit of output projections to what the dense model put out at the same place.

A cut takes units out of the input of each output projection. The units that stay are correlated
with those that left, so better weights for them exist in closed form: the ones whose output is
closest to the dense projection's output on calibration samples. Blocks are re-fitted from the
first to the last, each on the stream that the blocks before it, already re-fitted, now give.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from secateur.core.errors import ConfigError, PlanError
from secateur.core.progress import progress
from secateur.models.binding import BoundLayer, BoundModel, bind
from secateur.models.block_inputs import BlockCall, BlockInputs, inputs_of_run
from secateur.models.calls import Batch, rows, run, token_mask
from secateur.recovery.least_squares import Moments, solve_best
from secateur.structure.plan import PruningPlan
from secateur.structure.spec import OUTPUT_ROLE, WidthKind

HELD_OUT_EVERY = 4
RIDGES = (0.01, 0.1, 0.3, 1.0, 3.0)

Target = Literal["projection", "stream"]
Output = Literal["attention_output", "ffn_output"]
OUTPUTS: dict[Output, WidthKind] = {"attention_output": "group", "ffn_output": "channel"}


@dataclass(frozen=True, kw_only=True)
class ProjectionRefit:
    """What became of one projection.

    Parameters
    ----------
    layer, dense_layer : int
        Index in the cut and in the dense model.
    projection : {'attention_output', 'ffn_output'}
    residual_before, residual_after : float
        Squared distance to the dense output over its squared size, on held-out samples, with the
        former weights and with those fitted to the other samples.
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


def refit(
    model: nn.Module,
    plan: PruningPlan,
    dense: nn.Module,
    batches: Sequence[Batch],
    *,
    ridges: Sequence[float] = RIDGES,
    target: Target = "projection",
) -> RefitReport:
    """Re-fit every output projection of a cut model, in place.

    The target of a projection is the dense model's output of the same projection in the same layer.
    That holds also for a layer before removed ones: it is not asked to stand in for them. With the target
    "stream" each projection also makes good what the blocks before it left undone: to its target is added the
    dense model's residual stream in front of it minus the cut model's. Where a block does not simply add its
    projections' outputs to the stream (norms behind them), the former target is taken.

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
        and to see whether new weights help; then all samples are fitted.
    ridges : sequence of float
        Strengths of the pull towards the present weights to choose from; see
        :func:`secateur.recovery.least_squares.solve`.
    target : {"projection", "stream"}

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
    samples = sum(rows(batch) for batch in batches)
    if samples < HELD_OUT_EVERY:
        raise ConfigError(
            f"{samples} calibration samples were given; a re-fit needs at least {HELD_OUT_EVERY}."
        )
    records = []
    with _evaluating(model), _evaluating(dense), progress("re-fitting", len(bound.layers)) as bar:
        teacher, pupil = _Sweep(bound_dense, batches), _Sweep(bound, batches)
        for layer, kept in zip(bound.layers, plan.layers, strict=True):
            teacher.go_to(kept.index)
            taught = teacher.outputs(kept.index)
            repairs = target == "stream" and taught.is_sum
            for name in OUTPUTS:
                fitted, held_out = pupil.moments(layer, name, taught, repairs=repairs)
                records.append(_renew(layer, kept.index, name, fitted, held_out, ridges))
            pupil.pass_by(layer, is_sum=taught.is_sum)
            bar.advance()
    return RefitReport(
        windows=samples, adopted=sum(record.adopted for record in records), projections=tuple(records)
    )


class _ReachedError(Exception):
    """Ends a block at the projection of interest."""


class _Sweep:
    """The residual streams of all calibration batches in front of one block after the other."""

    @torch.no_grad()
    def __init__(self, bound: BoundModel, batches: Sequence[Batch]) -> None:
        self.layers = bound.layers
        inputs: list[BlockInputs] = []
        for batch in batches:
            found = inputs_of_run(bound, lambda batch=batch: run(bound.model, batch))
            inputs.append(found.sharing(inputs[-1]) if inputs else found)
        self.masks = [token_mask(batch) for batch in batches]
        self.streams = [entry.stream for entry in inputs]
        self.calls = [entry.calls for entry in inputs]
        self.position = 0
        self._seen: list[_Seen] = []

    @torch.no_grad()
    def go_to(self, position: int) -> None:
        """Run the blocks up to ``position``."""
        while self.position < position:
            block = self.layers[self.position].module
            self.streams = [call.run(block, stream) for call, stream in self._at(self.position)]
            self.position += 1

    @torch.no_grad()
    def outputs(self, position: int) -> _BlockOutputs:
        """Return what a block and both its output projections put out, and go past the block."""
        found: dict[Output, list[Tensor]] = {name: [] for name in OUTPUTS}
        before = self.streams
        with _listening(self.layers[position], found):
            self.go_to(position + 1)
        shaped = {
            name: [output.view(stream.shape) for output, stream in zip(outputs, before, strict=True)]
            for name, outputs in found.items()
        }
        return _BlockOutputs(before=before, after=self.streams, projections=shaped)

    @torch.no_grad()
    def moments(
        self, layer: BoundLayer, name: Output, taught: _BlockOutputs, *, repairs: bool
    ) -> tuple[Moments, Moments]:
        """Gather the moments of the samples to fit on and of those held out."""
        projection = layer.output(OUTPUTS[name])
        targets = taught.projections[name]
        fitted, held_out = (
            Moments(n_inputs=_inputs_of(projection), n_outputs=targets[0].shape[-1]) for _ in range(2)
        )
        first, self._seen = 0, []
        for number, (call, stream) in enumerate(self._at(layer.index)):
            seen = _seen_by(layer, name, call, stream, to_the_end=name == "ffn_output" and taught.is_sum)
            self._seen.append(seen)
            inputs, outputs = seen.inputs, seen.outputs
            target = targets[number].double()
            if repairs:
                target = target + taught.in_front_of(name, number).double()
                own = outputs["attention_output"] if name == "ffn_output" else 0.0
                target = target - (stream + own).double()
            kept_back = (first + torch.arange(len(inputs))) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
            mask = self.masks[number]
            present = torch.ones(stream.shape[:2], dtype=torch.bool) if mask is None else mask
            for part, rows_chosen in ((fitted, ~kept_back), (held_out, kept_back)):
                chosen = present & rows_chosen[:, None]
                if chosen.any():
                    gap = target[chosen] - outputs[name][chosen].double()
                    part.add(inputs[chosen], gap, target[chosen])
            first += len(inputs)
        return fitted, held_out

    @torch.no_grad()
    def pass_by(self, layer: BoundLayer, *, is_sum: bool) -> None:
        """Go past a block whose FFN output has just been fitted.

        Where the block is a sum, only that output is computed anew.
        """
        if not is_sum:
            self.go_to(layer.index + 1)
            return
        projection = layer.output("channel")
        self.streams = [
            seen.after - seen.outputs["ffn_output"] + projection(seen.inputs) for seen in self._seen
        ]
        self.position, self._seen = layer.index + 1, []

    def _at(self, position: int) -> Iterator[tuple[BlockCall, Tensor]]:
        return ((calls[position], stream) for calls, stream in zip(self.calls, self.streams, strict=True))


@dataclass(frozen=True, kw_only=True)
class _BlockOutputs:
    """What the dense model does in one block, batch by batch."""

    before: Sequence[Tensor]
    after: Sequence[Tensor]
    projections: dict[Output, list[Tensor]]

    @property
    def is_sum(self) -> bool:
        """Whether the block adds the outputs of its projections to the stream, and nothing else."""
        added = sum(outputs[0] for outputs in self.projections.values())
        gap = (self.after[0] - self.before[0] - added).abs().max()
        return bool(gap <= 1e-3 * added.abs().max())

    def in_front_of(self, name: Output, number: int) -> Tensor:
        """The stream to which a projection's output is added, for batch ``number``."""
        stream = self.before[number]
        return stream if name == "attention_output" else stream + self.projections["attention_output"][number]


@contextmanager
def _listening(layer: BoundLayer, found: dict[Output, list[Tensor]]) -> Iterator[None]:
    """Keep the outputs of both output projections, as they are before anything is added to them in place."""
    handles = [
        layer.output(kind).register_forward_hook(
            lambda _module, _inputs, output, name=name: found[name].append(output.clone())
        )
        for name, kind in OUTPUTS.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What passes a projection of one block on one batch.

    ``after`` is the stream behind the block, None where the block was not run to its end.
    """

    inputs: Tensor
    outputs: dict[Output, Tensor]
    after: Tensor | None


def _seen_by(layer: BoundLayer, name: Output, call: BlockCall, stream: Tensor, *, to_the_end: bool) -> _Seen:
    """Run a block as far as one of its projections, or to its end."""
    inputs: list[Tensor] = []
    found: dict[Output, list[Tensor]] = {entry: [] for entry in OUTPUTS}

    def catch(_module: nn.Module, arguments: tuple[Tensor, ...], _output: Tensor) -> None:
        inputs.append(arguments[0])
        if not to_the_end:
            raise _ReachedError

    after = None
    with _listening(layer, found):
        handle = layer.output(OUTPUTS[name]).register_forward_hook(catch)
        try:
            with suppress(_ReachedError):
                after = call.run(layer.module, stream)
        finally:
            handle.remove()
    # some families fold samples and tokens into one axis in front of their FFN
    leading = stream.shape[:-1]
    outputs = {entry: found[entry][0].view(*leading, -1) for entry in OUTPUTS if found[entry]}
    return _Seen(inputs=inputs[0].reshape(*leading, -1), outputs=outputs, after=after)


def _inputs_of(projection: nn.Module) -> int:
    return projection.in_features if isinstance(projection, nn.Linear) else projection.weight.shape[0]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@torch.no_grad()
def _renew(
    layer: BoundLayer,
    dense_layer: int,
    name: Output,
    fitted: Moments,
    held_out: Moments,
    ridges: Sequence[float],
) -> ProjectionRefit:
    """Solve for one projection and take the new weights if the held-out residual falls."""
    projection = layer.projection(OUTPUT_ROLE[OUTPUTS[name]])
    module = projection.module
    found = solve_best(fitted, held_out, ridges=ridges, has_bias=module.bias is not None)
    after = held_out.rr
    if found is not None:
        change, shift, after = found
        weight = layer.role_weight(projection.spec.roles[0])
        weight.copy_(weight.double() + change.to(weight.device))
        if module.bias is not None:
            module.bias.copy_(module.bias.double() + shift.to(weight.device))
    size = max(held_out.target_square, 1e-30)
    return ProjectionRefit(
        layer=layer.index,
        dense_layer=dense_layer,
        projection=name,
        residual_before=held_out.rr / size,
        residual_after=after / size,
        adopted=found is not None,
    )
