"""The backbone of ``base-mha`` (85 M parameters) against its cuts of 13.8 times, in torch and ONNX Runtime.

Every model runs in a fresh process on one thread with batch 1, in turns with the others. Weights are
random: this measures time and memory, not quality. Two cuts have the same parameters: four narrow layers,
and one wide layer, which is what the cascade of ``cwru_compression.py`` leaves of ``small-mha`` most often,
at the widths of ``base``. Last, the whole process of a device is measured on a bundle of ``small-mha`` cut by
13.8: runtime, resampling, windows and diagnoses. Results go to ``benchmarks/results/base_against_cut.json``
and ``.md``.

    OMP_NUM_THREADS=1 python benchmarks/base_against_cut.py
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from base_against_cut_page import page
from torch import nn

from secateur.bench.backbone import export_backbone, quantise_backbone
from secateur.bench.measure import BenchSettings, measure
from secateur.core.files import write_aside
from secateur.core.records import to_jsonable, write_json
from secateur.export.bundle import write_bundle
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.diagnoser import Diagnoser
from secateur.models.front_end.settings import FrontEndSettings
from secateur.models.presets import preset_config
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply

TOKENS = (16, 64)
CLASSES = ("normal", "inner_race", "ball", "outer_race")
SAMPLING_RATE_HZ = 12_000.0
FOUR_LAYERS = dict.fromkeys((0, 3, 6, 9), (4, 464))
"""Layer: heads and channels that stay."""
ONE_LAYER = {0: (12, 2368)}
SMALL_CUT = {0: (8, 688)}


def build(preset: str) -> Diagnoser:
    """Return a preset with random weights and room for the most tokens."""
    config = preset_config(
        preset, classes=CLASSES, front_end=FrontEndSettings(sampling_rate_hz=SAMPLING_RATE_HZ)
    )
    positions = max(config.backbone["n_positions"], *TOKENS)
    torch.manual_seed(0)
    return Diagnoser(replace(config, backbone={**config.backbone, "n_positions": positions})).eval()


def cut(model: Diagnoser, kept: dict[int, tuple[int, int]]) -> tuple[nn.Module, PruningPlan]:
    """Return a smaller copy and its plan."""
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    plan = plan.without_layers(set(range(bound.shape.n_layers)) - set(kept))
    for layer, (heads, channels) in kept.items():
        plan = plan.with_groups(layer, range(heads)).with_channels(layer, range(channels))
    return apply(model, plan), plan


def export_all(folder: Path) -> tuple[dict[str, Path], dict[str, int]]:
    """Write every model that is compared; return the paths and the parameters of the whole Diagnosers."""
    dense = build("base-mha")
    cuts = {"4 layers": cut(dense, FOUR_LAYERS), "1 layer": cut(dense, ONE_LAYER)}
    checkpoint.save(dense, folder / "dense")
    paths = {"dense torch fp32": folder / "dense"}
    for name, model in {"dense": dense, **{name: entry[0] for name, entry in cuts.items()}}.items():
        plain, int8 = folder / f"{name} fp32.onnx", folder / f"{name} int8.onnx"
        export_backbone(model, plain)
        quantise_backbone(plain, int8)
        paths |= {plain.stem: plain, int8.stem: int8}
    dense_parameters = sum(parameter.numel() for parameter in dense.parameters())
    counts = {"dense": dense_parameters, **{name: parameters(plan) for name, (_, plan) in cuts.items()}}
    return paths, counts


def export_device(folder: Path, kept: dict[int, tuple[int, int]] = SMALL_CUT) -> Path:
    """Write a bundle of a cut of ``small-mha``, for what is measured on the whole process of a device."""
    dense = build("small-mha")
    small, plan = cut(dense, kept)
    rng = np.random.default_rng(0)
    windows = {
        "waveform": rng.standard_normal((4, dense.config.window_length)).astype(np.float32),
        "shaft_rate_hz": np.full(4, 29.5, dtype=np.float32),
        "fault_orders": np.tile(np.array([3.585, 5.415, 4.714, 0.398], dtype=np.float32), (4, 1)),
    }
    return write_bundle(small, windows, folder / "small cut", name="small-mha cut", plan=plan).folder


def main() -> None:
    """Export, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="of inferences of the backbones")
    parser.add_argument("--starts", type=int, default=2, help="fresh processes a model")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="secateur.") as name:
        folder = Path(name)
        paths, counts = export_all(folder)
        backbones = measure(
            paths,
            BenchSettings(seconds=arguments.seconds, tokens=TOKENS, starts=arguments.starts),
            bases=("dense torch fp32", "dense fp32"),
        )
        device = measure(
            {"small-mha cut": export_device(folder)}, BenchSettings(seconds=5.0, starts=arguments.starts)
        )
    result: dict[str, Any] = {
        "parameters": counts,
        "backbones": to_jsonable(backbones),
        "device": to_jsonable(device),
    }
    write_json(arguments.out / "base_against_cut.json", result)
    with write_aside(arguments.out / "base_against_cut.md") as aside:
        aside.write_text(page(result), encoding="utf-8")
    print(page(result))


if __name__ == "__main__":
    main()
