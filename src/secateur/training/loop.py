"""The one gradient loop, used for fitting and for recovery, on windows and on text.

Everything random in a step comes from the seed and the step's number, so a resumed run repeats
what the uninterrupted one did. Several processes (GPUs, hosts) share each batch and take one step together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from secateur.core.errors import CheckpointError, ConfigError, SecateurError
from secateur.core.processes import apart
from secateur.core.progress import progress, quiet
from secateur.core.records import to_jsonable
from secateur.core.seeds import derive
from secateur.models.precision import autocast, resolve_precision
from secateur.training.batches import Batch, to_device
from secateur.training.processes import Processes, agreed
from secateur.training.settings import LoopSettings
from secateur.training.state import (
    TrainingState,
    digest,
    optimizer_moments,
    put_back,
    read_state,
    restore_moments,
    trained_tensors,
    write_state,
)
from secateur.training.tracking import curves

LOOKS = 4
"""Looks at the validation samples that a model which is good already gets at least."""

LESS = 1 / 3
"""The learning rate becomes this share of itself where all steps so far have harmed such a model."""

Objective = Callable[[nn.Module, Batch], Tensor]
"""Mean loss of the samples of a batch, a scalar tensor, given the model in training mode."""


class LoopData(Protocol):
    """What a loop trains on and judges by."""

    @property
    def monitor(self) -> str:
        """Figure by which the best weights are chosen."""

    def fingerprint(self) -> dict[str, Any]:
        """Return JSON values that tell these data from others."""

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, which depends on the seed and the step alone."""

    def passes(self, batch: Batch) -> Iterable[tuple[Batch, float]]:
        """Yield the parts of a batch that memory holds at once, each with its share of the batch."""

    def figures(self, model: nn.Module, processes: Processes, precision: str) -> dict[str, float]:
        """Return the figures on the validation samples, ``loss`` among them; the same in all processes."""


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a gradient loop did.

    Parameters
    ----------
    steps : int
        Steps taken (more than ``best_step`` if the last ones brought nothing).
    samples_seen : int
        Training samples (windows, blocks of tokens) drawn, with repetition: the budget at which methods are
        compared.
    best_step : int
        Step whose weights the model now has.
    validation_macro_f1 : float or None
        At that step, on the augmented validation windows; None for text.
    validation_loss : float
        At that step: mean cross-entropy of a window, or of a token, in nats.
    stopped_early : bool
        Before ``max_steps``: by patience or by the clock.
    precision : str
        'bf16' or 'fp32', as resolved.
    seconds : float
        Wall time, over all resumed parts.
    history : list of dict
        Step, learning rate, mean training loss since the last look, validation figures.
    """

    steps: int
    samples_seen: int
    best_step: int
    validation_macro_f1: float | None
    validation_loss: float
    stopped_early: bool
    precision: str
    seconds: float
    history: list[dict[str, float | None]]


def learning_rate_at(step: int, settings: LoopSettings, time_used: float = 0.0) -> float:
    """Rate of step ``step`` (from 0): linear warm-up, a quarter of the steps at most, then a half cosine.

    The end is ``max_steps`` or, where the share ``time_used`` of the time is larger than that of the steps,
    the end of the time.
    """
    warmup = min(settings.warmup_steps, settings.max_steps // 4)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    done = max((step - warmup) / (settings.max_steps - warmup), min(time_used, 1.0))
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def make_optimizer(model: nn.Module, settings: LoopSettings) -> torch.optim.AdamW:
    """Return AdamW over the parameters that take gradients; vectors (norms, biases) do not decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ConfigError("nothing to train: no parameter of the model takes gradients.")
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.learning_rate, fused=True)


def is_better(
    figures: dict[str, float],
    best: dict[str, float] | None,
    monitor: str,
    start: dict[str, float] | None = None,
) -> bool:
    """Whether new validation figures beat the best so far; at equal macro-F1 the lower loss does.

    A loss on labelled samples above that at the start, where the start counts, never does: agreement with the
    teacher on samples without labels is no good at that price.
    """
    if best is None:
        return True
    if start is not None and figures.get("labelled_loss", 0.0) > start.get("labelled_loss", 0.0):
        return False
    if monitor == "macro_f1" and figures["macro_f1"] != best["macro_f1"]:
        return figures["macro_f1"] > best["macro_f1"]
    return figures["loss"] < best["loss"]


