"""Tiny classifiers of windows, bare enough that every score can be worked out otherwise."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from secateur.models.binding import BoundModel, bind

PATCH = 8


class TinyClassifier(nn.Module):
    """Patches of a waveform -> backbone -> mean -> classes."""

    input_names = ("waveform", "shaft_rate_hz", "fault_orders")

    def __init__(self, backbone: nn.Module, hidden: int, n_classes: int) -> None:
        super().__init__()
        self.embed = nn.Linear(PATCH, hidden)
        self.backbone = backbone
        self.head = nn.Linear(hidden, n_classes)

    def forward(self, waveform, shaft_rate_hz, fault_orders):
        del shaft_rate_hz, fault_orders
        tokens = self.embed(waveform.unflatten(-1, (-1, PATCH)))
        return self.head(self.backbone(inputs_embeds=tokens).last_hidden_state.mean(dim=1))


def _backbone(family: str, n_layers: int) -> nn.Module:
    if family == "gpt2":
        return GPT2Model(
            GPT2Config(
                n_embd=16,
                n_layer=n_layers,
                n_head=4,
                n_inner=24,
                n_positions=16,
                vocab_size=1,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                use_cache=False,
                initializer_range=0.3,
            )
        )
    return LlamaModel(
        LlamaConfig(
            hidden_size=16,
            num_hidden_layers=n_layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=24,
            max_position_embeddings=16,
            vocab_size=1,
            use_cache=False,
            initializer_range=0.3,
        )
    )


@pytest.fixture(params=["gpt2", "llama"])
def model(request) -> nn.Module:
    torch.manual_seed(0)
    return TinyClassifier(_backbone(request.param, 3), 16, 3).eval()


@pytest.fixture
def bound(model) -> BoundModel:
    return bind(model)


def batches_of(n: int, batch_size: int, n_tokens: int = 4) -> list[dict[str, torch.Tensor]]:
    """Return ``n`` random windows of ``n_tokens`` patches in batches."""
    draw = torch.Generator().manual_seed(1)
    whole = {
        "waveform": torch.randn(n, n_tokens * PATCH, generator=draw),
        "shaft_rate_hz": torch.zeros(n),
        "fault_orders": torch.zeros(n, 4),
        "label": torch.arange(n) % 3,
    }
    return [
        {name: value[start : start + batch_size] for name, value in whole.items()}
        for start in range(0, n, batch_size)
    ]


@pytest.fixture
def make_batches():
    return batches_of
