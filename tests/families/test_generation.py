"""Generation with a cache gives, token by token, what a whole pass gives; after layers and heads are cut."""

from __future__ import annotations

import pytest
import torch
import transformers

from secateur.surgery.apply import apply
from zoo import ZOO
from zoo_plans import uneven_plan

GENERATING = [specimen for specimen in ZOO if specimen.generates]


def greedy(model, batch, *, steps: int, cached: bool) -> torch.Tensor:
    """Logits of each new token; the loop itself is the same with and without a cache."""
    key = "decoder_input_ids" if "decoder_input_ids" in batch else "input_ids"
    rest, past, found = {name: value for name, value in batch.items() if name != key}, None, []
    tokens = batch[key]
    for _ in range(steps):
        fed = tokens if past is None else tokens[:, -1:]
        seen = model(**{key: fed}, **rest, past_key_values=past, use_cache=cached)
        past = seen.past_key_values if cached else None
        found.append(seen.logits[:, -1])
        tokens = torch.cat([tokens, found[-1].argmax(dim=-1, keepdim=True)], dim=1)
    return torch.stack(found)


def kernels(specimen) -> list[str]:
    return ["eager", "sdpa"] if getattr(transformers, specimen.model)._supports_sdpa else ["eager"]


CASES = [pytest.param(s, kernel, id=f"{s.name}-{kernel}") for s in GENERATING for kernel in kernels(s)]


@pytest.mark.parametrize(("specimen", "attention"), CASES)
def test_a_cache_changes_nothing_after_the_cut(specimen, attention):
    model = specimen.build(attn_implementation=attention)
    cut = apply(model, uneven_plan(model))
    with torch.no_grad():
        cached, uncached = (
            greedy(cut, specimen.batch(length=5), steps=7, cached=flag) for flag in (True, False)
        )
    torch.testing.assert_close(cached, uncached, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("specimen", GENERATING, ids=lambda specimen: specimen.name)
def test_generate_gives_the_same_tokens_with_and_without_a_cache(specimen):
    model = specimen.build()
    cut = apply(model, uneven_plan(model))
    settings = {"max_new_tokens": 7, "do_sample": False}
    cached, uncached = (
        cut.generate(**specimen.batch(length=5), use_cache=flag, **settings) for flag in (True, False)
    )
    assert torch.equal(cached, uncached)
    assert len(cached) == 2 and cached.shape[1] >= 7


@pytest.mark.parametrize(
    "specimen", [s for s in GENERATING if len(kernels(s)) == 2], ids=lambda specimen: specimen.name
)
def test_the_kernel_can_be_changed_after_the_cut(specimen):
    model = specimen.build(attn_implementation="eager")
    cut = apply(model, uneven_plan(model))
    batch = specimen.batch()
    with torch.no_grad():
        eager = cut(**batch).logits
        cut.set_attn_implementation("sdpa")
        fused = cut(**batch).logits
    torch.testing.assert_close(fused, eager, atol=1e-3, rtol=1e-3)
