"""The walk: streams are those of the whole models, wherever activations wait, whatever the visitor does."""

from __future__ import annotations

import pytest
import torch

from secateur.blockwise.activations import InMemory, OnDisk
from secateur.blockwise.block import inputs_of
from secateur.blockwise.refit import Refit, refit
from secateur.blockwise.samples import embed
from secateur.blockwise.walk import CUT, DENSE, pass_cut, pass_dense
from secateur.models import precision
from secateur.models.binding import bind
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from zoo import VOCABULARY, ZOO

NAMES = ("llama", "gemma3", "gpt_neox", "granite", "opt_post", "falcon")
SPECIMENS = [specimen for specimen in ZOO if specimen.name in NAMES]


def batches():
    draw = torch.Generator().manual_seed(5)
    return tuple({"input_ids": torch.randint(4, VOCABULARY, (6, 20), generator=draw)} for _ in range(3))


class Rounding:
    """A visitor of another kind: rounds the weights of the down projection by what enters it."""

    def __init__(self):
        self.tokens = 0

    def visit(self, layer, samples, taught):
        del taught
        module = layer.output("channel")
        for _, _, inputs in inputs_of(layer, samples, CUT, module):
            self.tokens += inputs.shape[0] * inputs.shape[1]
        module.weight.copy_((module.weight * 8).round() / 8)
        return False


def walked(model, cut, activations, visitor):
    dense, small = bind(model), bind(cut)
    taught_by = embed(dense, batches(), activations, (DENSE,))
    samples = embed(small, batches(), activations, (CUT,))
    for ours, theirs in zip(small.layers, dense.layers, strict=True):
        pass_cut(ours, samples, pass_dense(theirs, taught_by), visitor)
    return torch.cat([activations.get(f"{CUT}.{len(small.layers)}", batch) for batch in samples.batches])


def half(model):
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    for layer in range(2):
        plan = plan.with_channels(layer, range(0, bound.shape.channels_per_layer[layer], 2))
    return plan


def half_cut(model):
    return apply(model, half(model))


def stream_of(model):
    """What leaves the last block of the whole model."""
    seen = []
    handle = (
        bind(model)
        .layers[-1]
        .module.register_forward_hook(
            lambda _m, _i, output: seen.append(output[0] if isinstance(output, tuple) else output)
        )
    )
    with torch.no_grad():
        for batch in batches():
            model(**batch)
    handle.remove()
    return torch.cat(seen)


@pytest.mark.parametrize("make", [Refit, lambda: Refit(target="stream"), Rounding])
@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_the_cut_stream_is_that_of_the_changed_model(specimen, make):
    model = specimen.build()
    cut, visitor = half_cut(model), make()
    before = {name: value.clone() for name, value in cut.state_dict().items()}
    found = walked(model, cut, InMemory(), visitor)
    assert any(not torch.equal(value, before[name]) for name, value in cut.state_dict().items())
    torch.testing.assert_close(found, stream_of(cut), rtol=1e-4, atol=1e-4)
    if isinstance(visitor, Rounding):
        assert visitor.tokens == 3 * 3 * 6 * 20


@pytest.mark.parametrize("specimen", SPECIMENS[:3], ids=lambda specimen: specimen.name)
def test_where_activations_wait_changes_nothing(specimen, tmp_path):
    model = specimen.build()
    made = []
    for activations in (InMemory(), OnDisk(tmp_path)):
        cut, visitor = half_cut(model), Refit(target="stream")
        made.append((walked(model, cut, activations, visitor), cut.state_dict(), visitor.records))
    (stream, weights, records), (on_disk, others, theirs) = made
    assert torch.equal(stream, on_disk)
    assert records == theirs
    assert all(torch.equal(value, others[name]) for name, value in weights.items())


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_blocks_that_multiply_in_bfloat16_are_refitted_nearly_alike(specimen, monkeypatch):
    """Every projection meets the same targets; none goes on with weights rounded before they changed."""
    monkeypatch.setattr(precision, "_computes_bf16", lambda _device: True)
    model = specimen.build().requires_grad_(True)
    reports = {}
    for rounds in (False, True):
        cut = half_cut(model)
        reports[rounds] = refit(cut, half(model), model, batches(), target="stream", rounds=rounds)
        assert {value.dtype for value in cut.state_dict().values()} == {torch.float32}
    exact, rounded = (report.projections for report in reports.values())
    assert len(exact) == 2 * len(bind(model).layers)
    for ours, theirs in zip(exact, rounded, strict=True):
        assert theirs.residual_before == pytest.approx(ours.residual_before, rel=0.05, abs=2e-4)
        assert theirs.residual_after == pytest.approx(ours.residual_after, rel=0.05, abs=2e-4)
        # the first attention is what it was: what is left there is rounding
        assert theirs.adopted == ours.adopted or ours.residual_before < 1e-4


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_attention_is_computed_once_for_both_projections(specimen):
    """It runs on every dense batch and on every cut one; again only to see what it returns."""
    model = specimen.build()
    cut, counted = half_cut(model), []
    for layer in bind(cut).layers:
        layer.projection("q").module.register_forward_hook(lambda *_: counted.append(1))
    walked(model, cut, InMemory(), Refit(target="stream"))
    again = 6 if specimen.name == "opt_post" else 1
    assert len(counted) == 3 * (3 + again)


def test_a_refit_computes_no_logits():
    model = SPECIMENS[0].build()
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape).with_channels(0, range(6))
    cut = apply(model, plan)
    for either in (model, cut):
        either.get_output_embeddings().register_forward_pre_hook(lambda *_: pytest.fail("the head was run"))
    assert refit(cut, plan, model, batches(), target="stream").windows == 18
