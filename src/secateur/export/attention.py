"""Causal attention as one operator of ONNX Runtime, in place of a dozen that a mask and its products take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

OPERATOR, DOMAIN = "GroupQueryAttention", "com.microsoft"
"""It attends to the past alone, takes any number of groups of keys and values, and knows rotary positions."""

_NAME = "secateur_onnx_runtime"


@contextmanager
def attention_in_one(backbone: PreTrainedModel) -> Iterator[None]:
    """Let a backbone be traced with attention as one operator, for as long as the context lasts.

    A backbone that looks at a window of the past, or at the future, is left as it is. While the context lasts
    the backbone can only be traced for ONNX: run in torch, its attention gives zeros.

    Parameters
    ----------
    backbone : PreTrainedModel
        In evaluation mode. Layers may have unequal numbers of heads and groups.
    """
    if not _sees_the_whole_past(backbone):
        yield
        return
    former = backbone.config._attn_implementation
    backbone.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        backbone.set_attn_implementation(former)


def _sees_the_whole_past(backbone: PreTrainedModel) -> bool:
    config = backbone.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        getattr(config, "is_causal", True)
        and getattr(config, "sliding_window", None) is None
        and kinds == {"full_attention"}
        and all(getattr(module, "is_causal", True) for module in backbone.modules())
    )


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    **unused: Any,
) -> tuple[Tensor, None]:
    """Stand for the operator; ``transformers`` builds no mask for a kind of attention that it does not know.

    Parameters
    ----------
    query : Tensor, shape (batch, heads, tokens, head_dim)
    key, value : Tensor, shape (batch, groups, tokens, head_dim)
    """
    batch, heads, tokens, width = query.shape
    groups = key.shape[1]
    taken = [entry.transpose(1, 2).reshape(batch, tokens, -1) for entry in (query, key, value)]
    total = torch.scalar_tensor(tokens, dtype=torch.int32)
    # the operator wants the last position of each row, and the tokens of cache and input together
    last = (total - 1).expand(batch)
    mixed, _, _ = torch.onnx.ops.symbolic_multi_out(
        f"{DOMAIN}::{OPERATOR}",
        (*taken, None, None, last, total),
        {
            "num_heads": heads,
            "kv_num_heads": groups,
            "scale": width**-0.5 if scaling is None else float(scaling),
        },
        dtypes=(query.dtype,) * 3,
        shapes=((batch, tokens, heads * width), *[(batch, groups, tokens, width)] * 2),
        version=1,
    )
    return mixed.reshape(batch, tokens, heads, width), None


AttentionInterface.register(_NAME, _attend)
