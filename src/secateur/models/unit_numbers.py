"""Numbers of layers and heads in configurations: they follow a cut.

Each is given its new number, or leaves with what it stood for. For numbers of tokens see
:mod:`secateur.models.token_ids`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from transformers import GenerationConfig, PreTrainedConfig

from secateur.structure.plan import PruningPlan
from secateur.structure.spec import StackSpec, load_spec


def keep_layer_numbers(config: PreTrainedConfig, stack: StackSpec, kept: Sequence[int]) -> None:
    """Bring a configuration into step with the layers of a stack that stay.

    Parameters
    ----------
    config : PreTrainedConfig
        Changed in place: the number of layers, lists with an entry a layer, and the first sliding layer.
    stack : StackSpec
    kept : sequence of int
        Layers of the stack that stay, ascending.
    """
    for attribute in stack.per_layer:
        entries = getattr(config, attribute, None)
        if entries is not None:
            setattr(config, attribute, [entries[index] for index in kept])
    setattr(config, stack.layer_count, len(kept))
    first_sliding = getattr(config, "max_window_layers", None)
    if isinstance(first_sliding, int):
        config.max_window_layers = bisect_left(kept, first_sliding)
    tell_attention_types(config)


def tell_dense_layer_numbers(config: PreTrainedConfig, kept: Sequence[int], size: int) -> None:
    """Undo :func:`keep_layer_numbers` for a configuration that is to build all ``size`` layers again."""
    first_sliding = getattr(config, "max_window_layers", None)
    if isinstance(first_sliding, int):
        config.max_window_layers = kept[first_sliding] if first_sliding < len(kept) else size
    tell_attention_types(config)


def tell_attention_types(config: PreTrainedConfig) -> None:
    """Let GPT-Neo's short form of its list of layers say what the list says."""
    if getattr(config, "attention_types", None) and getattr(config, "attention_layers", None):
        config.attention_types = [[list(config.attention_layers), 1]]


def keep_generation_numbers(generation: GenerationConfig | None, plan: PruningPlan) -> None:
    """Bring numbers of layers and heads in a generation configuration into step with a plan, in place.

    Parameters
    ----------
    generation : GenerationConfig or None
        It counts in the last stack (the decoder) of the model that the plan was made for.
    plan : PruningPlan
    """
    if generation is None:
        return
    stacks, sizes = load_spec(plan.family).stacks, plan.shape.stack_sizes
    before = sum(sizes[: len(stacks) - 1])
    layers = {layer.index - before: layer for layer in plan.layers if layer.index >= before}
    place = {layer: position for position, layer in enumerate(layers)}
    aligned = getattr(generation, "alignment_heads", None)
    if aligned:
        heads = {layer: _cross_heads(plan, entry.index) for layer, entry in layers.items()}
        generation.alignment_heads = [
            [place[layer], heads[layer][head]]
            for layer, head in aligned
            if layer in place and head in heads[layer]
        ]
        if not generation.alignment_heads:
            del generation.alignment_heads
    contrasted: Any = getattr(generation, "dola_layers", None)
    if isinstance(contrasted, list | tuple):
        generation.dola_layers = [place[layer] for layer in contrasted if layer in place] or None
    early = getattr(generation, "assistant_early_exit", None)
    if isinstance(early, int):
        generation.assistant_early_exit = bisect_left(list(layers), early) or None


def _cross_heads(plan: PruningPlan, layer: int) -> dict[int, int]:
    """New numbers of the heads of a layer's attention over the encoder (whole groups leave there)."""
    kept = next(entry for entry in plan.layers if entry.index == layer)
    shape = plan.shape
    if not shape.cross_groups_per_layer[layer]:
        return {}
    share = shape.cross_heads_per_layer[layer] // shape.cross_groups_per_layer[layer]
    old = [group * share + head for group in kept.cross_groups for head in range(share)]
    return {head: position for position, head in enumerate(old)}
