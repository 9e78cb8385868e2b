"""Trainings that one process or several carry out alike; run as a script, by a launcher or alone.

python together.py FOLDER    leaves the weights and what else each scenario came to in FOLDER; the folder
                             above this one must be in PYTHONPATH
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors.torch import save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

from secateur.core.progress import quiet
from secateur.recovery.recover import recover
from secateur.recovery.settings import RecoverySettings, TextRecoverySettings
from secateur.tasks.token_task import TokenTask
from secateur.tasks.windows import WindowTask
from secateur.training.fit import fit
from secateur.training.settings import FitSettings
from tones import tone_windows

PATCH, CLASSES = 16, 3
PACE = {
    "learning_rate": 1e-3,
    "warmup_steps": 2,
    "precision": "fp32",
    "evaluate_every": 2,
}
# an odd batch, so that parts differ in size
SETTINGS = FitSettings(max_steps=6, batch_size=7, checkpoint_every=3, monitor="loss", **PACE)
# a loss that weights rare classes, and a learning rate at which training does harm and stops early
WEIGHTED = replace(SETTINGS, balance="loss", max_steps=4)
HARMFUL = replace(SETTINGS, learning_rate=0.3, evaluate_every=1, patience=2, max_steps=20)
RECOVERY = RecoverySettings(max_steps=5, batch_size=5, checkpoint_every=2, monitor="loss", **PACE)
TEXT = TextRecoverySettings(max_steps=5, batch_size=5, checkpoint_every=2, **PACE)


def config(**others: Any) -> LlamaConfig:
    return LlamaConfig(
        num_hidden_layers=2,
        hidden_size=32,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=24,
        bos_token_id=None,
        eos_token_id=None,
        **others,
    )


class Net(nn.Module):
    """Patches of a window, two blocks with grouped queries, a linear head."""

    input_names = ("waveform", "shaft_rate_hz", "fault_orders")

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Linear(PATCH, 32)
        self.backbone = LlamaModel(config(vocab_size=1, use_cache=False))
        self.head = nn.Linear(32, CLASSES)

    def forward(self, waveform, shaft_rate_hz, fault_orders):
        tokens = self.patches(waveform.unflatten(1, (-1, PATCH)))
        return self.head(self.backbone(inputs_embeds=tokens).last_hidden_state.mean(dim=1))


def net(seed: int) -> Net:
    torch.manual_seed(seed)
    return Net()


def language_model(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(config(vocab_size=11))


class StopAt(nn.Module):
    """A net that is interrupted at one of its forward passes in training."""

    def __init__(self, inner: Net, step: int) -> None:
        super().__init__()
        self.inner, self.left = inner, step

    def forward(self, *inputs):
        if self.training:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return self.inner(*inputs)


def main(folder: Path) -> None:
    train, validation = tone_windows((12, 12, 12), seed=1), tone_windows((30, 30, 30), seed=2)
    rank = PartialState(cpu=True).process_index
    results = {}
    with quiet():
        fitted = net(0)
        results["fit"] = fit(fitted, train, validation, SETTINGS)

        # weights that another process would have drawn otherwise come from the first
        aligned = net(rank)
        results["aligned"] = fit(aligned, train, validation, SETTINGS)

        weighted, harmed = net(0), net(0)
        results["weighted"] = fit(weighted, tone_windows((12, 5, 3), seed=1), validation, WEIGHTED)
        results["harmed"] = fit(harmed, train, validation, HARMFUL)

        recovered = net(0)
        results["recovery"] = recover(
            recovered, net(3), WindowTask(train=train, validation=validation), RECOVERY
        )

        reader = language_model(0)
        blocks = torch.randint(0, 11, (30, 9), generator=torch.Generator().manual_seed(4))
        results["text"] = recover(
            reader, language_model(5), TokenTask.of_blocks(blocks[:20], blocks[20:]), TEXT
        )

        resumed = StopAt(net(0), 5)
        try:
            fit(resumed, train, validation, SETTINGS, folder / "state")
        except KeyboardInterrupt:
            resumed = StopAt(net(0), 99)
            results["resumed"] = fit(resumed, train, validation, SETTINGS, folder / "state")
    models = {
        "fit": fitted,
        "aligned": aligned,
        "weighted": weighted,
        "recovery": recovered,
        "text": reader,
        "resumed": resumed.inner,
    }
    tensors = {
        f"{scenario}.{name}": tensor
        for scenario, model in models.items()
        for name, tensor in model.state_dict().items()
    }
    save_file(tensors, folder / f"weights-{rank}.safetensors")
    figures = {
        scenario: {
            "steps": result.steps,
            "best_step": result.best_step,
            "stopped_early": result.stopped_early,
            "validation": [entry["validation_loss"] for entry in result.history],
            "training": [entry["train_loss"] for entry in result.history],
        }
        for scenario, result in results.items()
    }
    (folder / f"figures-{rank}.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
