"""The dense models of the 2 x 2 study: with the product's front end, or on raw patches as in the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from two_by_two_settings import Cell, Study

from secateur.core.files import write_aside
from secateur.core.records import read_json, write_json
from secateur.core.seeds import derive
from secateur.models import checkpoint
from secateur.models.controlled import controlled_backbone
from secateur.models.diagnoser import Diagnoser, DiagnoserConfig
from secateur.models.front_end.tokens import token_count, unit_rms
from secateur.workflow.task import Preparation

PATCH = 64


class RawPatches(nn.Module):
    """Samples of a window, 64 to a token, and nothing else: the backbone has to find the features."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.projection = nn.Linear(PATCH, hidden)

    def forward(self, waveform: Tensor, shaft_rate_hz: Tensor, fault_orders: Tensor) -> Tensor:
        """Return tokens (batch, tokens, hidden); the shaft rate and the bearing are not looked at."""
        del shaft_rate_hz, fault_orders
        return self.projection(unit_rms(waveform).unflatten(-1, (-1, PATCH)))


class PatchClassifier(nn.Module):
    """A ``Diagnoser`` whose front end is :class:`RawPatches`."""

    input_names = ("waveform", "shaft_rate_hz", "fault_orders")

    def __init__(self, backbone: dict[str, Any], n_classes: int) -> None:
        super().__init__()
        values = {key: value for key, value in backbone.items() if key != "model_type"}
        config = AutoConfig.for_model(backbone["model_type"], **values)
        self.front_end = RawPatches(config.hidden_size)
        self.backbone = AutoModel.from_config(config, attn_implementation="sdpa")
        self.backbone.set_input_embeddings(nn.Identity())
        self.head = nn.Linear(config.hidden_size, n_classes)

    def forward(self, waveform: Tensor, shaft_rate_hz: Tensor, fault_orders: Tensor) -> Tensor:
        """Return class logits."""
        tokens = self.front_end(waveform, shaft_rate_hz, fault_orders)
        return self.head(self.backbone(inputs_embeds=tokens, use_cache=False).last_hidden_state.mean(dim=1))


def build(study: Study, cell: Cell, preparation: Preparation) -> nn.Module:
    """Return the untrained model of a cell."""
    patches = cell.task.input == "patches"
    front_end = preparation.front_end
    tokens = cell.task.window_length // PATCH if patches else token_count(front_end)
    backbone = controlled_backbone(study.size, attention=cell.attention, ffn=cell.ffn, tokens=tokens)
    with torch.random.fork_rng():
        torch.manual_seed(derive(cell.seed, "dense-weights"))
        if patches:
            return PatchClassifier(backbone, len(preparation.classes))
        return Diagnoser(DiagnoserConfig(classes=preparation.classes, front_end=front_end, backbone=backbone))


def save(model: nn.Module, folder: Path, metadata: dict[str, Any]) -> None:
    """Keep a dense model; :func:`load` finds it only when it is whole."""
    if isinstance(model, Diagnoser):
        checkpoint.save(model, folder, metadata=metadata)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with write_aside(folder / "model.safetensors") as aside:
        save_model(model, str(aside))
    write_json(folder / "metadata.json", metadata)


def load(untrained: nn.Module, folder: Path) -> tuple[nn.Module, dict[str, Any]] | None:
    """Return the model that lies in a folder and its metadata, None if there is none."""
    if isinstance(untrained, Diagnoser):
        if not (folder / checkpoint.CHECKSUMS).exists():
            return None
        return checkpoint.load(folder), checkpoint.describe(folder).metadata
    if not (folder / "metadata.json").exists():
        return None
    load_model(untrained, str(folder / "model.safetensors"))
    return untrained.eval(), read_json(folder / "metadata.json")
