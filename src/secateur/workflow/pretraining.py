"""Pre-training of a foundation diagnoser on random machines: resumable, by one command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secateur.core.errors import ConfigError
from secateur.core.provenance import provenance
from secateur.core.records import to_jsonable, write_json
from secateur.core.seeds import derive
from secateur.core.typed import typed
from secateur.models import checkpoint
from secateur.models.diagnoser import Diagnoser
from secateur.models.foundation import front_end_of, start_folder
from secateur.models.front_end.settings import foundation_front_end
from secateur.signals.simulator.machine_collection import DATASET, PROTOCOL
from secateur.signals.simulator.machines import LABELS
from secateur.training.batches import Batch
from secateur.training.loop import FitResult, run_loop
from secateur.training.machine_data import (
    MachineData,
    described_logits,
    described_machines,
    numbers_of,
    open_world_loss,
)
from secateur.training.settings import LoopSettings
from secateur.training.unlabelled import LEAST_LENGTH, LEAST_RATE_HZ, can_simulate
from secateur.workflow.backbone import build_dense
from secateur.workflow.claim import claim
from secateur.workflow.settings import TaskSettings

CHECKPOINT, STATE, MACHINES, RESULT = "dense", "state", "machines", "pretraining.json"


@dataclass(frozen=True, kw_only=True)
@typed
class PretrainingSettings:
    """What decides the outcome of a pre-training.

    Parameters
    ----------
    backbone : str
        See :func:`secateur.workflow.backbone.build_dense`.
    seed : int
    train_blocks, validation_blocks : int
        Blocks of 64 random machines; those of validation are never trained on.
    loop : LoopSettings
    """

    backbone: str = "micro-mha"
    seed: int = 0
    train_blocks: int = 192
    validation_blocks: int = 32
    loop: LoopSettings

    def __post_init__(self) -> None:
        for name in ("train_blocks", "validation_blocks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1.")


def pretrain(settings: PretrainingSettings, out: Path) -> dict[str, Any]:
    """Train a diagnoser on random machines and save it as ``out/dense``.

    The descriptions of the machines stay in ``out/machines`` and the state of the loop in ``out/state``: a
    stopped run goes on by the same command.

    Parameters
    ----------
    settings : PretrainingSettings
    out : Path
        New, empty, or the folder of a run with the same settings.

    Returns
    -------
    dict
        Content of ``out/pretraining.json``.

    Raises
    ------
    ConfigError
        If ``out`` holds something else, there is no such backbone, or its windows are too short.
    """
    start = start_folder(settings.backbone)
    front_end = foundation_front_end() if start is None else front_end_of(start)
    length, rate_hz = front_end.window_length, front_end.sampling_rate_hz
    if not can_simulate(length, rate_hz):
        raise ConfigError(
            f"{settings.backbone} takes windows of {length:,} samples at {rate_hz:g} Hz; those of random "
            f"machines have at least {LEAST_LENGTH:,} samples at {LEAST_RATE_HZ:g} Hz. Take another backbone."
        )
    model = build_dense(settings.backbone, classes=LABELS, front_end=front_end, seed=settings.seed)
    claim(out, to_jsonable(settings), seed=settings.seed)
    machines = out / MACHINES
    train = described_machines(front_end, derive(settings.seed, "train"), settings.train_blocks, machines)
    validation = described_machines(
        front_end, derive(settings.seed, "validation"), settings.validation_blocks, machines
    )
    result = fit_machines(model, train, validation, settings.loop, out / STATE)
    record = to_jsonable(
        {
            "settings": settings,
            "machines": {"train": numbers_of(train), "validation": numbers_of(validation)},
            "fit": result,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "provenance": provenance(seed=settings.seed),
        }
    )
    task = TaskSettings(
        data=DATASET, split=PROTOCOL, seed=settings.seed, window_length=front_end.window_length
    )
    checkpoint.save(
        model,
        out / CHECKPOINT,
        metadata=to_jsonable(
            {
                "task": task,
                "protocol": PROTOCOL,
                "training_specimens": [],
                "backbone": settings.backbone,
                "fit": result,
                "data_sha256": {},
                "provenance": record["provenance"],
            }
        ),
    )
    write_json(out / RESULT, record)
    return record


def fit_machines(
    model: Diagnoser, train: Batch, validation: Batch, loop: LoopSettings, state: Path | None = None
) -> FitResult:
    """Train a model on described machines, in place; see :func:`secateur.training.loop.run_loop`."""

    def objective(learner: nn.Module, batch: Batch) -> torch.Tensor:
        assert isinstance(learner, Diagnoser), "the model that is given"
        return open_world_loss(described_logits(learner, batch).float(), batch["label"])

    return run_loop(
        model, objective, MachineData(train, validation, loop), loop, out=state, description="pre-training"
    )
