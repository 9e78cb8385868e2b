"""Tiny random models of both families, with biases, unequal heads and groups, and norms away from one."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2Model, LlamaConfig, LlamaModel

HIDDEN, TOKENS = 48, 6


def _randomised(model: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in name or "ln_" in name
            parameter.copy_(1 + 0.3 * noise if is_norm and name.endswith("weight") else 0.3 * noise)
    return model.eval()


def _gpt2() -> torch.nn.Module:
    config = GPT2Config(
        n_layer=3,
        n_embd=HIDDEN,
        n_head=4,
        n_inner=24,
        vocab_size=4,
        n_positions=16,
        scale_attn_by_inverse_layer_idx=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    return _randomised(GPT2Model(config))


def _llama(biased: bool) -> torch.nn.Module:
    config = LlamaConfig(
        num_hidden_layers=3,
        hidden_size=HIDDEN,
        intermediate_size=24,
        num_attention_heads=6,
        head_dim=8,
        num_key_value_heads=3,
        vocab_size=4,
        attention_bias=biased,
        mlp_bias=biased,
        bos_token_id=None,
        eos_token_id=None,
    )
    return _randomised(LlamaModel(config))


BUILDERS = {
    "gpt2": _gpt2,
    "llama": lambda: _llama(False),
    "llama-biased": lambda: _llama(True),
}


@pytest.fixture(scope="session", params=list(BUILDERS))
def model(request: pytest.FixtureRequest) -> torch.nn.Module:
    """A random model; tests leave it as they found it."""
    return BUILDERS[request.param]()


@pytest.fixture(scope="session")
def gpt2() -> torch.nn.Module:
    """A random model of multi-head attention and a plain FFN."""
    return _gpt2()


@pytest.fixture(scope="session")
def llama() -> torch.nn.Module:
    """A random model of shared keys and values and a gated FFN."""
    return _llama(False)


@pytest.fixture(scope="session")
def embeddings() -> torch.Tensor:
    """Inputs of shape (batch, tokens, hidden)."""
    return torch.randn(2, TOKENS, HIDDEN, generator=torch.Generator().manual_seed(3))
