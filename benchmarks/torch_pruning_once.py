"""One cut at one of Torch-Pruning's ratios, with what stands in the way of a fair comparison got round.

Seen with Torch-Pruning 1.6.1 and transformers 5.23 on causal language models of the llama family; each time
decided in its favour:

- With a cache among the outputs its walk of the graph was not over after most of a minute, for one layer.
  Models are traced and rated with ``use_cache=False`` and eager attention, and get their own settings back.
- Global ranking of heads counts whichever it meets first of a layer's projections as the layer's heads, here
  the key/value heads: of 27 query heads it counted 9, so any ratio removes two thirds and more.
  ``initial_total_heads`` is corrected.
- Where as many query heads would stay as there are key/value heads, it takes the layer for plain multi-head
  attention, cuts the key/value heads along, finds nothing left, and drops the cut without a word. Its check
  is wrapped so that key/value heads stay, as they do above that number.
- A uniform head ratio is rounded up to one query head of every key/value head: a third of SmolLM2's at once.
- It never removes whole key/value groups. Global ranking finds the query heads of a key/value head with the
  wrong stride unless there are as many in a group as groups, and with two of them the walk of the graph
  doesn't end: both are refused with a message.
- A layer whose channels would all go isn't cut at all, silently, so that more ratio can cut less.
  The notes of a cut name layers that stayed whole.
- ``HessianImportance.accumulate_grad`` looks for a name among parameters and so keeps the last sample alone.
  The mean of the squared gradients of single samples is filled in instead.
- Cutting the hidden width gives embedding and head copies of a tied weight: they are tied again.
- Attributes aren't updated: ``num_key_value_groups`` is set from the shapes, layer by layer, and the
  configuration's widths from the first layer's, exact where the ranking is uniform.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch_pruning
from torch import Tensor, nn

from secateur.core.errors import ConfigError
from secateur.core.progress import progress

Batch = dict[str, Tensor]
Gradients = dict[str, Tensor]
Importance = Literal["magnitude", "taylor", "hessian"]
Scope = Literal["ffn", "heads+ffn", "hidden too"]
TRACED_TOKENS = 16


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One way of setting Torch-Pruning up.

    Attributes
    ----------
    name : str
        As written in tables.
    importance : {"magnitude", "taylor", "hessian"}
        ``GroupMagnitudeImportance`` (L2), ``GroupTaylorImportance`` or ``GroupHessianImportance``.
    scope : {"ffn", "heads+ffn", "hidden too"}
        What may be cut: FFN channels, query heads besides, or everything as in its example for language
        models, the residual stream included.
    global_ranking : bool
        One ranking through all layers, or the same ratio in each.
    normalizer : str, optional
        How scores are scaled within a group ("mean" is Torch-Pruning's default; None: not at all).
    group_reduction : str
        How the scores of the coupled matrices are joined.
    multivariable : bool
        Taylor: sum before the absolute value.
    rounds : int
        Rate and cut this many times, in equal steps of parameters, gradients taken anew each time.
    """

    name: str
    importance: Importance
    scope: Scope
    global_ranking: bool
    normalizer: str | None = "mean"
    group_reduction: str = "mean"
    multivariable: bool = False
    rounds: int = 1


def importance_gradients(model: nn.Module, batches: Sequence[Batch], importance: Importance) -> Gradients:
    """Return what an importance reads from ``Parameter.grad``, by parameter name.

    Parameters
    ----------
    model : nn.Module
        Causal language model; its gradients are left as they were.
    batches : sequence of {"input_ids": LongTensor of shape (batch, tokens)}
    importance : {"magnitude", "taylor", "hessian"}
        Taylor: gradient of the mean loss. Hessian: mean over samples of the squared gradient. Magnitude
        reads none: the result is empty.
    """
    if importance == "magnitude":
        return {}
    if importance == "hessian":
        batches = [{"input_ids": row[None]} for batch in batches for row in batch["input_ids"]]
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    found = {name: torch.zeros_like(parameter) for name, parameter in named}
    samples = sum(len(batch["input_ids"]) for batch in batches)
    with traceable(model), progress("gradients for Torch-Pruning", total=len(batches)) as bar:
        for batch in batches:
            ids = batch["input_ids"]
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss * (len(ids) / samples)
            gradients = torch.autograd.grad(loss, [parameter for _, parameter in named])
            for (name, _), gradient in zip(named, gradients, strict=True):
                found[name] += gradient.square().mul_(samples) if importance == "hessian" else gradient
            bar.advance()
    return found


