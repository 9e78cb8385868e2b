"""Perplexity: a uniform model, a reference window by window, and streaming."""

from __future__ import annotations

import math
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from secateur.core.errors import ConfigError, DataError, MeasurementError
from secateur.tasks.perplexity import paired_ratio, perplexity

VOCABULARY = 37


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=None,
        eos_token_id=None,
        initializer_range=0.5,
    )
    return LlamaForCausalLM(config).eval()


def tokens(n, seed=0):
    return np.random.default_rng(seed).integers(0, VOCABULARY, n).tolist()


def reference(model, ids, context, stride):
    """Each token predicted once, in the first window that holds it with something before it."""
    nats, start, done = [], 0, 1
    while done < len(ids):
        window = torch.tensor(ids[start : start + context])
        with torch.no_grad():
            logits = model(window[None]).logits[0].double()
        losses = functional.cross_entropy(logits[:-1], window[1:], reduction="none")
        first = done if stride < context else start + 1
        for position in range(max(first, start + 1), start + len(window)):
            nats.append(float(losses[position - start - 1]))
        done = start + len(window)
        start += stride
    return nats


@pytest.mark.parametrize(("context", "stride"), [(16, 16), (16, 4), (16, 1), (8, 7), (200, 50)])
@pytest.mark.parametrize("n", [2, 15, 16, 17, 100])
def test_equals_a_reference_window_by_window(model, context, stride, n):
    if n <= 1:
        return
    ids = tokens(n)
    found = perplexity(model, ids, context=context, stride=stride)
    expected = reference(model, ids, context, stride)
    assert found.tokens == len(expected)
    assert found.value == pytest.approx(math.exp(np.mean(expected)), rel=1e-4)
    if stride < context:
        assert found.tokens == n - 1


@pytest.mark.parametrize(("context", "stride"), [(9, 9), (9, 3), (9, 8), (200, 200)])
@pytest.mark.parametrize("opening", [(5,), (5, 7)])
def test_windows_begin_with_what_opens_a_text(model, context, stride, opening):
    """Every token is predicted once, behind the opening and the tokens of its window."""
    ids = tokens(41)
    found = perplexity(model, iter(ids), context=context, stride=stride, opening=opening)
    room, nats, done, start = context - len(opening), [], 0, 0
    while done < len(ids):
        window = ids[start : start + room]
        whole = torch.tensor([*opening, *window])
        with torch.no_grad():
            logits = model(whole[None]).logits[0].double()
        losses = functional.cross_entropy(logits[:-1], whole[1:], reduction="none")[len(opening) - 1 :]
        nats += losses[done - start :].tolist()
        done = start + len(window)
        start += min(stride, room)
    assert found.tokens == len(ids) == len(nats)
    assert found.value == pytest.approx(math.exp(np.mean(nats)), rel=1e-5)


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 1e6])
def test_figures_that_are_no_numbers_are_refused(model, factor):
    broken = deepcopy(model)
    with torch.no_grad():
        broken.lm_head.weight.mul_(factor)
    with pytest.raises(MeasurementError, match="not numbers"):
        perplexity(broken, tokens(40), context=16)


def test_uniform_model_has_the_size_of_the_vocabulary(model):
    uniform = LlamaForCausalLM(model.config)
    with torch.no_grad():
        uniform.lm_head.weight.zero_()
    found = perplexity(uniform, tokens(100), context=16)
    assert found.value == pytest.approx(VOCABULARY)
    assert found.interval == pytest.approx((VOCABULARY, VOCABULARY))


def test_batches_do_not_change_the_result(model):
    ids = tokens(333)
    one = perplexity(model, ids, context=32, stride=20, batch_size=1)
    many = perplexity(model, iter(ids), context=32, stride=20, batch_size=7)
    np.testing.assert_allclose(one.window_nats, many.window_nats, rtol=1e-5)


def test_tokens_are_read_as_they_are_needed(model):
    taken = 0

    def endless():
        nonlocal taken
        for token in tokens(400):
            taken += 1
            assert taken - predicted <= 3 * 16, "more is read ahead than a batch of windows"
            yield token

    predicted = 0
    original = model.forward

    def counting(*args, **kwargs):
        nonlocal predicted
        predicted = taken
        return original(*args, **kwargs)

    model.forward = counting
    try:
        assert perplexity(model, endless(), context=16, batch_size=2).tokens == 25 * 15
    finally:
        del model.forward


def test_paired_ratio_is_that_of_the_values_and_narrower_than_unpaired(model):
    ids = tokens(600)
    near = LlamaForCausalLM(model.config)
    near.load_state_dict(model.state_dict())
    with torch.no_grad():
        near.lm_head.weight.mul_(1.05)
    one, other = (perplexity(m, ids, context=24) for m in (near.eval(), model))
    ratio, low, high = paired_ratio(one, other)
    assert ratio == pytest.approx(one.value / other.value)
    assert low < ratio < high
    assert (high - low) < (one.interval[1] - one.interval[0]) / other.value
    with pytest.raises(DataError, match="same windows"):
        paired_ratio(one, perplexity(model, ids[:100], context=24))


def test_impossible_requests_are_refused(model):
    for context, stride in ((16, 0), (16, 17), (1, 1)):
        with pytest.raises(ConfigError, match="stride"):
            perplexity(model, tokens(40), context=context, stride=stride)
    with pytest.raises(DataError, match="two tokens"):
        perplexity(model, [3])
