"""Arguments computed once a model for the heads of the dense one, such as ALiBi slopes, cut for one layer."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from secateur.structure.closure import LayerWidths
from secateur.structure.plan import LayerPlan
from secateur.structure.spec import HeadInput


@dataclass(frozen=True, kw_only=True)
class KeptHeads:
    """A forward pre-hook that passes on an argument's entries of the kept heads.

    Attributes
    ----------
    entry : HeadInput
        Which argument, and how it is laid out.
    position : int
        Of the argument in the module's ``forward``.
    heads : tuple of int
        Heads that stay, counted in the dense model.
    dense_heads : int
        Heads of the dense model.
    """

    entry: HeadInput
    position: int
    heads: tuple[int, ...]
    dense_heads: int

    def __call__(
        self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Replace the argument, wherever it stands."""
        name = self.entry.argument
        if kwargs.get(name) is not None:
            kwargs = {**kwargs, name: self.selected(kwargs[name])}
        elif len(args) > self.position and args[self.position] is not None:
            args = (*args[: self.position], self.selected(args[self.position]), *args[self.position + 1 :])
        return args, kwargs

    def selected(self, value: Tensor) -> Tensor:
        """Return the entries of the kept heads, laid out as they were."""
        heads = torch.tensor(self.heads, device=value.device)
        if value.ndim == 3:
            return value.unflatten(0, (-1, self.dense_heads)).index_select(1, heads).flatten(0, 1)
        return value if value.shape[1] == 1 else value.index_select(1, heads)


def keep_heads_of_inputs(module: nn.Module, entry: HeadInput, widths: LayerWidths, kept: LayerPlan) -> None:
    """Let ``module`` see the entries of the kept heads only; on top of earlier cuts.

    Parameters
    ----------
    module : torch.nn.Module
        The one that takes the argument.
    entry : HeadInput
        Which argument.
    widths : LayerWidths
        Widths of the layer before the cut.
    kept : LayerPlan
        What stays of it.
    """
    present = [
        group * widths.heads_per_group + head
        for position, group in enumerate(kept.groups)
        for head in kept.heads_of(position, widths.heads_per_group)
    ]
    former: KeptHeads | None = getattr(module, f"kept_heads_of_{entry.argument}", None)
    if former is None:
        dense_heads, heads = widths.heads, tuple(present)
        position = list(inspect.signature(module.forward).parameters).index(entry.argument)
    else:
        dense_heads, position = former.dense_heads, former.position
        heads = tuple(former.heads[head] for head in present)
        for key, hook in list(module._forward_pre_hooks.items()):
            if isinstance(hook, KeptHeads) and hook.entry == entry:
                del module._forward_pre_hooks[key]
                module._forward_pre_hooks_with_kwargs.pop(key, None)
    selecting = KeptHeads(entry=entry, position=position, heads=heads, dense_heads=dense_heads)
    setattr(module, f"kept_heads_of_{entry.argument}", selecting)
    module.register_forward_pre_hook(selecting, with_kwargs=True)
