"""What the 2 x 2 study is told, in one YAML file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from secateur.core.errors import ConfigError
from secateur.models.controlled import Attention, ControlledSize, Ffn
from secateur.scoring.matrices import MatrixCriterion

Treatment = Literal["closed", "naive", "naive attention", "naive ffn"]
TREATED: dict[Treatment, tuple[Literal["attention", "ffn"], ...]] = {
    "closed": (),
    "naive": ("attention", "ffn"),
    "naive attention": ("attention",),
    "naive ffn": ("ffn",),
}
"""Which parts each treatment cuts apart."""

SWITCHED_OFF: dict[str, Literal["group", "channel"]] = {"no attention": "group", "no ffn": "channel"}
"""Controls: what a branch is worth at all, by the kind of unit that it is made of."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(_Strict):
    """Settings of the dense training that differ from the defaults."""

    max_steps: int
    batch_size: int
    warmup_steps: int


class RecoveredCut(_Strict):
    """A cut that is recovered as well, closed and naive."""

    criterion: MatrixCriterion
    ratio: float


class TaskChoice(_Strict):
    """A split of a data set and what the model is given; splits of one name are the folds of one task."""

    name: str
    data: str
    split: str
    input: Literal["lines", "patches"]
    window_length: int
    train_hop: int
    test_hop: int
    training: Training
    ratios: tuple[float, ...]
    recovered: tuple[RecoveredCut, ...] = ()


class Recovery(_Strict):
    """Recovery of some cuts, and of the dense model as a control, with equal steps."""

    steps: int
    batch_size: int


class Study(_Strict):
    """The whole study."""

    seeds: tuple[int, ...]
    size: ControlledSize
    attentions: tuple[Attention, ...]
    ffns: tuple[Ffn, ...]
    tasks: tuple[TaskChoice, ...]
    snr_db: tuple[float, ...]
    criteria: tuple[MatrixCriterion, ...]
    max_test_windows: int
    calibration_windows: int
    recovery: Recovery

    @property
    def levels(self) -> tuple[float | None, ...]:
        """Noise levels of the test windows; None is clean."""
        return (*self.snr_db, None)

    def cells(self) -> Iterator[Cell]:
        """Yield all dense models, task after task, seed after seed."""
        for name in dict.fromkeys(task.name for task in self.tasks):
            for seed in self.seeds:
                for task in self.tasks:
                    if task.name != name:
                        continue
                    for attention in self.attentions:
                        for ffn in self.ffns:
                            yield Cell(task=task, seed=seed, attention=attention, ffn=ffn)


class Cell(_Strict):
    """One dense model and all cuts of it."""

    task: TaskChoice
    seed: int
    attention: Attention
    ffn: Ffn

    @property
    def name(self) -> str:
        """Name of its folder."""
        split = self.task.split.replace(":", "-")
        return f"{self.task.input}_{split}_{self.seed}_{self.attention}_{self.ffn}"

    @property
    def record(self) -> dict[str, Any]:
        """What every line of its results says."""
        return {
            "task": self.task.name,
            "split": self.task.split,
            "seed": self.seed,
            "attention": self.attention,
            "ffn": self.ffn,
        }

    @property
    def treatments(self) -> tuple[Treatment, ...]:
        """Distinct treatments: a head with a key of its own is closed as it stands."""
        return tuple(TREATED) if self.attention == "gqa" else ("closed", "naive")


def read_study(path: Path) -> Study:
    """Read the YAML file of a study.

    Raises
    ------
    ConfigError
        If a key is missing, unknown or wrong.
    """
    try:
        return Study.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ConfigError(f"{path} does not describe a study: {error}") from None
