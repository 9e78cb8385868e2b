"""What a wrong or missing shaft speed costs the models of ``cwru_compression.py``.

python benchmarks/cwru_speed.py --data DIR/cwru --work runs/cwru
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cwru_compression import RATIO, TEST_HOP
from cwru_tables import written

from secateur.models import checkpoint
from secateur.training.batches import as_tensors, forward
from secateur.training.evaluate import evaluate
from secateur.workflow.settings import TaskSettings
from secateur.workflow.task import prepare_one

FACTORS = {"exact": 1.0, "+1 %": 1.01, "+2 %": 1.02, "+5 %": 1.05, "unknown": 0.0}


@dataclasses.dataclass(frozen=True)
class Misinformed:
    """A model that is told the shaft rate times a factor."""

    model: torch.nn.Module
    factor: float

    @torch.no_grad()
    def window_logits(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Return logits of stacked windows."""
        told = {**arrays, "shaft_rate_hz": arrays["shaft_rate_hz"] * np.float32(self.factor)}
        return forward(self.model, as_tensors(told)).numpy()


def main() -> None:
    """Judge dense and pruned models of every finished cell and print a table of macro-F1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    found: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for pruned in sorted(arguments.work.glob(f"*/cascade-{RATIO:g}")):
        dense = pruned.with_name("dense")
        metadata: dict[str, Any] = checkpoint.describe(dense).metadata
        task = TaskSettings(
            **{
                **metadata["task"],
                "data": str(Path(arguments.data).resolve()),
                "split": metadata["protocol"],
                "test_hop": TEST_HOP,
            }
        )
        prepared = prepare_one(task)
        backbone = pruned.parent.name.split("_")[0]
        protocol = "load" if task.split == "load" else "fault_size:all"
        for name, folder in (("dense", dense), ("cascade", pruned)):
            model = checkpoint.load(folder)
            for told, factor in FACTORS.items():
                judged = evaluate(Misinformed(model, factor), prepared.test, classes=prepared.classes)
                found[backbone, protocol, name][told].append(judged.macro_f1)
    print("Macro-F1 %, mean over seeds (and folds) ± half-width of the 95 % t interval.\n")
    print("| backbone | split | model | " + " | ".join(FACTORS) + " |")
    print("|---" * (len(FACTORS) + 3) + "|")
    for (backbone, protocol, name), columns in sorted(found.items()):
        print(
            f"| {backbone} | {protocol} | {name} | " + " | ".join(written(columns[t]) for t in FACTORS) + " |"
        )


if __name__ == "__main__":
    main()
