"""Scores of each matrix alone: against the closed criteria where they coincide, and against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.scoring.matrices import matrix_scores
from secateur.scoring.registered import CRITERIA

TOKENS = 4


@pytest.fixture
def batches():
    draw = torch.Generator().manual_seed(5)
    return [
        {
            "waveform": torch.randn(3, 8 * TOKENS, generator=draw),
            "shaft_rate_hz": torch.zeros(3),
            "fault_orders": torch.zeros(3, 4),
            "label": torch.tensor([0, 1, 2]),
        }
        for _ in range(2)
    ]


def test_taylor_of_input_features_is_that_of_channels_and_heads(model, bound, batches):
    own = matrix_scores(model, bound, batches, criterion="taylor")
    closed = CRITERIA.get("taylor")().score(model, bound, batches, seed=0)
    for layer, scores in enumerate(own):
        np.testing.assert_allclose(scores["down"], closed.channels[layer], rtol=1e-5)
        np.testing.assert_allclose(scores["o"], closed.heads[layer], rtol=1e-5)


def test_up_and_down_have_one_taylor_score_where_up_enters_as_a_factor(model, bound, batches):
    """The product is linear in ``up``: up x dL/dup is z x dL/dz, token by token. The gate has its own."""
    scores = matrix_scores(model, bound, batches, criterion="taylor")[0]
    if not bound.layers[0].stack.is_gated:
        assert not np.allclose(scores["up"], scores["down"], rtol=1e-2)
        return
    np.testing.assert_allclose(scores["up"], scores["down"], rtol=1e-4)
    assert not np.allclose(scores["gate"], scores["down"], rtol=1e-2)


def test_activation_of_input_features_is_the_energy_of_channels_and_heads(model, bound, batches):
    own = matrix_scores(model, bound, batches, criterion="activation")
    closed = CRITERIA.get("activation")().score(model, bound, batches, seed=0)
    for layer, scores in enumerate(own):
        np.testing.assert_allclose(scores["down"], TOKENS * closed.channels[layer], rtol=1e-5)
        np.testing.assert_allclose(scores["o"], TOKENS * closed.heads[layer], rtol=1e-5)


def test_output_features_by_hand(model, bound, batches):
    layer = bound.layers[1]
    seen = []
    handle = layer.projection("up").module.register_forward_hook(lambda _m, _a, y: seen.append(y.detach()))
    energy = matrix_scores(model, bound, batches, criterion="activation")[1]["up"]
    handle.remove()
    expected = torch.cat(seen).double().square().sum(dim=(0, 1)) / 6
    np.testing.assert_allclose(energy, expected.numpy(), rtol=1e-6)


def test_taylor_of_output_features_by_hand(model, bound, batches):
    """Rows are scaled one at a time; the derivative of the loss by a token's scale is feature x gradient."""
    own = matrix_scores(model, bound, batches, criterion="taylor")[0]
    module = bound.layers[0].projection("k").module
    kept = {}

    def hold(_module, _args, output):
        output.retain_grad()
        kept["output"] = output

    totals = np.zeros(bound.layers[0].n_groups)
    handle = module.register_forward_hook(hold)
    places = _places_of_keys(bound)
    for batch in batches:
        logits = model(batch["waveform"], None, None)
        torch.nn.functional.cross_entropy(logits, batch["label"], reduction="sum").backward()
        products = (kept["output"] * kept["output"].grad).detach()
        totals += products[..., places].sum(-1).abs().sum((0, 1)).numpy()
    handle.remove()
    np.testing.assert_allclose(own["k"], totals / 6, rtol=1e-4)


def _places_of_keys(bound):
    layer = bound.layers[0]
    first = layer.n_heads * layer.head_dim if layer.projection("k").is_fused else 0
    count = layer.n_groups * layer.head_dim
    return torch.arange(first, first + count).reshape(layer.n_groups, layer.head_dim)


def test_magnitude_is_the_norm_of_a_row(model, bound, batches):
    own = matrix_scores(model, bound, (), criterion="magnitude")
    layer = bound.layers[2]
    up = layer.role_weight("up").detach().double()
    np.testing.assert_allclose(own[2]["up"], up.norm(dim=1).numpy(), rtol=1e-6)
    down = layer.role_weight("down").detach().double()
    np.testing.assert_allclose(own[2]["down"], down.norm(dim=0).numpy(), rtol=1e-6)
    values = layer.role_weight("v").detach().double().unflatten(0, (layer.n_groups, layer.head_dim))
    expected = values.square().sum(-1).mean(-1).sqrt()
    np.testing.assert_allclose(own[2]["v"], expected.numpy(), rtol=1e-6)


def test_samples_are_needed(model, bound):
    with pytest.raises(ConfigError, match="calibration"):
        matrix_scores(model, bound, (), criterion="taylor")
