"""Mixtures of experts: all experts of a block side by side, as one wide feed-forward part.

A mixture adds ``sum over experts e of r_e down_e(act(gate_e x) * up_e x)`` to the stream, where the router
gives r_e = 0 to all but a few experts. Written behind one another the experts are one gated feed-forward part
whose channels are multiplied by the r_e of their expert. So a channel is a unit as in any other family, and
scores, cuts and re-fits need not know of experts.

``transformers`` holds the experts as two tensors of three axes. :func:`lay_side_by_side` puts
:class:`Experts` in their place, :func:`stock_tensors` leads back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from secateur.models.live_tensors import stored_tensors

ALIGNMENT_BYTES = 16
"""Of a row of a stacked matrix: PyTorch's grouped product, which ``transformers`` takes, asks for it."""
NAMES = ("wide_gate", "wide_up", "wide_down")
"""Not those of ``transformers``: peft takes modules of such names for parts of its stacked tensors."""

FUSED = ("gate_up_proj", "down_proj")


class Experts(nn.Module):
    """The experts of one block; every one of them computes every token, and the router weighs them.

    Attributes
    ----------
    wide_gate, wide_up, wide_down : torch.nn.Linear
        Of all experts, one behind the other: their features are the channels.
    expert : Tensor of int64, shape (channels,)
        To which expert a channel belongs, ascending.
    n_experts : int
    """

    expert: Tensor
    wide_gate: nn.Linear
    wide_up: nn.Linear
    wide_down: nn.Linear

    def __init__(self, *, gate: Tensor, up: Tensor, down: Tensor, act_fn: nn.Module, n_experts: int) -> None:
        super().__init__()
        for name, weight in zip(NAMES, (gate, up, down), strict=True):
            outputs, inputs = weight.shape
            projection = nn.Linear(inputs, outputs, bias=False, device="meta")
            projection.weight = nn.Parameter(weight)
            setattr(self, name, projection)
        self.act_fn, self.n_experts = act_fn, n_experts
        owners = torch.arange(n_experts).repeat_interleave(len(gate) // n_experts)
        self.register_buffer("expert", owners, persistent=False)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each expert."""
        return tuple(torch.bincount(self.expert, minlength=self.n_experts).tolist())

    def keep_channels(self, channels: Sequence[int]) -> None:
        """Note which channels stay, ascending; the projections are cut like any others."""
        self.expert = self.expert[list(channels)]

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        """Return the weighted sum of the experts, (tokens, hidden).

        Parameters
        ----------
        hidden_states : Tensor, shape (tokens, hidden)
        top_k_index : Tensor of int64, shape (tokens, k)
            Experts that the router chose.
        top_k_weights : Tensor, shape (tokens, k)
            And what each counts.
        """
        weights = top_k_weights.new_zeros(hidden_states.shape[0], self.n_experts)
        weights = weights.scatter(1, top_k_index, top_k_weights)[:, self.expert]
        activations = self.act_fn(self.wide_gate(hidden_states)) * self.wide_up(hidden_states)
        return self.wide_down((activations * weights).to(hidden_states.dtype))


def has_stock_experts(model: nn.Module) -> bool:
    """Whether binding a model would lay its experts side by side."""
    return any(hasattr(module, FUSED[0]) and hasattr(module, "num_experts") for module in model.modules())


def lay_side_by_side(block: nn.Module, path: str) -> None:
    """Put :class:`Experts` in the place of a block's experts as ``transformers`` holds them, where it does.

    Parameters
    ----------
    block : torch.nn.Module
        Changed in place; it computes what it did.
    path : str
        Of its experts.
    """
    parent_path, _, name = path.rpartition(".")
    parent = block.get_submodule(parent_path)
    stock: Any = getattr(parent, name)
    if isinstance(stock, Experts):
        return
    gate, up = stock.gate_up_proj.detach().chunk(2, dim=1)
    down = stock.down_proj.detach()
    laid = Experts(
        gate=gate.flatten(0, 1),
        up=up.flatten(0, 1),
        down=down.transpose(0, 1).flatten(1, 2),
        act_fn=stock.act_fn,
        n_experts=len(down),
    )
    laid.requires_grad_(stock.down_proj.requires_grad)
    laid.train(stock.training)
    setattr(parent, name, laid)


def stock_tensors(model: nn.Module) -> dict[str, Tensor] | None:
    """Return the tensors of a model as ``transformers`` stores them; see :func:`stored_tensors`.

    Returns
    -------
    dict of str to Tensor or None
        None where experts of one block have unequal widths, which one tensor cannot hold, or a width that
        ``transformers`` cannot run (:data:`ALIGNMENT_BYTES`).
    """
    tensors = stored_tensors(model)
    for path, module in model.named_modules():
        if not isinstance(module, Experts):
            continue
        width = module.channels[0] * module.wide_down.weight.element_size()
        if len(set(module.channels)) > 1 or width % ALIGNMENT_BYTES:
            return None
        gate, up, down = (tensors.pop(f"{path}.{name}.weight").detach() for name in NAMES)
        gate, up = (weight.unflatten(0, (module.n_experts, -1)) for weight in (gate, up))
        stacked = (torch.cat([gate, up], dim=1), down.unflatten(1, (module.n_experts, -1)).transpose(0, 1))
        tensors |= {f"{path}.{name}": part.contiguous() for name, part in zip(FUSED, stacked, strict=True)}
    return tensors
