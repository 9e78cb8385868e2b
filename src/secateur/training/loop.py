"""The one gradient loop, used for fitting and for recovery.

Everything random in a step comes from the seed and the step's number, so a resumed run repeats
what the uninterrupted one did.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from secateur.core.errors import ConfigError, DataError, SecateurError
from secateur.core.progress import progress
from secateur.core.records import to_jsonable
from secateur.core.seeds import derive
from secateur.training.augment import augment
from secateur.training.batches import Batch, as_tensors, forward, to_device
from secateur.training.class_balance import BatchSampler
from secateur.training.metrics import confusion, log_softmax, macro_f1
from secateur.training.precision import autocast, resolve_precision
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

if TYPE_CHECKING:
    from secateur.signals.windows import Windows

Objective = Callable[[nn.Module, Batch], Tensor]
"""Loss of a batch, a scalar tensor, given the model in training mode."""

VALIDATION_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a gradient loop did.

    Parameters
    ----------
    steps : int
        Steps taken (more than ``best_step`` if the last ones brought nothing).
    samples_seen : int
        Training windows drawn, with repetition: the budget at which methods are compared.
    best_step : int
        Step whose weights the model now has.
    validation_macro_f1, validation_loss : float
        Figures at that step, on the augmented validation windows.
    stopped_early : bool
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
    validation_macro_f1: float
    validation_loss: float
    stopped_early: bool
    precision: str
    seconds: float
    history: list[dict[str, float]]


def learning_rate_at(step: int, settings: LoopSettings) -> float:
    """Rate of step ``step`` (from 0): linear warm-up, then a half cosine to 0 at ``max_steps``."""
    warmup = min(settings.warmup_steps, settings.max_steps - 1)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    done = (step - warmup) / (settings.max_steps - warmup)
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


class Validation:
    """Validation windows with fixed augmentation draws, so that clean windows do not saturate the figure.

    Parameters
    ----------
    windows : Windows
    settings : LoopSettings
    """

    def __init__(self, windows: Windows, settings: LoopSettings) -> None:
        if len(windows) == 0:
            raise DataError(
                "no validation windows; the split must hold some training groups back for validation."
            )
        count = min(len(windows), settings.max_validation_windows)
        self._chosen = np.unique(np.linspace(0, len(windows) - 1, count).round().astype(np.int64))
        self._settings, self._windows = settings, windows

    @torch.no_grad()
    def figures(self, model: nn.Module, device: torch.device, precision: str) -> dict[str, float]:
        """Return ``macro_f1`` and ``loss`` (mean cross-entropy) in evaluation mode."""
        model.eval()
        logits, labels = [], []
        for start in range(0, len(self._chosen), VALIDATION_BATCH):
            seed = derive(self._settings.seed, "validation", start)
            batch = as_tensors(self._windows.take(self._chosen[start : start + VALIDATION_BATCH]))
            batch = augment(batch, self._settings.augmentation, seed)
            with autocast(device, precision):
                logits.append(forward(model, to_device(batch, device)).cpu().numpy())
            labels.append(batch["label"].numpy())
        scores, truth = np.concatenate(logits), np.concatenate(labels)
        counts = confusion(truth, scores.argmax(axis=1), scores.shape[1])
        loss = -log_softmax(scores)[np.arange(len(scores)), truth].mean()
        return {"macro_f1": macro_f1(counts), "loss": float(loss)}


def is_better(figures: dict[str, float], best: dict[str, float] | None, monitor: str) -> bool:
    """Whether new validation figures beat the best so far; at equal macro-F1 the lower loss does."""
    if best is None:
        return True
    if monitor == "macro_f1" and figures["macro_f1"] != best["macro_f1"]:
        return figures["macro_f1"] > best["macro_f1"]
    return figures["loss"] < best["loss"]


class _Run:
    """A gradient loop under way: the model, its optimiser, and where it stands."""

    def __init__(
        self, model: nn.Module, train: Windows, validation: Windows, settings: LoopSettings, out: Path | None
    ) -> None:
        self.accelerator = Accelerator(mixed_precision="no")
        self.device = self.accelerator.device
        self.model, self.train, self.settings, self.out = model.to(self.device), train, settings, out
        self.precision = resolve_precision(settings.precision, self.device)
        self.sampler = BatchSampler(
            train.labels, settings.batch_size, settings.seed, balanced=settings.balance == "sampling"
        )
        self.validation = Validation(validation, settings)
        self.names = {p: n for n, p in model.named_parameters() if p.requires_grad}
        self.optimizer = make_optimizer(model, settings)
        self.step, self.best = 0, {}
        self.log: dict[str, Any] = {
            "history": [],
            "losses": [],
            "best": None,
            "best_step": 0,
            "idle": 0,
            "seconds": 0.0,
            "finished": False,
        }
        self.fingerprint = self._fingerprint() if out is not None else {}
        self._resume()
        self.stepper = self.accelerator.prepare_optimizer(self.optimizer)
        self._clock = time.perf_counter()

    def _fingerprint(self) -> dict[str, Any]:
        return {
            "settings": to_jsonable(self.settings),
            "precision": self.precision,
            "train_labels": np.asarray(self.train.labels).tolist(),
            "initial_weights": digest(self.model),
        }

    def _resume(self) -> None:
        state = read_state(self.out, self.fingerprint) if self.out is not None else None
        if state is not None:
            self.step, self.best, self.log = state.step, state.best, state.progress
            put_back(self.model, state.weights)
            restore_moments(self.optimizer, self.names, state.moments)

    @property
    def is_over(self) -> bool:
        """Whether the steps or the patience are used up."""
        return self.step >= self.settings.max_steps or self.log["idle"] >= self.settings.patience

    def advance(self, objective: Objective) -> float:
        """Take one step; return its loss."""
        seed, settings = self.settings.seed, self.settings
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step, settings)
        torch.manual_seed(derive(seed, "dropout", self.step))
        batch = as_tensors(self.train.take(self.sampler.indices(self.step)))
        batch = augment(batch, settings.augmentation, derive(seed, "augment", self.step))
        with autocast(self.device, self.precision):
            loss = objective(self.model, to_device(batch, self.device))
        if not torch.isfinite(loss):
            raise SecateurError(
                f"training diverged at step {self.step}: the loss is {float(loss.detach())}; give a learning "
                f"rate below {settings.learning_rate:g} or a longer warm-up, or precision fp32."
            )
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(list(self.names), settings.clip_norm)
        self.stepper.step()
        self.stepper.zero_grad()
        self.step += 1
        self.log["losses"].append(float(loss.detach()))
        return self.log["losses"][-1]

    def look(self) -> None:
        """Judge the model on the validation windows and keep its weights if they are the best yet."""
        figures = self.validation.figures(self.model, self.device, self.precision)
        self.log["history"].append(
            {
                "step": self.step,
                "learning_rate": learning_rate_at(self.step - 1, self.settings),
                "train_loss": float(np.mean(self.log["losses"])),
                **{f"validation_{name}": value for name, value in figures.items()},
            }
        )
        self.log["losses"] = []
        self.log["idle"] += 1
        if is_better(figures, self.log["best"], self.settings.monitor):
            self.best = trained_tensors(self.model)
            self.log.update(best=figures, best_step=self.step, idle=0)

    def keep(self) -> None:
        """Write the resumable state, if there is a folder for it."""
        now = time.perf_counter()
        self.log["seconds"] += now - self._clock
        self._clock = now
        if self.out is None:
            return
        state = TrainingState(step=self.step, weights=trained_tensors(self.model), progress=self.log)
        if not self.log["finished"]:
            state.best, state.moments = self.best, optimizer_moments(self.optimizer, self.names)
        write_state(self.out, state, self.fingerprint)

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
            validation_macro_f1=self.log["best"]["macro_f1"],
            validation_loss=self.log["best"]["loss"],
            stopped_early=self.step < self.settings.max_steps,
            precision=self.precision,
            seconds=self.log["seconds"],
            history=self.log["history"],
        )


def run_loop(
    model: nn.Module,
    objective: Objective,
    train: Windows,
    validation: Windows,
    settings: LoopSettings,
    *,
    out: Path | None = None,
    description: str = "training",
) -> FitResult:
    """Minimise an objective over the parameters that take gradients; leave the best weights in the model.

    Parameters
    ----------
    model : nn.Module
        Called as ``model(waveform, shaft_rate_hz, fault_orders)``; changed in place.
    objective : callable
        Loss of a batch.
    train, validation : Windows
    settings : LoopSettings
    out : Path, optional
        Folder of the resumable state. A run that finds one there goes on from it.
    description : str
        Shown beside the progress bar.

    Returns
    -------
    FitResult
        The model is left in evaluation mode, on the device on which it was given.

    Raises
    ------
    DataError
        If there are no windows, or training windows without label.
    SecateurError
        If the loss stops being finite.
    CheckpointError
        If the state in ``out`` is damaged or of another run.
    """
    origin = next(model.parameters()).device
    run = _Run(model, train, validation, settings, out)
    with torch.random.fork_rng(), progress(description, settings.max_steps) as bar:
        bar.advance(run.step)
        while not run.is_over and not run.log["finished"]:
            loss = run.advance(objective)
            if run.step % settings.evaluate_every == 0 or run.step == settings.max_steps:
                run.look()
            history = run.log["history"]
            shown = {"f1": history[-1]["validation_macro_f1"]} if history else {}
            bar.advance(1, loss=loss, **shown)
            if run.step % settings.checkpoint_every == 0 and not run.is_over:
                run.keep()
    result = run.finish()
    model.to(origin)
    return result
