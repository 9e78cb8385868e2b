"""Random machines, described once and kept in a folder: what a foundation model trains on.

The front end's description of a window depends on no weight. Kept on disk it makes a step as cheap as the
backbone alone, and a stopped run goes on without simulating anything again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from secateur.core.errors import CheckpointError
from secateur.core.files import write_aside
from secateur.core.progress import track
from secateur.core.seeds import generator
from secateur.models.diagnoser import Diagnoser
from secateur.models.front_end.settings import FrontEndSettings
from secateur.models.front_end.tokens import FrontEnd
from secateur.signals.simulator.machine_windows import UNKNOWN, machine_windows
from secateur.signals.simulator.machines import LABELS
from secateur.training.batches import Batch, as_tensors
from secateur.training.metrics import confusion, macro_f1
from secateur.training.processes import Processes
from secateur.training.settings import LoopSettings
from secateur.training.strangers import open_world_losses

BLOCKS_A_FILE = 16
JUDGED_AT_ONCE = 256


def described_machines(front_end: FrontEndSettings, seed: int, n_blocks: int, folder: Path) -> Batch:
    """Simulate random machines, or read those that were simulated before.

    Parameters
    ----------
    front_end : FrontEndSettings
        Rate and length of the windows, and what is computed of them.
    seed : int
    n_blocks : int
        Blocks of 64 windows.
    folder : Path
        Where descriptions are kept; files of other settings or seeds do not disturb.

    Returns
    -------
    dict of Tensor
        ``levels``, ``spikes`` and ``frames`` in float16, ``shaft_rate_hz``, ``fault_orders``, ``label``.

    Raises
    ------
    CheckpointError
        If a file in the folder is damaged.
    """
    key = hashlib.sha256(json.dumps([asdict(front_end), seed], sort_keys=True).encode()).hexdigest()[:12]
    front = FrontEnd(front_end, 1).eval()
    parts = []
    starts = range(0, n_blocks, BLOCKS_A_FILE)
    for start in track(starts, "simulating machines", len(starts)):
        stop = min(start + BLOCKS_A_FILE, n_blocks)
        path = folder / f"machines-{key}-{start:05d}-{stop:05d}.safetensors"
        if not path.exists():
            blocks = [_described(front, seed, block) for block in range(start, stop)]
            with write_aside(path) as aside:
                save_file({name: torch.cat([b[name] for b in blocks]) for name in blocks[0]}, aside)
        try:
            parts.append(load_file(path))
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} is damaged ({error}); delete it.") from None
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _described(front: FrontEnd, seed: int, block: int) -> Batch:
    settings = front.settings
    batch = as_tensors(
        machine_windows(
            seed, block, length=settings.window_length, sampling_rate_hz=settings.sampling_rate_hz
        )
    )
    levels, spikes, frames = front.described(
        batch.pop("waveform"), batch["shaft_rate_hz"], batch["fault_orders"]
    )
    return {"levels": levels.half(), "spikes": spikes.half(), "frames": frames.half(), **batch}


def described_logits(model: Diagnoser, batch: Batch) -> Tensor:
    """Return the logits of described windows in float32, (batch, classes)."""
    tokens = model.front_end.tokens(
        batch["levels"].float(),
        batch["spikes"].float(),
        batch["frames"].float(),
        batch["shaft_rate_hz"],
        batch["fault_orders"],
    )
    return model.classified(tokens)


def open_world_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Mean of :func:`secateur.training.strangers.open_world_losses`."""
    return open_world_losses(logits, label).mean()


class MachineData:
    """Training and validation machines for :func:`secateur.training.loop.run_loop`.

    Parameters
    ----------
    train, validation : dict of Tensor
        As :func:`described_machines` gives them, of different seeds: no machine stands on both sides.
    settings : LoopSettings
    """

    monitor = "loss"

    def __init__(self, train: Batch, validation: Batch, settings: LoopSettings) -> None:
        self._train, self._validation, self._settings = train, validation, settings

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells these data from others."""
        labels = self._train["label"].numpy().tobytes()
        return {"machines": hashlib.sha256(labels).hexdigest()}

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, which depends on the seed and the step alone."""
        rng = generator(self._settings.seed, "machines", step)
        rows = torch.as_tensor(rng.integers(len(self._train["label"]), size=self._settings.batch_size))
        return {name: values[rows] for name, values in self._train.items()}

    def passes(self, batch: Batch) -> Iterator[tuple[Batch, float]]:
        """Yield the batch whole."""
        yield batch, 1.0

    @torch.no_grad()
    def figures(self, model: nn.Module, processes: Processes, precision: str) -> dict[str, float]:
        """Return ``macro_f1`` over known machines, and ``loss`` over all; every process computes all."""
        model.eval()
        logits = predicted(cast("Diagnoser", model), self._validation, processes.device)
        truth = self._validation["label"]
        known = (truth != UNKNOWN).numpy()
        counts = confusion(truth.numpy()[known], logits.argmax(dim=1).numpy()[known], len(LABELS))
        return {"macro_f1": macro_f1(counts), "loss": float(open_world_loss(logits, truth))}


@torch.no_grad()
def predicted(model: Diagnoser, machines: Batch, device: torch.device | None = None) -> Tensor:
    """Return the logits of all machines, float32 (n, classes), on the processor."""
    device = device or next(model.parameters()).device
    model.eval()
    found = []
    for start in range(0, len(machines["label"]), JUDGED_AT_ONCE):
        part = {name: values[start : start + JUDGED_AT_ONCE].to(device) for name, values in machines.items()}
        found.append(described_logits(model, part).float().cpu())
    return torch.cat(found)


def numbers_of(machines: Batch) -> dict[str, int]:
    """Return how many windows each class has; strangers under 'no bearing'."""
    counts = np.bincount(machines["label"].numpy() + 1, minlength=len(LABELS) + 1)
    return dict(zip(("no bearing", *LABELS), counts.tolist(), strict=True))
