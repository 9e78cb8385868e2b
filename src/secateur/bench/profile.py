"""Measure how long one layer takes at several widths: the table that latency budgets use."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from secateur.bench.backbone import export_backbone
from secateur.bench.energy import RaplMeter
from secateur.bench.inputs import random_window
from secateur.bench.process import Worker
from secateur.bench.turns import take_turns
from secateur.bench.work import Work
from secateur.core.errors import ConfigError
from secateur.core.progress import progress
from secateur.core.provenance import provenance
from secateur.core.typed import typed
from secateur.export.bundle import write_bundle
from secateur.models.binding import bind
from secateur.models.diagnoser import Diagnoser, DiagnoserConfig
from secateur.models.front_end.tokens import token_count
from secateur.structure.latency import LatencyTable
from secateur.structure.plan import PruningPlan
from secateur.structure.shape import ModelShape
from secateur.surgery.apply import apply

DEEP = 3
"""Layers of the deeper of two dense backbones, whose difference is the time of a layer."""

_LAYER_KEYS = {"gpt2": "n_layer"}
_POSITION_KEYS = {"gpt2": "n_positions"}
Widths = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
@typed
class ProfileSettings:
    """How to measure a table.

    Parameters
    ----------
    seconds : float
        Seconds of inferences, shared by all numbers of tokens; exports and starts come on top.
    threads : int
        Threads of one operator.
    tokens : tuple of int
        Numbers of tokens beside that of the front end.

    Raises
    ------
    ConfigError
        If a number is not positive.
    """

    seconds: float = 60.0
    threads: int = 1
    tokens: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not (0 < self.seconds < float("inf") and self.threads >= 1 and all(n >= 1 for n in self.tokens)):
            raise ConfigError(
                f"{self.seconds} seconds, {self.threads} threads, tokens {list(self.tokens)}; all must be "
                "positive."
            )


def profile(config: DiagnoserConfig, settings: ProfileSettings) -> LatencyTable:
    """Measure a table for the backbones of one configuration, in ONNX Runtime, on random weights.

    Parameters
    ----------
    config : DiagnoserConfig
        Of the dense model; its number of layers does not matter.
    settings : ProfileSettings

    Raises
    ------
    ExportError
        If a layer of this kind cannot be exported.
    MeasurementError
        If a process that measures dies.
    """
    window_tokens = token_count(config.front_end)
    tokens = tuple(sorted({*settings.tokens, window_tokens}))
    deep = _deep_model(config, max(tokens))
    shape = bind(deep).shape
    heads = _points(shape.heads_per_layer[0], shape.heads_per_group(0))
    channels = _points(shape.channels_per_layer[0], 1)
    widths = widths_to_measure(heads, channels)
    with tempfile.TemporaryDirectory(prefix="secateur.") as name:
        graphs = _export(deep, shape, widths, Path(name))
        bundle = _narrow_bundle(deep, shape, (1, heads[0], channels[0]), Path(name) / "narrow")
        times = {
            count: _measure(graphs, bundle if count == window_tokens else None, count, settings, len(tokens))
            for count in tokens
        }
    narrow = times[window_tokens][None]
    of_layers = {
        count: {widths: ms for widths, ms in found.items() if widths is not None}
        for count, found in times.items()
    }
    return table_from_times(
        of_layers,
        heads,
        channels,
        family=bind(deep).spec.family,
        shape=shape,
        window_tokens=window_tokens,
        narrow_bundle_ms=narrow,
        threads=settings.threads,
    )


def widths_to_measure(heads: Sequence[int], channels: Sequence[int]) -> tuple[Widths, ...]:
    """Return (layers, heads, channels) of every backbone that a table needs; the last one checks it."""
    dense = (heads[-1], channels[-1])
    return tuple(
        dict.fromkeys(
            [
                (1, *dense),
                (DEEP, *dense),
                *((1, count, dense[1]) for count in heads[:-1]),
                *((1, dense[0], count) for count in channels[:-1]),
                (1, heads[0], channels[0]),
                check_widths(heads, channels),
            ]
        )
    )


def check_widths(heads: Sequence[int], channels: Sequence[int]) -> Widths:
    """Return a backbone that the table does not hold, to hold it against."""
    return (2, heads[len(heads) // 2], channels[len(channels) // 2])


def table_from_times(
    times: Mapping[int, Mapping[Widths, float]],
    heads: tuple[int, ...],
    channels: tuple[int, ...],
    *,
    family: str,
    shape: ModelShape,
    window_tokens: int,
    narrow_bundle_ms: float,
    threads: int,
) -> LatencyTable:
    """Work a table out of the times of whole backbones.

    Parameters
    ----------
    times : mapping
        For each number of tokens the milliseconds of each entry of :func:`widths_to_measure`.
    heads, channels : tuple of int
        Measured widths, the dense ones last.
    narrow_bundle_ms : float
        Time of a whole Diagnoser whose backbone is the narrowest measured one.
    """
    tokens = tuple(sorted(times))
    dense = (heads[-1], channels[-1])
    outside = []
    for count in tokens:
        one, deep = times[count][1, *dense], times[count][DEEP, *dense]
        outside.append(max(0.0, one - (deep - one) / (DEEP - 1)))
    rows = list(zip(tokens, outside, strict=True))
    narrow_ms = times[window_tokens][1, heads[0], channels[0]]
    table = LatencyTable(
        family=family,
        hidden=shape.hidden,
        threads=threads,
        tokens=tokens,
        heads=heads,
        channels=channels,
        outside_ms=tuple(outside),
        heads_ms=tuple(tuple(times[n][1, count, dense[1]] - rest for count in heads) for n, rest in rows),
        channels_ms=tuple(
            tuple(times[n][1, dense[0], count] - rest for count in channels) for n, rest in rows
        ),
        window_tokens=window_tokens,
        front_end_ms=max(0.0, narrow_bundle_ms - narrow_ms),
        provenance=provenance(),
    )
    layers, kept_heads, kept_channels = check_widths(heads, channels)
    predicted = table.layer_ms(kept_heads, kept_channels, tokens=window_tokens) * layers
    predicted += outside[tokens.index(window_tokens)]
    checked = {
        "layers": layers,
        "heads": kept_heads,
        "channels": kept_channels,
        "tokens": window_tokens,
        "predicted_ms": predicted,
        "measured_ms": times[window_tokens][layers, kept_heads, kept_channels],
    }
    return replace(table, checked=checked)


def _points(dense: int, step: int) -> tuple[int, ...]:
    """Return an eighth, a half and all of a dense width, in whole steps."""
    shares = (max(step, dense * part // 8 // step * step) for part in (1, 4, 8))
    return tuple(sorted(set(shares)))


def _deep_model(config: DiagnoserConfig, positions: int) -> Diagnoser:
    backbone = dict(config.backbone)
    family = config.family
    backbone[_LAYER_KEYS.get(family, "num_hidden_layers")] = DEEP
    backbone[_POSITION_KEYS.get(family, "max_position_embeddings")] = positions
    torch.manual_seed(0)
    return Diagnoser(replace(config, backbone=backbone)).eval()


def _cut(deep: Diagnoser, shape: ModelShape, widths: Widths) -> tuple[Diagnoser, PruningPlan]:
    layers, heads, channels = widths
    plan = PruningPlan.identity(bind(deep).spec.family, shape).without_layers(range(layers, DEEP))
    for layer in range(layers):
        plan = plan.with_groups(layer, range(heads // shape.heads_per_group(layer)))
        plan = plan.with_channels(layer, range(channels))
    return apply(deep, plan), plan


def _export(deep: Diagnoser, shape: ModelShape, widths: Sequence[Widths], folder: Path) -> dict[Widths, Path]:
    graphs = {}
    with progress("export layers", len(widths)) as bar:
        for entry in widths:
            graphs[entry] = folder / f"{'-'.join(map(str, entry))}.onnx"
            export_backbone(_cut(deep, shape, entry)[0], graphs[entry])
            bar.advance()
    return graphs


def _narrow_bundle(deep: Diagnoser, shape: ModelShape, widths: Widths, folder: Path) -> Path:
    model, plan = _cut(deep, shape, widths)
    window = random_window(model.config.window_length)
    pair = {name: np.concatenate([array, array]) for name, array in window.items()}
    return write_bundle(model, pair, folder, name="profile", plan=plan).folder


def _measure(
    graphs: Mapping[Widths, Path],
    bundle: Path | None,
    tokens: int,
    settings: ProfileSettings,
    parts: int,
) -> dict[Widths | None, float]:
    """Return the median milliseconds of each backbone, and under None those of the bundle."""
    works: dict[Widths | None, Work] = {
        entry: Work(kind="graph", path=str(path), tokens=tokens, threads=settings.threads)
        for entry, path in graphs.items()
    }
    if bundle is not None:
        works[None] = Work(kind="bundle", path=str(bundle), tokens=None, threads=settings.threads)
    with ExitStack() as open_workers:
        workers = [open_workers.enter_context(Worker(work)) for work in works.values()]
        turns = take_turns(
            workers,
            seconds=settings.seconds / parts,
            meter=RaplMeter(),
            description=f"turns at {tokens} tokens",
        )
    return {
        entry: median(turn.cpu if settings.threads == 1 else turn.wall for turn in own)
        for entry, own in zip(works, turns, strict=True)
    }
