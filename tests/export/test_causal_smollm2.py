"""SmolLM2 from its package, cut to unequal layers: the same tokens from ONNX Runtime and from llama.cpp."""

from __future__ import annotations

import pytest
import torch
from transformers import GenerationConfig

from secateur.core.progress import quiet
from secateur.edge.generate import TextRuntime
from secateur.export.causal_bundle import write_causal_bundle
from secateur.export.gguf_export import export_gguf
from secateur.models.binding import bind
from secateur.models.pretrained import open_pretrained
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from tiny_tokenizers import TEXT

pytestmark = pytest.mark.slow
PROMPT = 16


@pytest.fixture(scope="module")
def cut(smollm2_folder):
    """Ten of thirty layers, two of three groups in every other one, 1024 to 1536 channels."""
    with quiet():
        opened = open_pretrained(smollm2_folder)
        bound = bind(opened.model)
        plan = PruningPlan.identity(bound.spec.family, bound.shape)
        plan = plan.without_layers(range(8, 28))
        for position, layer in enumerate(plan.layers):
            plan = plan.with_channels(layer.index, range(1024 + 64 * (position % 9)))
            if position % 2:
                plan = plan.with_groups(layer.index, [0, 2])
        yield apply(opened.model, plan).eval(), plan, opened.tokenizer


def prompts(tokenizer):
    tokens = tokenizer(TEXT[-20_000:])["input_ids"]
    return [tokens[start : start + PROMPT - row] for row, start in enumerate((0, 900, 1800))]


def test_onnx_runtime_generates_torchs_32_tokens(cut, tmp_path):
    model, plan, tokenizer = cut
    asked = prompts(tokenizer)
    with quiet():
        info = write_causal_bundle(
            model, asked, tmp_path / "bundle", name="smollm2", plan=plan, tokenizer=tokenizer
        )
    parity = info.manifest.parity
    assert parity.greedy_tokens == parity.greedy_of == 96
    assert parity.agreement == 1
    assert set(info.manifest.cache_heads) == {2, 3}
    model.generation_config = GenerationConfig(max_new_tokens=32, do_sample=False, pad_token_id=0)
    expected = model.generate(torch.tensor([asked[0]]))[0, len(asked[0]) :].tolist()
    assert len(expected) == 32
    runtime = TextRuntime(tmp_path / "bundle")
    assert list(runtime.generate(asked[0], 32, end_tokens=()).tokens) == expected
    assert runtime.manifest.end_tokens == (2,)


def test_llama_cpp_computes_the_same(cut, tmp_path):
    pytest.importorskip("gguf")
    pytest.importorskip("xllamacpp", reason="a real llama.cpp: pip install xllamacpp")
    model, _, tokenizer = cut
    with quiet():
        info = export_gguf(model, prompts(tokenizer), tmp_path / "gguf", name="smollm2", tokenizer=tokenizer)
    assert info.architecture == "deci"
    assert info.verification.greedy_tokens == info.verification.greedy_of == 96
    assert info.verification.texts == 2
