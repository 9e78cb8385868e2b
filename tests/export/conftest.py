"""A small diagnoser of each family, a bundle of it, and a cut one whose layers have unlike widths."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from secateur.export.onnx import frozen_copy
from secateur.models.binding import bind
from secateur.models.presets import build_preset
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from tiny_bundles import tiny_diagnoser, tiny_windows, write_tiny_bundle


@pytest.fixture(scope="session")
def windows():
    return tiny_windows()


@pytest.fixture(scope="session", params=["gpt2", "llama"])
def diagnoser(request):
    return tiny_diagnoser(request.param)


@pytest.fixture(scope="session")
def bundle(diagnoser, tmp_path_factory, tracing_once):
    """A finished bundle; tests that damage it copy it first."""
    with tracing_once():
        return write_tiny_bundle(diagnoser, tmp_path_factory.mktemp("out") / "bundle")


class Cut(NamedTuple):
    """A cut Diagnoser, what was kept of it, and how many matrices its backbone has."""

    model: nn.Module
    plan: PruningPlan
    projections: int


@pytest.fixture(scope="session")
def nano_windows():
    rng = np.random.default_rng(0)
    return {
        "waveform": rng.standard_normal((5, 8192)).astype(np.float32),
        "shaft_rate_hz": np.array([29.9, 0.0, 28.8, 29.0, 30.1], dtype=np.float32),
        "fault_orders": np.array([[3.58, 5.42, 4.71, 0.398]] * 5, dtype=np.float32),
        "label": np.array([1, 1, 0, 2, 2]),
    }


@pytest.fixture(scope="module", params=["nano-mha", "nano-gqa"])
def cut(request):
    """Layers of unlike heads, with 40 and 32 channels (40 is no multiple of a group of weights), and weights
    that matter."""
    torch.manual_seed(0)
    model = build_preset(request.param, classes=("normal", "inner_race", "ball"), sampling_rate_hz=12000.0)
    bound = bind(model)
    per_layer, groups = {"gpt2": (4, ((0, 2), (0, 1, 3))), "llama": (7, ((0,), (0, 1)))}[bound.spec.family]
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    for layer, channels in enumerate((40, 32)):
        plan = plan.with_groups(layer, groups[layer]).with_channels(layer, range(channels))
    model = apply(model, plan)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
    return Cut(frozen_copy(model), plan, per_layer * len(plan.layers))
