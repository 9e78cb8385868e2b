"""The rival of the perplexity benchmark: cut to the wanted size, working, and the given model left alone."""

from __future__ import annotations

import copy
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from secateur.core.errors import ConfigError
from secateur.core.progress import quiet

pytest.importorskip(
    "torch_pruning", reason="torch-pruning is not installed: pip install -e '.[bench]' compares with it"
)
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
rival = importlib.import_module("torch_pruning_rival")


@pytest.fixture(autouse=True)
def _coarse_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel of the tiny model is 0.1 % of its blocks: ask for no more."""
    monkeypatch.setattr(rival, "EXACT", 2e-3)


def _model(heads: int = 9, groups: int = 3) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=72,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        head_dim=8,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


def _batches(rows: int = 4) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [{"input_ids": torch.randint(0, 64, (2, 24), generator=generator)} for _ in range(rows // 2)]


def _configuration(**changes: Any) -> Any:
    settings = {"name": "tried", "importance": "taylor", "scope": "ffn", "global_ranking": True} | changes
    return rival.Configuration(**settings)


def _cut(model: LlamaForCausalLM, fraction: float, configuration: Any, **options: Any) -> Any:
    with quiet():
        return rival.cut_with_torch_pruning(model, _batches(), fraction, configuration, **options)


@pytest.mark.parametrize("configuration", rival.CONFIGURATIONS, ids=lambda configuration: configuration.name)
def test_every_configuration_reaches_the_size_and_runs_and_leaves_the_model_alone(configuration):
    model = _model()
    before = copy.deepcopy(model.state_dict())

    cut = _cut(model, 0.3, configuration)

    counted = sum(parameter.numel() for parameter in cut.model.model.layers.parameters())
    whole = sum(parameter.numel() for parameter in model.model.layers.parameters())
    assert cut.block_parameters == counted
    assert cut.fraction == pytest.approx(1 - counted / whole)
    # One channel of every layer, or one head of every group of every layer, is the finest step.
    assert cut.fraction == pytest.approx(0.3, abs=0.01 if configuration.scope == "ffn" else 0.06)
    with torch.no_grad():
        logits = cut.model(input_ids=_batches()[0]["input_ids"]).logits
    assert logits.shape == (2, 24, 64)
    assert logits.isfinite().all()
    assert cut.model.lm_head.weight is cut.model.model.embed_tokens.weight
    assert cut.model.config._attn_implementation == model.config._attn_implementation
    assert cut.model.config.use_cache
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_channels_left_are_whole_ones_of_the_dense_model_and_the_best_rated():
    model, configuration = _model(), _configuration(normalizer=None)
    generator = torch.Generator().manual_seed(2)
    gradients = {
        name: torch.randn(weight.shape, generator=generator) for name, weight in model.named_parameters()
    }

    cut = _cut(model, 0.3, configuration, gradients=gradients)

    scores = []
    for index, layer in enumerate(model.model.layers):
        terms = {
            name: (weight * gradients[f"model.layers.{index}.mlp.{name}.weight"]).abs()
            for name, weight in ((name, getattr(layer.mlp, name).weight) for name in ("gate_proj", "up_proj"))
        }
        down = (layer.mlp.down_proj.weight * gradients[f"model.layers.{index}.mlp.down_proj.weight"]).abs()
        scores.append(terms["gate_proj"].sum(1) + terms["up_proj"].sum(1) + down.sum(0))
    kept = sum(layer.mlp.gate_proj.out_features for layer in cut.model.model.layers)
    threshold = torch.cat(scores).topk(kept).values[-1]
    for layer, thin, score in zip(model.model.layers, cut.model.model.layers, scores, strict=True):
        stay = score >= threshold
        assert torch.equal(thin.mlp.gate_proj.weight, layer.mlp.gate_proj.weight[stay])
        assert torch.equal(thin.mlp.up_proj.weight, layer.mlp.up_proj.weight[stay])
        assert torch.equal(thin.mlp.down_proj.weight, layer.mlp.down_proj.weight[:, stay])


def test_gradients_are_those_of_the_mean_loss_and_of_the_mean_square():
    model, batches = _model(), _batches()
    rows = [row[None] for batch in batches for row in batch["input_ids"]]
    weight = model.model.layers[1].mlp.up_proj.weight
    single = [
        torch.autograd.grad(model(input_ids=row, labels=row, use_cache=False).loss, weight)[0] for row in rows
    ]
    name = "model.layers.1.mlp.up_proj.weight"

    with quiet():
        taylor = rival.importance_gradients(model, batches, "taylor")[name]
        hessian = rival.importance_gradients(model, batches, "hessian")[name]

    torch.testing.assert_close(taylor, sum(single) / len(rows), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(hessian, sum(g.square() for g in single) / len(rows), rtol=1e-4, atol=1e-9)


def test_query_heads_go_evenly_from_the_groups_and_key_value_heads_stay_even_when_as_few_are_left():
    cut = _cut(_model(), 0.5, _configuration(scope="heads+ffn", global_ranking=False))

    for layer in cut.model.model.layers:
        assert layer.self_attn.k_proj.out_features == 3 * 8
        assert layer.self_attn.q_proj.out_features == 3 * 8
        assert layer.self_attn.num_key_value_groups == 1
    assert cut.model.config.num_attention_heads == 3


def test_two_rounds_are_one_cut_after_the_other_each_with_its_own_gradients():
    model, one_round = _model(), _configuration()
    halfway = _cut(model, 0.2, one_round)
    rest = 1 - 0.6 * rival.block_parameters(model) / halfway.block_parameters
    by_hand = _cut(halfway.model, rest, one_round)

    cut = _cut(model, 0.4, _configuration(rounds=2))

    assert cut.fraction == pytest.approx(0.4, abs=0.01)
    for wanted, got in zip(by_hand.model.parameters(), cut.model.parameters(), strict=True):
        assert torch.equal(wanted, got)


def test_a_fraction_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="share of block parameters"):
        _cut(_model(), 1.4, _configuration())


def test_global_ranking_of_heads_is_refused_where_torch_pruning_mixes_them_up():
    with pytest.raises(ConfigError, match="rank uniformly"):
        _cut(_model(heads=8, groups=2), 0.3, _configuration(scope="heads+ffn"))
