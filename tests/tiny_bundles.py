"""A small diagnoser of each family, real-looking windows for it, and a bundle; needs torch.

python tests/tiny_bundles.py FOLDER    writes a bundle for tests where torch is not installed
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from secateur.bundle.manifest import MetricsRecord
from secateur.export.bundle import write_bundle
from secateur.models.binding import bind
from secateur.structure.plan import PruningPlan

torch.set_num_threads(1)

LENGTH = 512
WIDTH = 32


@dataclass(frozen=True)
class TinyConfig:
    classes: tuple[str, ...] = ("normal", "inner_race", "ball")
    sampling_rate_hz: float = 12000.0
    window_length: int = LENGTH

    def to_json(self):
        return {"classes": self.classes, "front_end": {"patch": 64}, "backbone": {}}


class TinyDiagnoser(nn.Module):
    """Normalises, cuts patches, adds what speed and orders say, and reads a class off the mean token."""

    def __init__(self, backbone):
        super().__init__()
        self.config = TinyConfig()
        self.backbone = backbone
        self.patches = nn.Linear(64, WIDTH)
        self.lines = nn.Linear(4, WIDTH)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, waveform, shaft_rate_hz, fault_orders):
        centred = waveform - waveform.mean(-1, keepdim=True)
        unit = centred / centred.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-12)
        tokens = self.patches(unit.unfold(-1, 64, 64))
        tokens = torch.cat([tokens, self.lines(fault_orders * shaft_rate_hz[:, None] / 30)[:, None]], dim=1)
        hidden = self.backbone(inputs_embeds=tokens, use_cache=False).last_hidden_state
        return self.head(hidden.mean(1))


def tiny_backbone(family):
    common = {"vocab_size": 1, "use_cache": False, "bos_token_id": None, "eos_token_id": None}
    if family == "gpt2":
        return GPT2Model(GPT2Config(n_layer=2, n_embd=WIDTH, n_head=4, n_inner=48, n_positions=16, **common))
    return LlamaModel(
        LlamaConfig(
            num_hidden_layers=2,
            hidden_size=WIDTH,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=48,
            **common,
        )
    )


def tiny_diagnoser(family):
    torch.manual_seed(0)
    return TinyDiagnoser(tiny_backbone(family)).eval()


def tiny_windows():
    rng = np.random.default_rng(0)
    return {
        "waveform": (3.0 * rng.standard_normal((5, LENGTH)) + 0.7).astype(np.float32),
        "shaft_rate_hz": np.array([29.9, 0.0, 28.8, 29.0, 30.1], dtype=np.float32),
        "fault_orders": np.array([[3.58, 5.42, 4.71, 0.398]] * 5, dtype=np.float32),
        "label": np.array([1, 1, 0, 2, 2]),
    }


def write_tiny_bundle(diagnoser, folder, **more):
    bound = bind(diagnoser)
    return write_bundle(
        diagnoser,
        tiny_windows(),
        folder,
        name="tiny",
        plan=PruningPlan.identity(bound.spec.family, bound.shape),
        metrics=MetricsRecord(protocol="load", leaks=True, values={"accuracy": 0.5}),
        lineage={"seed": 3},
        **more,
    )


if __name__ == "__main__":
    write_tiny_bundle(tiny_diagnoser("llama"), Path(sys.argv[1]))
