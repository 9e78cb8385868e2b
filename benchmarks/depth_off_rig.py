"""How many layers a cut keeps, and how far it then is from the dense model on a rig that it has not seen.

    python benchmarks/depth_off_rig.py --data DATA --work WORK --out FILE

``WORK`` is that of ``leave_one_rig_out.py``, whose dense models are cut anew at each depth, the rest of the
budget going to heads and channels as ever. Finished cuts are taken up.
"""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

from leave_one_rig_out import folder_of
from rigs import RIGS
from study_files import options, write_results
from window_models import BACKBONE, DENSE, Budget, prepared

from secateur.core.records import read_json, write_json
from secateur.core.seeds import derive
from secateur.models import checkpoint
from secateur.models.diagnoser import Diagnoser
from secateur.recovery.settings import RecoverySettings
from secateur.structure.plan import PruningPlan
from secateur.training.evaluate import fidelity, predict
from secateur.training.unlabelled import answers, machine_pool
from secateur.workflow.backbone import learning_rate_for, windows_for
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.settings import TaskSettings, windows_of
from secateur.workflow.steps import prune_and_save
from secateur.workflow.task import Preparation

REAL = ("Case Western, drive end", "Case Western, fan end", "UESTC")
DEPTHS = (2, 3, 4)
MACHINE_BLOCKS = 3
PLACES = ("validation", "simulated machines", "unseen rig")


def cut_at(depth: int, dense: Diagnoser, preparation: Preparation, folder: Path, *, seed: int) -> Diagnoser:
    """Cut the dense model with one candidate depth, if that is not done, and return the small one."""

    def only(identity: PruningPlan, order: tuple[int, ...], *_, **__) -> list[PruningPlan]:
        return [identity.without_layers(order[: len(identity.layers) - depth])]

    if not (folder / checkpoint.CHECKSUMS).exists():
        budget, rate = Budget(), learning_rate_for(BACKBONE)
        length = windows_of(windows_for(BACKBONE, None))
        task = TaskSettings(data=preparation.split.protocol, split="specimen", seed=seed, **length)
        recovery = RecoverySettings(max_steps=budget.recovery_steps, learning_rate=rate)
        cut = CutSettings(ratio=budget.ratio, recovery=recovery)
        with patch("secateur.methods.cascade.candidate_starts", only):
            prune_and_save(dense, preparation, task=task, cut=cut, folder=folder)
    return checkpoint.load(folder)


def judged(dense: Diagnoser, small: Diagnoser, preparation: Preparation, *, seed: int) -> dict[str, dict]:
    """Return agreement with the dense model and divergence from it at each of :data:`PLACES`."""
    spec = preparation.test.spec
    machines = machine_pool(derive(seed, "study"), spec.length, spec.sampling_rate_hz, MACHINE_BLOCKS)
    pairs = (
        [predict(model, preparation.validation) for model in (dense, small)],
        [answers(model, machines).numpy() for model in (dense, small)],
        [predict(model, preparation.test) for model in (dense, small)],
    )
    found = {place: vars(fidelity(*pair)) for place, pair in zip(PLACES, pairs, strict=True)}
    right = float((pairs[-1][1].argmax(axis=1) == preparation.test.labels).mean())
    return {**found, "right": right}


def table(cells: list[dict]) -> str:
    """Return the cells as Markdown."""
    heads = [f"{place}: {what}" for place in PLACES for what in ("same class %", "divergence")]
    lines = [
        f"| held out | layers | {' | '.join(heads)} | unseen rig: right % |",
        "|---" * (len(heads) + 3) + "|",
    ]
    for cell in cells:
        figures = [f"{100 * cell[p]['agreement']:.1f} | {cell[p]['kl']:.3f}" for p in PLACES]
        lines.append(
            f"| {cell['rig']} | {cell['layers']} | {' | '.join(figures)} | {100 * cell['right']:.1f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rigs", type=json.loads, default=REAL)
    given = parser.parse_args()
    rigs, cells = {rig: read(given.data) for rig, read in RIGS.items()}, []
    for rig in given.rigs:
        work = folder_of(given.work, rig, given.seed)
        others = [recording for name, members in rigs.items() if name != rig for recording in members]
        preparation = prepared(f"all but {rig}", others, rigs[rig], seed=given.seed)
        dense = checkpoint.load(work / DENSE)
        for depth in DEPTHS:
            kept = work / f"depth-{depth}.json"
            if not kept.exists():
                small = cut_at(depth, dense, preparation, work / f"depth-{depth}", seed=given.seed)
                found = judged(dense, small, preparation, seed=given.seed)
                write_json(kept, {"rig": rig, "layers": depth, **found})
            cells.append(read_json(kept))
            write_results(given, table(cells), cells=cells)


if __name__ == "__main__":
    main()
