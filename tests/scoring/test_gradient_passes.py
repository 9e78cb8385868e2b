"""Loss of tokens in parts, rounded weights, Gram matrices in stripes: the same as without."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secateur.models.binding import bind
from secateur.models.frozen import frozen
from secateur.scoring.criteria.surgeon import Surgeon
from secateur.scoring.criteria.taylor import Taylor
from secateur.scoring.gates import output_gradients, unit_gradients
from secateur.scoring.gram import STRIPE, GramSum
from secateur.scoring.objective import backward_passes
from secateur.scoring.registered import CRITERIA
from secateur.tasks import precision
from secateur.tasks import token_backward as token_loss
from secateur.tasks.classification import task_loss
from secateur.tasks.predictions import predictions
from zoo import ZOO

CAUSAL = [one for one in ZOO if one.inputs == "tokens" and one.model.endswith(("ForCausalLM", "LMHeadModel"))]


@pytest.fixture(autouse=True)
def _exact(monkeypatch):
    """In float32, and few positions at a time."""
    monkeypatch.setattr(precision, "resolve_precision", lambda *_: "fp32")
    monkeypatch.setattr(token_loss, "LOGIT_BYTES", 4 * 61 * 2 * 3)


def gradients_at_once(model, batch, gates):
    """What hooks see when the loss of all positions is run backwards in one piece."""
    seen = {}
    with frozen(model), torch.enable_grad(), gates(bind(model), note_in(seen)):
        found = predictions(model, batch)
        task_loss(found.logits, found.labels).backward()
    return seen


def note_in(seen):
    def visit(kind, position, z, gradient):
        seen[kind, position] = (z.clone(), gradient.clone())

    return visit


@pytest.mark.parametrize("specimen", CAUSAL, ids=lambda one: one.name)
def test_the_loss_in_parts_has_the_gradients_of_the_whole_loss(specimen):
    model, batch = specimen.build(), specimen.batch(length=12)
    for gates in (unit_gradients, output_gradients):
        expected, found = gradients_at_once(model, batch, gates), {}
        with gates(bind(model), note_in(found)):
            assert backward_passes(model, [batch], seed=0) == 2
        assert found.keys() == expected.keys()
        for place, pair in expected.items():
            for ours, theirs in zip(found[place], pair, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_tied_head_is_tied_and_every_forward_its_own_afterwards(monkeypatch):
    monkeypatch.setattr(precision, "resolve_precision", lambda *_: "bf16")
    specimen = next(one for one in CAUSAL if one.name == "gpt2")
    model, batch = specimen.build(), specimen.batch()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Taylor().score(model, bind(model), [batch], seed=0)
    assert model.lm_head.weight is model.transformer.wte.weight
    assert model.dtype == torch.float32
    assert not any("forward" in vars(module) for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_model_has_its_own_weights_back_after_a_failure(monkeypatch):
    monkeypatch.setattr(precision, "resolve_precision", lambda *_: "bf16")
    model = CAUSAL[0].build()
    with pytest.raises(IndexError):
        Taylor().score(model, bind(model), [{"input_ids": torch.tensor([[4, 10_000]])}], seed=0)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("criterion", [Taylor, Surgeon])
def test_rounding_once_gives_the_scores_of_rounding_at_every_call(criterion, monkeypatch):
    specimen = next(one for one in CAUSAL if one.name == "llama")
    monkeypatch.setattr(precision, "resolve_precision", lambda *_: "bf16")
    model, batch = specimen.build(), specimen.batch(length=32)
    once = criterion().score(model, bind(model), [batch], seed=0)
    monkeypatch.setattr(precision, "nn", type("NoLinear", (), {"Linear": int}))
    every = criterion().score(model, bind(model), [batch], seed=0)
    for ours, theirs in zip(once.channels + once.groups, every.channels + every.groups, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("features", [3, STRIPE, 2 * STRIPE + 5])
def test_a_gram_matrix_in_stripes_is_the_gram_matrix(features):
    tokens = torch.randn(40, features, generator=torch.Generator().manual_seed(0))
    gram = GramSum()
    for part in tokens.split(16):
        gram.add(part)
    torch.testing.assert_close(gram.matrix(), tokens.double().T @ tokens.double(), rtol=1e-5, atol=1e-4)


def test_a_gram_matrix_of_bfloat16_tokens_is_summed_in_float32():
    tokens = torch.full((4096, 2), 1.0, dtype=torch.bfloat16)
    gram = GramSum()
    with torch.autocast("cpu", torch.bfloat16):
        gram.add(tokens)
        gram.add(tokens[:1])
    assert gram.matrix().tolist() == [[4097.0, 4097.0], [4097.0, 4097.0]]


def test_activation_needs_no_logits():
    model, batch = CAUSAL[0].build(), CAUSAL[0].batch()
    expected = CRITERIA.get("activation")().score(model, bind(model), [batch], seed=0)
    model.get_output_embeddings().register_forward_pre_hook(lambda *_: pytest.fail("the head was run"))
    found = CRITERIA.get("activation")().score(model, bind(model), [batch], seed=0)
    assert all((a == b).all() for a, b in zip(found.channels, expected.channels, strict=True))
