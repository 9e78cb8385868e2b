"""Known answers for every criterion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.scoring.criteria.activation import output_energy
from secateur.scoring.criteria.taylor import Taylor, dimension_terms, taylor_terms
from secateur.scoring.registered import CRITERIA, criterion_for
from secateur.tasks.classification import task_loss
from secateur.tasks.next_token import NextToken


def score(name, model, bound, batches, seed=0):
    return CRITERIA.get(name)().score(model, bound, batches, seed=seed)


def all_numbers(scores):
    return np.concatenate([*scores.groups, *scores.channels])


@pytest.mark.parametrize("name", CRITERIA.names())
def test_every_criterion_scores_every_unit(name, model, bound, make_batches):
    scores = score(name, model, bound, make_batches(6, 3))
    assert [len(values) for values in scores.groups] == list(bound.shape.kv_groups_per_layer)
    assert [len(values) for values in scores.channels] == list(bound.shape.channels_per_layer)
    assert np.isfinite(all_numbers(scores)).all()
    assert (all_numbers(scores) >= 0).all()


@pytest.mark.parametrize("name", CRITERIA.names())
def test_scoring_leaves_the_model_as_it_was(name, model, bound, make_batches):
    model.train()
    next(model.head.parameters()).requires_grad_(False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    score(name, model, bound, make_batches(4, 2))
    assert model.training
    assert [parameter.requires_grad for parameter in model.parameters()].count(False) == 1
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    hooks = [h for module in model.modules() for h in module._forward_pre_hooks.values()]
    assert not hooks


@pytest.mark.parametrize("name", CRITERIA.names())
def test_scores_do_not_depend_on_the_batch_size(name, model, bound, make_batches):
    one = score(name, model, bound, make_batches(6, 6))
    many = score(name, model, bound, make_batches(6, 1))
    np.testing.assert_allclose(all_numbers(one), all_numbers(many), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", ["taylor", "activation", "surgeon"])
def test_a_unit_that_sends_nothing_scores_zero(name, model, bound, make_batches):
    layer = bound.layers[1]
    with torch.no_grad():
        layer.role_weight("down")[:, 5] = 0.0
        layer.role_weight("o")[:, layer.group_slice(1)] = 0.0
    scores = score(name, model, bound, make_batches(6, 3))
    assert scores.channels[1][5] == 0.0
    assert scores.groups[1][1] == 0.0
    assert scores.channels[1][4] > 0.0
    assert scores.groups[1][0] > 0.0


def test_magnitude_of_a_channel_is_the_mean_over_its_tensors(model, bound, make_batches):
    layer = bound.layers[2]
    roles = [role for role in ("gate", "up", "down") if role in layer.projections]
    squares = [
        layer.role_weight(role).detach().double().square().sum(dim=0 if role == "down" else 1)[7]
        for role in roles
    ]
    scores = score("magnitude", model, bound, [])
    assert scores.channels[2][7] == pytest.approx(float((sum(squares) / len(roles)).sqrt()))


def test_magnitude_of_a_group_takes_its_own_keys_values_queries_and_outputs(model, bound):
    layer = bound.layers[0]
    before = score("magnitude", model, bound, []).groups[0]
    with torch.no_grad():
        layer.role_weight("k")[layer.head_dim : 2 * layer.head_dim] *= 10
    after = score("magnitude", model, bound, []).groups[0]
    changed = np.flatnonzero(~np.isclose(before, after))
    assert changed.tolist() == [1]


def test_taylor_equals_the_finite_difference_for_one_token(model, bound, make_batches):
    [batch] = make_batches(1, 1, n_tokens=1)
    scores = score("taylor", model, bound, [batch])
    model.double()
    doubled = {**batch, **{name: batch[name].double() for name in ("waveform",)}}

    def loss_with_gate(module, columns, gate):
        def before(_module, args):
            z = args[0].clone()
            z[..., columns] *= gate
            return (z,)

        handle = module.register_forward_pre_hook(before)
        with torch.no_grad():
            logits = model(doubled["waveform"], None, None)
        handle.remove()
        return float(task_loss(logits, batch["label"]))

    for position, layer in enumerate(bound.layers):
        places = [(layer.output("group"), layer.group_slice(1), scores.groups[position][1])]
        places += [(layer.output("channel"), slice(j, j + 1), scores.channels[position][j]) for j in (0, 11)]
        for module, columns, found in places:
            step = 4e-3
            slope = loss_with_gate(module, columns, 1 + step) - loss_with_gate(module, columns, 1 - step)
            assert found == pytest.approx(abs(slope / (2 * step)), rel=2e-3, abs=1e-4)


def test_taylor_terms_are_absolute_per_token_before_the_sum():
    z = torch.tensor([[[1.0, 1.0], [1.0, 1.0]]])
    gradient = torch.tensor([[[2.0, 1.0], [-2.0, -1.0]]])
    assert taylor_terms(z, gradient, 1).tolist() == [6.0]
    assert taylor_terms(z, gradient, 2).tolist() == [4.0, 2.0]


def test_gates_on_dimensions_are_absolute_before_any_sum():
    z = torch.tensor([[[1.0, 1.0], [1.0, 1.0]]])
    gradient = torch.tensor([[[2.0, -1.0], [-2.0, 1.0]]])
    assert dimension_terms(z, gradient, 1).tolist() == [6.0]
    assert dimension_terms(z, gradient, 2).tolist() == taylor_terms(z, gradient, 2).tolist() == [4.0, 2.0]


def test_gates_on_dimensions_make_wide_units_dearer_and_leave_channels(model, bound, make_batches):
    batches = make_batches(6, 3)
    units, dimensions = (
        Taylor(gates=gates).score(model, bound, batches, seed=0) for gates in ("unit", "dimension")
    )
    for layer in range(3):
        assert (dimensions.groups[layer] > units.groups[layer]).all()
        np.testing.assert_allclose(dimensions.channels[layer], units.channels[layer])
    np.testing.assert_allclose(
        dimensions.heads[0].reshape(len(units.groups[0]), -1).sum(1), dimensions.groups[0]
    )


def test_text_is_scored_on_dimensions_where_unlike_units_are_ranked_together():
    assert criterion_for("taylor", NextToken(), ("group", "channel")).gates == "dimension"
    assert criterion_for("taylor", NextToken(), ("channel",)).gates == "unit"
    assert type(criterion_for("surgeon", NextToken(), ("group", "channel"))) is CRITERIA.get("surgeon")


def test_permuting_channels_permutes_their_scores(model, bound, make_batches):
    batches = make_batches(6, 3)
    names = ("taylor", "magnitude", "activation", "surgeon")
    before = {name: score(name, model, bound, batches).channels[1] for name in names}
    order = torch.randperm(24, generator=torch.Generator().manual_seed(2))
    layer = bound.layers[1]
    with torch.no_grad():
        for role, module in layer.projections.items():
            if role in ("gate", "up"):
                weight = layer.role_weight(role)
                weight.copy_(weight[order].clone())
                if module.bias is not None:
                    module.bias.copy_(module.bias[order].clone())
        down = layer.role_weight("down")
        down.copy_(down[:, order].clone())
    for name, values in before.items():
        after = score(name, model, bound, batches).channels[1]
        np.testing.assert_allclose(after, values[order.numpy()], rtol=1e-4, atol=1e-8)


def test_an_unlabelled_sample_is_judged_by_the_class_the_model_gives_it():
    logits = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    unlabelled = task_loss(logits, torch.tensor([-1, -1]))
    assert unlabelled == pytest.approx(float(task_loss(logits, torch.tensor([1, 0]))))


def test_random_scores_follow_the_seed(model, bound):
    first, again, other = (all_numbers(score("random", model, bound, [], seed=seed)) for seed in (0, 0, 1))
    assert (first == again).all()
    assert not (first == other).any()


def test_output_energy_adds_over_the_dimensions_of_a_unit():
    found = output_energy(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 1.0, 2.0, 0.0]), 2)
    assert found.tolist() == [3.0, 6.0]


def test_no_calibration_sample_is_refused(model, bound):
    with pytest.raises(ConfigError, match="no calibration sample"):
        Taylor().score(model, bound, [], seed=0)


def test_an_unknown_criterion_is_answered_with_those_that_exist():
    with pytest.raises(ConfigError, match="taylor"):
        CRITERIA.get("tailor")
