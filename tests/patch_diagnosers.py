"""Two-layer diagnosers of both families on tones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from secateur.core.progress import quiet
from secateur.training.batches import as_tensors
from tones import tone_windows

PATCH, CLASSES = 16, 3


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


class PatchDiagnoser(nn.Module):
    """Patches of the window, a transformer, the mean of its tokens, a linear head."""

    input_names = ("waveform", "shaft_rate_hz", "fault_orders")

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.patches = nn.Linear(PATCH, 32)
        self.backbone = backbone
        self.head = nn.Linear(32, CLASSES)

    def forward(self, waveform: Tensor, shaft_rate_hz: Tensor, fault_orders: Tensor) -> Tensor:
        tokens = self.patches(waveform.unflatten(1, (-1, PATCH)))
        return self.head(self.backbone(inputs_embeds=tokens).last_hidden_state.mean(dim=1))


def gpt2() -> nn.Module:
    return GPT2Model(
        GPT2Config(n_layer=3, n_embd=32, n_head=4, n_inner=48, vocab_size=1, n_positions=8, resid_pdrop=0.0,
                   embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False)
    )  # fmt: skip


def llama() -> nn.Module:
    return LlamaModel(
        LlamaConfig(num_hidden_layers=3, hidden_size=32, num_attention_heads=4, num_key_value_heads=2,
                    intermediate_size=48, vocab_size=1, max_position_embeddings=8, use_cache=False,
                    pad_token_id=None, bos_token_id=None, eos_token_id=None)
    )  # fmt: skip


@pytest.fixture(params=["gpt2", "llama"])
def diagnoser(request):
    torch.manual_seed(0)
    model = PatchDiagnoser(gpt2() if request.param == "gpt2" else llama())
    # The families start with tiny weights; larger ones make every unit matter.
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
    return model.eval()


@pytest.fixture(scope="session")
def train():
    return tone_windows([16] * 3, seed=1, random_phase=False)


@pytest.fixture(scope="session")
def validation():
    return tone_windows([6] * 3, seed=2, random_phase=False)


@pytest.fixture(scope="session")
def batches(train):
    order = np.random.default_rng(0).permutation(len(train))
    return [as_tensors(arrays) for arrays in train.batches(16, order)]