def require_possible(model: nn.Module, configuration: Configuration) -> None:
    if configuration.scope == "ffn":
        return
    heads, groups = model.config.num_attention_heads, model.config.num_key_value_heads
    if heads == 2 * groups:
        raise ConfigError(
            f"{configuration.name}: the model has two query heads to a key/value head ({heads} and "
            f"{groups}), for which Torch-Pruning's walk of the graph doesn't end: cut with scope ffn"
        )
    if configuration.global_ranking and groups not in (heads, heads // groups):
        raise ConfigError(
            f"{configuration.name}: Torch-Pruning ranks heads globally only where there are as many query "
            f"heads in a group as groups, not with {heads} query and {groups} key/value heads: rank uniformly"
        )


@contextmanager
def traceable(model: nn.Module) -> Iterator[None]:
    """Let a model run without cache and with eager attention, then as before."""
    config = model.config
    former = config._attn_implementation, config.use_cache
    model.set_attn_implementation("eager")
    config.use_cache = False
    try:
        yield
    finally:
        model.set_attn_implementation(former[0])
        config.use_cache = former[1]


def cut_at_ratio(
    model: nn.Module,
    batches: Sequence[Batch],
    gradients: Gradients,
    ratio: float,
    configuration: Configuration,
) -> nn.Module:
    """Cut a copy at one of Torch-Pruning's ratios."""
    cut = copy.deepcopy(model)
    for name, parameter in cut.named_parameters():
        parameter.requires_grad_(True)
        parameter.grad = gradients.get(name)
    importance = importance_of(configuration)
    with traceable(cut), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pruner = pruner_of(cut, batches[0]["input_ids"][:1, :TRACED_TOKENS], importance, ratio, configuration)
        for group in pruner.step(interactive=True):
            group.prune()
    for parameter in cut.parameters():
        parameter.grad = None
    _follow_shapes(cut)
    return cut


def importance_of(configuration: Configuration) -> Any:
    settings = {"normalizer": configuration.normalizer, "group_reduction": configuration.group_reduction}
    importance = torch_pruning.importance
    if configuration.importance == "magnitude":
        return importance.GroupMagnitudeImportance(p=2, **settings)
    if configuration.importance == "taylor":
        return importance.GroupTaylorImportance(multivariable=configuration.multivariable, **settings)
    return importance.GroupHessianImportance(**settings)


def pruner_of(
    model: nn.Module, example: Tensor, importance: Any, ratio: float, configuration: Configuration
) -> Any:
    """Return Torch-Pruning's pruner for a model, its counts of heads corrected."""
    attentions = [layer.self_attn for layer in model.model.layers]
    with_heads = configuration.scope != "ffn"
    num_heads = {}
    for attention in attentions if with_heads else ():
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            num_heads[projection] = projection.out_features // attention.head_dim
    if configuration.scope == "hidden too":
        ignored = [model.lm_head]
    else:
        roots = [
            projection
            for layer in model.model.layers
            for projection in (layer.mlp.gate_proj, layer.mlp.up_proj)
        ]
        roots += [*num_heads]
        ignored = [
            module
            for module in model.modules()
            if isinstance(module, nn.Linear | nn.Embedding) and module not in roots
        ]
    pruner = torch_pruning.pruner.BasePruner(
        model,
        {"input_ids": example, "use_cache": False},
        importance,
        global_pruning=configuration.global_ranking,
        pruning_ratio=ratio,
        head_pruning_ratio=ratio if with_heads else 0.0,
        num_heads=num_heads,
        prune_num_heads=with_heads,
        prune_head_dims=False,
        ignored_layers=ignored,
        in_channel_groups={},
        out_channel_groups={},
        output_transform=lambda output: output.logits,
    )
    if with_heads:
        pruner.initial_total_heads = sum(num_heads[attention.q_proj] for attention in attentions)
        _keep_shared_heads(pruner, attentions)
    return pruner


def _keep_shared_heads(pruner: Any, attentions: Sequence[nn.Module]) -> None:
    """Leave key/value heads that several query heads share alone, however many of those go."""
    shared = {
        projection
        for attention in attentions
        if attention.q_proj.out_features != attention.k_proj.out_features
        for projection in (attention.k_proj, attention.v_proj)
    }
    check = pruner.DG.check_pruning_group

    def check_without_shared(group: Any) -> bool:
        for position in range(len(group)):
            dependency = group[position][0]
            if dependency.target.module in shared and pruner.DG.is_out_channel_pruning_fn(dependency.handler):
                group[position] = (dependency, [])
        return check(group)

    pruner.DG.check_pruning_group = check_without_shared


def _follow_shapes(model: nn.Module) -> None:
    """Set the attributes that the forward pass reads, and the tie, from the shapes that were left."""
    config, decoder = model.config, model.model
    if config.tie_word_embeddings:
        model.lm_head.weight = decoder.embed_tokens.weight
    config.hidden_size = decoder.embed_tokens.embedding_dim
    for layer in decoder.layers:
        attention = layer.self_attn
        queries = attention.q_proj.out_features // attention.head_dim
        groups = attention.k_proj.out_features // attention.head_dim
        if queries % groups or attention.o_proj.in_features != attention.q_proj.out_features:
            raise ConfigError(
                f"Torch-Pruning left {queries} query heads for {groups} key/value heads and "
                f"{attention.o_proj.in_features} inputs of o_proj; it can't cut this attention: use scope ffn"
            )
        attention.num_key_value_groups = queries // groups
    # One number for all layers: exact where the ranking was uniform, the first layer's otherwise.
    first = decoder.layers[0]
    config.num_attention_heads = first.self_attn.q_proj.out_features // first.self_attn.head_dim
    config.num_key_value_heads = first.self_attn.k_proj.out_features // first.self_attn.head_dim
    config.intermediate_size = first.mlp.gate_proj.out_features
