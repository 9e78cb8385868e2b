"""The proof of the couplings: a cut model equals the dense one with the same units masked."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.core.errors import PlanError
from secateur.models.attributes import read_attribute
from secateur.models.binding import bind
from secateur.models.presets import build_preset
from secateur.structure.counting import parameters
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.structure.shape import ModelShape
from secateur.surgery.apply import apply, own_what_is_shared
from secateur.surgery.masks import mask
from secateur.training.state import digest

QUICK = settings(max_examples=12, derandomize=True)


def identity(model: torch.nn.Module) -> PruningPlan:
    bound = bind(model)
    return PruningPlan.identity(bound.spec.family, bound.shape)


def draw_plan(data: st.DataObject, family: str, shape: ModelShape) -> PruningPlan:
    def subset(count: int) -> tuple[int, ...]:
        return tuple(sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1))))

    layers = tuple(
        LayerPlan(
            index=index,
            groups=subset(shape.kv_groups_per_layer[index]),
            channels=subset(shape.channels_per_layer[index]),
        )
        for index in subset(shape.n_layers)
    )
    return PruningPlan(family=family, shape=shape, layers=layers)


def output(model: torch.nn.Module, embeddings: torch.Tensor) -> torch.Tensor:
    return model(inputs_embeds=embeddings, use_cache=False).last_hidden_state


def loss_and_gradients(
    model: torch.nn.Module, embeddings: torch.Tensor
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    logits = output(model, embeddings)
    weights = torch.linspace(-1, 1, logits.numel()).reshape(logits.shape)
    named = [(name, parameter) for name, parameter in model.named_parameters() if "embed_tokens" not in name]
    named = [(name, parameter) for name, parameter in named if not name.startswith("wte")]
    gradients = torch.autograd.grad((logits * weights).sum(), [parameter for _, parameter in named])
    return logits.detach(), {name: grad for (name, _), grad in zip(named, gradients, strict=True)}


@given(data=st.data())
@QUICK
def test_cut_equals_masked_in_outputs_and_surviving_gradients(model, embeddings, data):
    plan = draw_plan(data, bind(model).spec.family, bind(model).shape)
    cut = apply(model, plan)
    with mask(model, plan):
        expected, dense_gradients = loss_and_gradients(model, embeddings)
        # A plan keeps the same elements of a gradient as of a weight, so surgery on a model made of
        # gradients tells which entries must agree.
        carrier = apply(model, identity(model))
        with torch.no_grad():
            for name, parameter in carrier.named_parameters():
                parameter.copy_(dense_gradients.get(name, torch.zeros_like(parameter)))
    found, gradients = loss_and_gradients(cut, embeddings)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    surviving = dict(apply(carrier, plan).named_parameters())
    for name, gradient in gradients.items():
        scale = max(1.0, float(gradient.abs().max()))
        torch.testing.assert_close(gradient / scale, surviving[name] / scale, atol=1e-5, rtol=1e-4)


@given(data=st.data())
@QUICK
def test_shape_and_count_are_as_the_plan_predicts(model, data):
    plan = draw_plan(data, bind(model).spec.family, bind(model).shape)
    cut = apply(model, plan)
    assert bind(cut).shape == plan.result
    assert sum(parameter.numel() for parameter in cut.parameters()) == parameters(plan)


@given(data=st.data())
@QUICK
def test_composition_equals_one_plan(model, embeddings, data):
    first = draw_plan(data, bind(model).spec.family, bind(model).shape)
    second = draw_plan(data, first.family, first.result)
    twice = apply(apply(model, first), second)
    once = apply(model, first.then(second))
    for (name, one), (other_name, other) in zip(
        once.state_dict().items(), twice.state_dict().items(), strict=True
    ):
        assert name == other_name
        assert torch.equal(one, other), name
    assert torch.equal(output(once, embeddings), output(twice, embeddings))


@pytest.mark.parametrize("preset", ["nano-mha", "nano-gqa"])
def test_whole_diagnoser_cut_equals_masked(preset):
    torch.manual_seed(1)
    model = build_preset(preset, classes=("normal", "ball"), sampling_rate_hz=12_000.0).eval()
    with torch.no_grad():
        for layer in bind(model).layers:
            for parameter in layer.module.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
    inputs = (torch.randn(2, model.config.window_length), torch.full((2,), 30.0), torch.ones(2, 4))

    @given(data=st.data())
    @QUICK
    def holds(data):
        plan = draw_plan(data, bind(model).spec.family, bind(model).shape)
        with torch.no_grad(), mask(model, plan):
            expected = model(*inputs)
        with torch.no_grad():
            cut = apply(model, plan)
            torch.testing.assert_close(cut(*inputs), expected, atol=1e-5, rtol=1e-5)
        assert sum(parameter.numel() for parameter in cut.parameters()) == parameters(plan)
        assert cut.config == model.config

    holds()


def test_identity_changes_nothing(model, embeddings):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    copy = apply(model, identity(model))
    assert torch.equal(output(copy, embeddings), output(model, embeddings))
    assert copy is not model
    for name, value in copy.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.data_ptr() != model.state_dict()[name].data_ptr()


def test_apply_and_mask_leave_the_model_as_it_was(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plan = identity(model).without_layers([1]).with_groups(0, [1]).with_channels(2, [0, 5])
    apply(model, plan)
    with mask(model, plan):
        assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_cut_model_shares_no_memory_with_the_one_it_was_made_from(model):
    plan = identity(model).without_layers([1]).with_groups(0, [1]).with_channels(2, [0, 5])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cut = apply(model, plan)
    with torch.no_grad():
        for parameter in cut.parameters():
            parameter.fill_(7.0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_what_stands_outside_the_blocks_can_stay_shared_until_it_is_owned(model):
    plan = identity(model).without_layers([1]).with_channels(2, [0, 5])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cut = apply(model, plan, owns_rest=False)
    blocks = {p.data_ptr() for layer in bind(cut).layers for p in layer.module.parameters()}
    theirs = {p.data_ptr() for p in model.parameters()}
    rest = {p.data_ptr() for p in cut.parameters()} - blocks
    assert rest
    assert rest <= theirs
    assert not blocks & theirs
    own_what_is_shared(cut, model)
    assert digest(cut) == digest(apply(model, plan))
    with torch.no_grad():
        for parameter in cut.parameters():
            parameter.fill_(7.0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_groups_keep_their_query_heads(model):
    plan = identity(model).with_groups(1, [0, 2])
    dense, cut = bind(model).layers[1], bind(apply(model, plan)).layers[1]
    hpg, width = dense.heads_per_group, dense.head_dim
    assert cut.heads_per_group == hpg
    queries = dense.role_weight("q").unflatten(0, (dense.n_groups, hpg * width))
    keys = dense.role_weight("k").unflatten(0, (dense.n_groups, width))
    outputs = dense.role_weight("o").unflatten(1, (dense.n_groups, hpg * width))
    assert torch.equal(cut.role_weight("q"), queries[[0, 2]].flatten(0, 1))
    assert torch.equal(cut.role_weight("k"), keys[[0, 2]].flatten(0, 1))
    assert torch.equal(cut.role_weight("o"), outputs[:, [0, 2]].flatten(1, 2))


def test_removing_a_layer_renumbers_the_rest_and_sets_the_count(model):
    cut = apply(model, identity(model).without_layers([0]))
    assert cut.config.num_hidden_layers == 2
    assert model.config.num_hidden_layers == 3
    positions = [
        read_attribute(layer.module, path) for layer in bind(cut).layers for path in layer.stack.positions
    ]
    assert positions == [0, 1]


def test_cut_model_decodes_with_a_cache(model, embeddings):
    cut = apply(model, identity(model).without_layers([1]).with_groups(0, [1]).with_channels(2, [3]))
    with torch.no_grad():
        whole = output(cut, embeddings)
        prefix = cut(inputs_embeds=embeddings[:, :-1], use_cache=True)
        last = cut(
            inputs_embeds=embeddings[:, -1:], past_key_values=prefix.past_key_values, use_cache=True
        ).last_hidden_state
    torch.testing.assert_close(last[:, 0], whole[:, -1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_both_attention_kernels_take_unequal_widths(model, embeddings, attention):
    plan = identity(model).with_groups(0, [1]).with_groups(1, [0, 2]).with_channels(1, [2, 3, 7])
    former = model.config._attn_implementation
    try:
        model.set_attn_implementation(attention)
        with mask(model, plan), torch.no_grad():
            expected = output(model, embeddings)
        found = output(apply(model, plan), embeddings)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    finally:
        model.set_attn_implementation(former)


def test_frozen_and_training_state_survive(model):
    plan = identity(model).with_channels(0, [1, 2])
    copy = apply(model, identity(model))
    copy.train()
    bind(copy).layers[0].output("channel").weight.requires_grad_(False)
    cut = apply(copy, plan)
    assert cut.training
    assert not bind(cut).layers[0].output("channel").weight.requires_grad
    assert bind(cut).layers[1].output("channel").weight.requires_grad


def test_plan_of_another_model_is_refused(model):
    plan = identity(model)
    other = replace(plan, shape=replace(plan.shape, other_parameters=plan.shape.other_parameters + 1))
    with pytest.raises(PlanError, match="made for"):
        apply(model, other)
    with pytest.raises(PlanError, match="is for a 'bert' model"), mask(model, replace(plan, family="bert")):
        pass
