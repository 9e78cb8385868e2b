"""Processes that train one model together, each on its part of every batch (data parallel).

They are started by ``accelerate launch`` or ``torchrun``; each runs the same program on the same data with
the same seed, and so draws the same batch of a step, of which it computes every n-th row. Gradients are
summed over the processes, so that all take the step that one process alone would take.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils import broadcast_object_list
from torch import Tensor, distributed, nn

from secateur.core.errors import ConfigError
from secateur.core.processes import Team

T = TypeVar("T")
Rows = dict[str, Tensor]

LONGEST_WAIT = timedelta(hours=2)
"""Until which one process waits for another that scores, exports or evaluates."""

_chosen_device: ContextVar[torch.device | None] = ContextVar("device", default=None)


@contextmanager
def training_on(name: str) -> Iterator[None]:
    """Let every training inside the block compute on a device that is named.

    Parameters
    ----------
    name : str
        'cpu', 'cuda', 'cuda:1', 'mps', ..., or 'auto': the accelerator where there is one.

    Raises
    ------
    ConfigError
        If PyTorch does not know the device or does not find it here.
    """
    token = _chosen_device.set(None if name == "auto" else _found(name))
    try:
        yield
    finally:
        _chosen_device.reset(token)


def _found(name: str) -> torch.device:
    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    at_hand = ["cpu"]
    if here is not None:
        at_hand += [here.type, *(f"{here.type}:{n}" for n in range(torch.accelerator.device_count()))]
    if name not in at_hand:
        raise ConfigError(f"--device: '{name}' is not here; allowed: auto, {', '.join(at_hand)}.")
    return torch.device(name)


class Processes:
    """All processes of a training, seen from this one; a single one where nothing else was launched."""

    def __init__(self) -> None:
        waiting = InitProcessGroupKwargs(timeout=LONGEST_WAIT)
        chosen = _chosen_device.get()
        on_cpu = not torch.accelerator.is_available()
        self._accelerator = Accelerator(mixed_precision="no", cpu=on_cpu, kwargs_handlers=[waiting])
        if chosen is not None and self.count > 1:
            raise ConfigError(
                f"--device {chosen}: {self.count} processes train together, each on the device that its "
                "launcher gave it; leave the option out."
            )
        self._device = chosen or self._accelerator.device

    @property
    def device(self) -> torch.device:
        """On which this process computes."""
        return self._device

    @property
    def rank(self) -> int:
        """Number of this process; 0 writes and speaks."""
        return self._accelerator.process_index

    @property
    def count(self) -> int:
        """How many there are, over all hosts."""
        return self._accelerator.num_processes

    def wait(self) -> None:
        """Return once every process has come here."""
        self._accelerator.wait_for_everyone()

    def team(self) -> Team:
        """Return how these processes share files; see :mod:`secateur.core.processes`."""
        return Team(rank=self.rank, count=self.count, wait=self.wait)

    def leave(self) -> None:
        """Take leave of the others at the end of the program."""
        if distributed.is_initialized():
            distributed.destroy_process_group()

    def require_enough_rows(self, batch_size: int) -> None:
        """Check that every process gets a part of each batch.

        Raises
        ------
        ConfigError
            If there are more processes than rows.
        """
        if batch_size < self.count:
            raise ConfigError(
                f"batch_size is {batch_size}, but {self.count} processes train together; each needs at "
                "least one row of every batch: raise batch_size or launch fewer processes."
            )

    def part(self, batch: Rows) -> tuple[Rows, float]:
        """Return this process's rows of a batch, and their share of it."""
        if self.count == 1:
            return batch, 1.0
        own = {name: values[self.rank :: self.count] for name, values in batch.items()}
        whole, mine = (len(next(iter(rows.values()))) for rows in (batch, own))
        return own, mine / whole

    def own(self, items: Sequence[T]) -> Sequence[T]:
        """Return those of a number of items that this process is to work on; the first is the first's."""
        return items[self.rank :: self.count]

    def collected(self, parts: Mapping[int, Tensor], *, n_rows: int) -> Tensor:
        """Return rows of which each process has computed some.

        Parameters
        ----------
        parts : mapping of int to Tensor
            Rows of this process, by the position of the first of them; the first process has some.
        n_rows : int
            Rows of all processes together.

        Returns
        -------
        Tensor
            All rows in order, on this process's device, the same in every process.
        """
        if self.count == 1:
            return torch.cat([parts[start] for start in sorted(parts)])
        inside: tuple[int, ...] = agreed(tuple(next(iter(parts.values())).shape[1:]) if parts else ())
        whole = torch.zeros((n_rows, *inside), device=self.device)
        for start, rows in parts.items():
            whole[start : start + len(rows)] = rows
        return self.sum(whole)

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes; the tensor itself is left as it is."""
        if self.count == 1:
            return value
        total = value.detach().clone().contiguous()
        distributed.all_reduce(total)
        return total

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes, all of one type in one message."""
        if self.count == 1:
            return
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            by_type.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        for gradients in by_type.values():
            total = torch.cat([gradient.reshape(-1) for gradient in gradients])
            distributed.all_reduce(total)
            parts = total.split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    @torch.no_grad()
    def align(self, model: nn.Module) -> None:
        """Give every process the parameters and buffers of the first.

        They are the same already where all computed alike; a sum on a GPU may round otherwise.
        """
        if self.count == 1:
            return
        for tensor in (*model.parameters(), *model.buffers()):
            sent = tensor.detach().to(self.device).contiguous()
            distributed.broadcast(sent, src=0)
            tensor.copy_(sent)


def agreed(value: T) -> T:
    """Return the value that the first process gives, in every process.

    What decides the course of a program (scores, figures) goes through here, so that a last bit that differs
    between two GPUs cannot make them go different ways. Without other processes it is the value itself.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return value
    held = [value]
    broadcast_object_list(held, from_process=0)
    return held[0]
