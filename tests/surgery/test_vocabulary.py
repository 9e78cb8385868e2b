"""The proof of a cut vocabulary: logits, gradients and generated tokens are those of the dense model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.core.errors import PlanError
from secateur.models.binding import bind
from secateur.models.skeleton import skeleton
from secateur.models.token_ids import required_tokens
from secateur.models.vocabulary import keep_vocabulary
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from tiny_language_models import BUILDERS, CAUSAL, SIZE, tiny_language_model, tokens_with

SPECIFIED = ("gpt2", "llama", "llama-tied")
"""Kinds whose blocks have a specification from the first release on: plans are made for these."""


def trimmed(name: str) -> tuple[Any, Any, tuple[int, ...]]:
    """Dense model, cut model, kept tokens."""
    dense, cut = tiny_language_model(name).double(), tiny_language_model(name).double()
    kept = tokens_with(required_tokens(dense))
    keep_vocabulary(cut, kept)
    return dense, cut, kept


def inputs(name: str, kept: tuple[int, ...]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The same text in numbers of the dense and of the cut model, the second sample padded."""
    draw = torch.Generator().manual_seed(2)
    new = torch.randint(2, len(kept), (2, 7), generator=draw)
    mask = torch.ones_like(new)
    if name == "whisper":
        sound = torch.randn(2, 80, 3000, generator=draw, dtype=torch.float64)
        own = {"input_features": sound, "decoder_input_ids": new}
        return own | {"decoder_input_ids": torch.tensor(kept)[new]}, own
    padding = kept.index(1 if name == "roberta" else 0)
    new[1, 5:], mask[1, 5:] = padding, 0
    return {"input_ids": torch.tensor(kept)[new], "attention_mask": mask}, {
        "input_ids": new,
        "attention_mask": mask,
    }


@pytest.mark.parametrize("name", list(BUILDERS))
def test_logits_and_hidden_states_are_those_of_the_dense_model(name):
    dense, cut, kept = trimmed(name)
    of_dense, of_cut = inputs(name, kept)
    with torch.no_grad():
        expected = dense(**of_dense, output_hidden_states=True)
        found = cut(**of_cut, output_hidden_states=True)
    states = "decoder_hidden_states" if name in ("bart", "whisper") else "hidden_states"
    for former, new in zip(expected[states], found[states], strict=True):
        assert torch.equal(new, former)
    torch.testing.assert_close(found.logits, expected.logits[..., list(kept)], rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_gradients_are_those_of_the_dense_model(name):
    dense, cut, kept = trimmed(name)
    of_dense, of_cut = inputs(name, kept)
    dense(**of_dense).logits[..., list(kept)].square().sum().backward()
    cut(**of_cut).logits.square().sum().backward()
    former = dict(dense.named_parameters())
    for path, parameter in cut.named_parameters():
        expected = former[path].grad
        expected = expected if expected.shape == parameter.shape else expected[list(kept)]
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("use_cache", [True, False])
def test_generated_tokens_are_those_of_the_dense_model_without_the_removed_ones(name, use_cache):
    dense, cut, kept = trimmed(name)
    removed = [token for token in range(SIZE) if token not in kept]
    start = [kept.index(token) for token in (5, 14, 29)]
    options = {"max_new_tokens": 12, "do_sample": False, "use_cache": use_cache}
    mask = torch.ones(1, 3, dtype=torch.long)
    expected = dense.generate(
        torch.tensor([[5, 14, 29]]), attention_mask=mask, suppress_tokens=removed, **options
    )
    found = cut.generate(torch.tensor([start]), attention_mask=mask, **options)
    assert torch.tensor(kept)[found].tolist() == expected.tolist()


def test_generation_ends_where_the_dense_model_ends():
    """The number of the end token follows, in a sampled text that does end."""
    dense, cut, kept = trimmed("gpt2")
    with torch.no_grad():
        for model, end in ((dense, 90), (cut, kept.index(90))):
            model.lm_head.weight[end] += 3 * model.transformer.ln_f.weight
    removed = [token for token in range(SIZE) if token not in kept]
    mask = torch.ones(1, 1, dtype=torch.long)
    options = {"attention_mask": mask, "max_new_tokens": 40, "do_sample": False}
    expected = dense.generate(torch.tensor([[5]]), suppress_tokens=removed, **options)
    found = cut.generate(torch.tensor([[kept.index(5)]]), **options)
    assert torch.tensor(kept)[found].tolist() == expected.tolist()


@pytest.mark.parametrize("name", list(BUILDERS))
def test_a_saved_model_comes_back(name, tmp_path):
    _, cut, kept = trimmed(name)
    cut.save_pretrained(tmp_path)
    fresh = type(cut).from_pretrained(tmp_path, dtype=torch.float64)
    assert fresh.config.vocab_size == len(kept)
    assert fresh.state_dict().keys() == cut.state_dict().keys()
    for path, tensor in cut.state_dict().items():
        assert torch.equal(tensor, fresh.state_dict()[path]), path
    _, of_cut = inputs(name, kept)
    with torch.no_grad():
        torch.testing.assert_close(fresh(**of_cut).logits, cut(**of_cut).logits, rtol=0, atol=1e-12)


def identity(model: torch.nn.Module) -> PruningPlan:
    bound = bind(model)
    return PruningPlan.identity(bound.spec.family, bound.shape)


@pytest.mark.parametrize("name", SPECIFIED)
@settings(max_examples=15, derandomize=True)
@given(data=st.data())
def test_plans_cut_tokens_beside_blocks(name, data):
    """Counted and built parameters agree, the skeleton has the same tensors, and a second cut composes."""
    model = tiny_language_model(name)
    extra = data.draw(st.sets(st.integers(0, SIZE - 1)))
    plan = identity(model).with_tokens({*required_tokens(model), *extra}).without_layers([0])
    cut = apply(model, plan)
    assert bind(cut).shape == plan.result
    assert sum(parameter.numel() for parameter in cut.parameters()) == parameters(plan)
    empty = skeleton(lambda: tiny_language_model(name), plan)
    assert {key: value.shape for key, value in empty.state_dict().items()} == {
        key: value.shape for key, value in cut.state_dict().items()
    }
    assert empty.config.to_dict() == cut.config.to_dict()
    more = identity(cut).with_tokens(required_tokens(cut))
    once, twice = apply(model, plan.then(more)), apply(cut, more)
    for path, tensor in once.state_dict().items():
        assert torch.equal(tensor, twice.state_dict()[path])
    assert once.config.to_dict() == twice.config.to_dict()
    assert model.config.vocab_size == SIZE


def test_a_plan_without_the_end_token_is_refused():
    model = tiny_language_model("llama")
    with pytest.raises(PlanError, match="token 90 is the eos_token_id"):
        apply(model, identity(model).with_tokens(range(50)))
