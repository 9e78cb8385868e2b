"""Every causal family as ONNX with a cache: cut by a random plan, it says what torch says, token by token."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from secateur.core.errors import ExportError
from secateur.core.progress import quiet
from secateur.export.causal_bundle import write_causal_bundle
from secateur.export.causal_cache import causal_model
from secateur.models.binding import bind
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.surgery.apply import apply
from zoo import ZOO, Specimen

torch.set_num_threads(1)

NEW_TOKENS = 32
PROMPT_LENGTHS = (9, 4, 1)
WIDE, NARROW = 60, 4
"""Windows of attention: one that the longest text never fills, and one that every long prompt passes."""

QWEN_WINDOW = {"use_sliding_window": True, "max_window_layers": 1}
WINDOWS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_neo": ("window_size", {}),
    "mistral": ("sliding_window", {}),
    "qwen2": ("sliding_window", QWEN_WINDOW),
    "qwen3": ("sliding_window", QWEN_WINDOW),
    "gemma2": ("sliding_window", {}),
    "gemma3": ("sliding_window", {}),
    "phi3": ("sliding_window", {}),
    "starcoder2": ("sliding_window", {}),
    "olmo3": ("sliding_window", {}),
    "smollm3": ("sliding_window", {"use_sliding_window": True, "layer_types": None}),
}
"""Families some of whose layers look back over a window: the setting's name, and what switches it on."""

REFUSED = {"xlm_roberta_decoder": "counts positions from behind its padding token"}
FAST = ("falcon_one_norm_alibi", "gemma3")
"""What stands for the rest where time is short: position biases, and windows with normed queries and keys."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A specimen with the settings that it is built with."""

    specimen: Specimen
    settings: dict[str, Any] = field(default_factory=dict)

    def build(self, **changes: Any) -> Any:
        return self.specimen.build(**{**self.settings, **changes})


CASES = {
    specimen.name: Case(
        specimen=specimen,
        settings=WINDOWS[specimen.name][1] | {WINDOWS[specimen.name][0]: NARROW}
        if specimen.name in WINDOWS
        else {},
    )
    for specimen in ZOO
    if specimen.generates and specimen.inputs == "tokens"
}
OF_EVERY_KIND = ("llama", "gpt2", "gemma3")
"""Both kinds of blocks, and norms behind the projections with one key; the others are long."""


def _marks(name: str) -> tuple[pytest.MarkDecorator, ...]:
    if name in FAST:
        return ()
    return (pytest.mark.slow,) if name in OF_EVERY_KIND else (pytest.mark.slow, pytest.mark.long)


EXPORTED = [pytest.param(name, marks=_marks(name)) for name in CASES if name not in REFUSED]


def random_plan(model: torch.nn.Module, seed: int) -> PruningPlan:
    """Remove the first or the last of three layers, and leave other heads, groups and channels in each."""
    draw = np.random.default_rng(seed)
    bound = bind(model)
    shape = bound.shape
    first = int(draw.integers(2))
    layers = []
    for index in range(first, first + 2):
        n_groups, sharing = shape.kv_groups_per_layer[index], shape.heads_per_group(index)
        groups = _some(draw, n_groups, int(draw.integers(1, n_groups + 1)))
        width = int(draw.integers(1, sharing + 1))
        n_channels = shape.channels_per_layer[index]
        layers.append(
            LayerPlan(
                index=index,
                groups=groups,
                heads=tuple(_some(draw, sharing, width) for _ in groups),
                channels=_some(draw, n_channels, int(draw.integers(n_channels // 3, n_channels))),
            )
        )
    return PruningPlan(family=bound.spec.family, shape=shape, layers=tuple(layers))


def _some(draw: np.random.Generator, count: int, size: int) -> tuple[int, ...]:
    return tuple(sorted(draw.permutation(count)[:size].tolist()))


def prompts(specimen: Specimen) -> list[list[int]]:
    tokens = specimen.batch(max(PROMPT_LENGTHS))["input_ids"]
    return [tokens[row % 2, :length].tolist() for row, length in enumerate(PROMPT_LENGTHS)]


@pytest.mark.parametrize("name", EXPORTED)
def test_a_cut_model_of_any_family_generates_torchs_32_tokens(name, tmp_path):
    case = CASES[name]
    model = case.build()
    plan = random_plan(model, zlib.crc32(name.encode()))
    cut = apply(model, plan)
    with quiet():
        info = write_causal_bundle(
            cut, prompts(case.specimen), tmp_path / "out", name=name, plan=plan, new_tokens=NEW_TOKENS
        )
    manifest = info.manifest
    assert manifest.family == case.specimen.family
    assert manifest.parity.greedy_tokens == manifest.parity.greedy_of == NEW_TOKENS * len(PROMPT_LENGTHS)
    assert manifest.parity.agreement == 1
    assert manifest.parity.max_abs_diff < 1e-4
    assert [(layer.index, layer.channels) for layer in manifest.layers] == [
        (layer.index, len(layer.channels)) for layer in plan.layers
    ]


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_are_shorter_than_the_prompts(name):
    """So the test above sees a layer that must not look back at all of a prompt."""
    case = CASES[name]
    tokens = case.specimen.batch(max(PROMPT_LENGTHS))["input_ids"]
    narrow, wide = (
        apply(model, random_plan(model, zlib.crc32(name.encode())))
        for model in (case.build(), case.build(**{WINDOWS[name][0]: WIDE}))
    )
    with torch.no_grad():
        near, far = narrow(input_ids=tokens).logits, wide(input_ids=tokens).logits
    torch.testing.assert_close(near[:, :NARROW], far[:, :NARROW])
    assert not torch.allclose(near[:, -1], far[:, -1], atol=1e-3)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_is_refused_with_the_reason(name, tmp_path):
    specimen = CASES[name].specimen
    with pytest.raises(ExportError, match=REFUSED[name]):
        causal_model(specimen.build())
    with pytest.raises(ExportError, match=REFUSED[name]):
        write_causal_bundle(specimen.build(), [[5, 6, 7]], tmp_path / "out", name="x", new_tokens=4)
    assert not list(tmp_path.iterdir())