class _Run:
    """A gradient loop under way: the model, its optimiser, and where it stands."""

    def __init__(self, model: nn.Module, data: LoopData, settings: LoopSettings, out: Path | None) -> None:
        self.processes = Processes()
        self.processes.require_enough_rows(settings.batch_size)
        self.device = self.processes.device
        self.model, self.data, self.settings, self.out = model.to(self.device), data, settings, out
        self.precision = resolve_precision(settings.precision, self.device)
        self.processes.align(self.model)
        self.names = {p: n for n, p in model.named_parameters() if p.requires_grad}
        self.optimizer = make_optimizer(model, settings)
        self.step, self.learning_rate, self.time_used = 0, 0.0, 0.0
        self.best: dict[str, Tensor] = {}
        self.log: dict[str, Any] = {
            "rate": 1.0,
            "history": [],
            "losses": [],
            "best": None,
            "start": None,
            "best_step": 0,
            "idle": 0,
            "seconds": 0.0,
            "look_seconds": 0.0,
            "finished": False,
        }
        self.fingerprint = self._fingerprint() if out is not None else {}
        self._resume()
        self._clock = time.perf_counter()

    def _fingerprint(self) -> dict[str, Any]:
        return {
            "settings": to_jsonable(self.settings),
            "precision": self.precision,
            **self.data.fingerprint(),
            "initial_weights": digest(self.model),
        }

    def _resume(self) -> None:
        self.processes.wait()
        state = read_state(self.out, self.fingerprint) if self.out is not None else None
        if state is not None:
            self.step, self.best, self.log = state.step, state.best, self.log | state.progress
            put_back(self.model, state.weights)
            restore_moments(self.optimizer, self.names, state.moments)
        first = agreed(self.step)
        if first != self.step:
            raise CheckpointError(
                f"process {self.processes.rank} finds the training state of step {self.step} in {self.out}, "
                f"the first process that of step {first}; put the folder where every host sees it."
            )

    @property
    def is_last(self) -> bool:
        """Whether the steps or the time are used up."""
        return self.step >= self.settings.max_steps or self.time_used >= 1

    @property
    def is_over(self) -> bool:
        """Whether the steps, the time or the patience are used up."""
        return self.is_last or self.log["idle"] >= self.settings.patience

    def advance(self, objective: Objective) -> float:
        """Take one step; return its loss."""
        seed, settings = self.settings.seed, self.settings
        self.model.train()
        self.learning_rate = self.log["rate"] * learning_rate_at(self.step, settings, self.time_used)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        torch.manual_seed(derive(seed, "dropout", self.step * self.processes.count + self.processes.rank))
        own, share = self.processes.part(self.data.batch(self.step))
        total = torch.zeros((), device=self.device)
        for part, part_share in self.data.passes(own):
            with autocast(self.device, self.precision):
                loss = share * part_share * objective(self.model, to_device(part, self.device))
            loss.backward()
            total += loss.detach()
        value = float(self.processes.sum(total))
        if not math.isfinite(value):
            self.optimizer.zero_grad()
            raise SecateurError(
                f"training diverged at step {self.step}: the loss is {value}; give a learning rate below "
                f"{settings.learning_rate:g} or a longer warm-up, or precision fp32."
            )
        self.processes.sum_gradients(self.names)
        nn.utils.clip_grad_norm_(list(self.names), settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.log["losses"].append(value)
        if settings.max_minutes is not None:
            seconds = self._seconds() + self.log["look_seconds"]
            self.time_used = agreed(seconds / (60 * settings.max_minutes))
        return value

    def _seconds(self) -> float:
        """Wall time so far, over all resumed parts."""
        return self.log["seconds"] + time.perf_counter() - self._clock

    def look(self) -> None:
        """Judge the model on the validation windows and keep its weights if they are the best yet."""
        began = time.perf_counter()
        figures = self.data.figures(self.model, self.processes, self.precision)
        self.log["look_seconds"] = time.perf_counter() - began
        self.log["history"].append(
            {
                "step": self.step,
                "learning_rate": self.learning_rate,
                "train_loss": float(np.mean(self.log["losses"])) if self.log["losses"] else None,
                **{f"validation_{name}": value for name, value in figures.items()},
            }
        )
        self.log["losses"] = []
        self.log["idle"] += 1
        if is_better(figures, self.log["best"], self.data.monitor, self.log["start"]):
            self.best = trained_tensors(self.model)
            self.log.update(best=figures, best_step=self.step, idle=0)
        elif self.log["start"] is not None and self.log["best_step"] == 0:
            self._begin_again()

    def _begin_again(self) -> None:
        """Take back the steps so far, which have harmed a good model; the next are smaller."""
        put_back(self.model, self.best)
        self.optimizer = make_optimizer(self.model, self.settings)
        self.log["rate"] *= LESS

    def keep(self) -> None:
        """Write the resumable state, if there is a folder for it; the first process does."""
        now = time.perf_counter()
        self.log["seconds"] += now - self._clock
        self._clock = now
        if self.out is None:
            return
        state = TrainingState(step=self.step, weights=trained_tensors(self.model), progress=self.log)
        if not self.log["finished"]:
            state.best, state.moments = self.best, optimizer_moments(self.optimizer, self.names)
        if self.processes.rank == 0:
            with apart():
                write_state(self.out, state, self.fingerprint)
        self.processes.wait()

    def finish(self) -> FitResult:
        """Leave the best weights in the model and say what was done."""
        if not self.log["finished"]:
            put_back(self.model, self.best)
            self.log["finished"] = True
            self.keep()
        self.model.eval()
        return FitResult(
            steps=self.step,
            samples_seen=self.step * self.settings.batch_size,
            best_step=self.log["best_step"],
            validation_macro_f1=self.log["best"].get("macro_f1"),
            validation_loss=self.log["best"]["loss"],
            stopped_early=self.step < self.settings.max_steps,
            precision=self.precision,
            seconds=self.log["seconds"],
            history=self.log["history"],
        )


def run_loop(
    model: nn.Module,
    objective: Objective,
    data: LoopData,
    settings: LoopSettings,
    *,
    out: Path | None = None,
    description: str = "training",
    start_counts: bool = False,
) -> FitResult:
    """Minimise an objective over the parameters that take gradients; leave the best weights in the model.

    Parameters
    ----------
    model : nn.Module
        Changed in place.
    objective : callable
        Mean loss of the samples of a batch.
    data : LoopData
        What is trained on and judged by.
    settings : LoopSettings
    out : Path, optional
        Folder of the resumable state. A run that finds one there goes on from it.
    description : str
        Shown beside the progress bar.
    start_counts : bool
        Whether the weights before the first step may be the best: those of a model that is good already. As
        long as no step has made it better, each look takes the steps back and goes on at a third of the rate.

    Returns
    -------
    FitResult
        The model is left in evaluation mode, on the device on which it was given.

    Raises
    ------
    SecateurError
        If the loss stops being finite.
    CheckpointError
        If the state in ``out`` is damaged or of another run.
    """
    origin = next(model.parameters()).device
    run = _Run(model, data, settings, out)
    every = settings.evaluate_every
    if start_counts:
        every = min(every, -(-settings.max_steps // LOOKS))
    told = nullcontext() if run.processes.rank == 0 else quiet()
    with (
        torch.random.fork_rng(),
        told,
        progress(description, settings.max_steps) as bar,
        curves(description, to_jsonable(settings)) as tracked,
    ):
        bar.advance(run.step)
        if start_counts and not run.log["history"]:
            run.look()
            run.log["start"] = run.log["best"]
        while not run.is_over and not run.log["finished"]:
            loss = run.advance(objective)
            if run.step % every == 0 or run.is_last:
                run.look()
                tracked.log(run.log["history"][-1], run.step)
            history = run.log["history"]
            shown = {"validation": history[-1][f"validation_{data.monitor}"]} if history else {}
            bar.advance(1, loss=loss, **shown)
            if run.step % settings.checkpoint_every == 0 and not run.is_over:
                run.keep()
    result = run.finish()
    model.to(origin)
    return result
