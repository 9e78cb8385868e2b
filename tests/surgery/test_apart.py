"""Each matrix cut by itself: closed where choices agree, the stated mismatch where they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaModel

from secateur.core.errors import PlanError, UnsupportedArchitecture
from secateur.models.binding import bind
from secateur.structure.plan import PruningPlan
from secateur.structure.spec import load_spec
from secateur.surgery.apart import ApartLayer, ApartPlan, choose_apart, cut_apart
from secateur.surgery.apply import apply
from zoo import ZOO, Specimen

CUTTABLE = [
    entry
    for entry in ZOO
    if not any(s.attention.head_inputs or s.cross_attention for s in load_spec(entry.family).stacks)
]


def identity(model: torch.nn.Module) -> PruningPlan:
    bound = bind(model)
    return PruningPlan.identity(bound.spec.family, bound.shape)


def some_closed_plan(model: torch.nn.Module) -> PruningPlan:
    plan = identity(model).without_layers([1]) if len(bind(model).spec.stacks) == 1 else identity(model)
    for layer in plan.layers:
        groups = len(layer.groups)
        plan = plan.with_groups(layer.index, range(groups // 2, groups))
        plan = plan.with_channels(layer.index, range(1, len(layer.channels), 2))
    return plan


def output(model: torch.nn.Module, embeddings: torch.Tensor) -> torch.Tensor:
    return model(inputs_embeds=embeddings, use_cache=False).last_hidden_state


def is_gated(model: torch.nn.Module) -> bool:
    return bind(model).spec.stacks[0].is_gated


@pytest.mark.parametrize("specimen", CUTTABLE, ids=lambda specimen: specimen.name)
def test_equal_choices_are_the_closed_cut_in_every_layout(specimen: Specimen) -> None:
    model = specimen.build()
    plan = some_closed_plan(model)
    cut = cut_apart(model, ApartPlan.of_closed(plan, gated=is_gated(model)))
    expected = apply(model, plan)
    assert bind(cut).shape == plan.result
    for name, value in expected.state_dict().items():
        assert torch.equal(cut.state_dict()[name], value), name
    with torch.no_grad():
        got, wanted = (next(iter(m(**specimen.batch()).values())) for m in (cut, expected))
    torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def test_a_gate_chosen_apart_multiplies_the_rows_of_other_channels(
    llama: torch.nn.Module, embeddings: torch.Tensor
) -> None:
    plan = ApartPlan.of_closed(identity(llama), gated=True)
    gate, up, down = (0, 3, 5), (1, 3, 7), (2, 4, 5)
    first = replace(plan.layers[0], kept={**plan.layers[0].kept, "gate": gate, "up": up, "down": down})
    cut = cut_apart(llama, replace(plan, layers=(first, *plan.layers[1:])))

    mlp = llama.layers[0].mlp
    x = embeddings
    met = [
        torch.nn.functional.silu(x @ mlp.gate_proj.weight[g]) * (x @ mlp.up_proj.weight[u])
        for g, u in zip(gate, up, strict=True)
    ]
    expected = sum(value[..., None] * mlp.down_proj.weight[:, d] for value, d in zip(met, down, strict=True))
    torch.testing.assert_close(cut.layers[0].mlp(x), expected, atol=1e-5, rtol=1e-5)


def test_query_heads_slide_to_the_keys_of_another_group(
    llama: torch.nn.Module, embeddings: torch.Tensor
) -> None:
    plan = ApartPlan.of_closed(identity(llama), gated=True)
    heads, groups = (0, 1, 4, 5), (0, 1)  # of 6 heads in 3 groups: heads 4 and 5 read group 2
    kept = {"q": heads, "o": heads, "k": groups, "v": groups}
    layers = tuple(replace(layer, kept={**layer.kept, **kept}) for layer in plan.layers)
    cut = cut_apart(llama, replace(plan, layers=layers))

    reference = with_keys_of_its_own_for_each_head(llama, reads={0: 0, 1: 0, 2: 1, 3: 1, 4: 1, 5: 1})
    for layer in reference.layers:
        layer.self_attn.o_proj.weight.data[:, 2 * 8 : 4 * 8] = 0.0
    torch.testing.assert_close(output(cut, embeddings), output(reference, embeddings), atol=1e-4, rtol=1e-4)
    closed = apply(llama, _with_groups(identity(llama), (0, 2)))
    assert not torch.allclose(output(cut, embeddings), output(closed, embeddings), atol=1e-2)


def with_keys_of_its_own_for_each_head(model: torch.nn.Module, reads: dict[int, int]) -> LlamaModel:
    """Return a multi-head twin in which query head h has a copy of the key and value head that it reads."""
    config = type(model.config).from_dict(model.config.to_dict())
    config.num_key_value_heads = config.num_attention_heads
    twin = LlamaModel(config).eval()
    weights = dict(model.state_dict())
    for name, weight in weights.items():
        if ".k_proj." in name or ".v_proj." in name:
            heads = weight.unflatten(0, (-1, 8))
            weights[name] = heads[[reads[head] for head in sorted(reads)]].flatten(0, 1)
    twin.load_state_dict(weights)
    return twin


def _with_groups(plan: PruningPlan, groups: tuple[int, ...]) -> PruningPlan:
    for layer in plan.layers:
        plan = plan.with_groups(layer.index, groups)
    return plan


def test_multi_head_attention_with_a_plain_ffn_is_closed_as_it_stands(
    gpt2: torch.nn.Module, embeddings: torch.Tensor
) -> None:
    draw = np.random.default_rng(0)
    scores = [{role: draw.random(n) for role, n in _sizes(gpt2, layer)} for layer in range(3)]
    closed = some_closed_plan(gpt2)
    plan = choose_apart(closed, scores)
    expected = closed
    for layer in closed.layers:
        best = np.argsort(-scores[layer.index]["up"])[: len(layer.channels)]
        expected = expected.with_channels(layer.index, best.tolist())
    assert plan == ApartPlan.of_closed(expected, gated=False)
    assert torch.equal(output(cut_apart(gpt2, plan), embeddings), output(apply(gpt2, expected), embeddings))


def test_every_matrix_keeps_its_own_best_where_it_is_cut_apart(llama: torch.nn.Module) -> None:
    draw = np.random.default_rng(1)
    scores = [{role: draw.random(n) for role, n in _sizes(llama, layer)} for layer in range(3)]
    closed = _with_groups(identity(llama), (1, 2)).with_channels(0, range(10))
    plan = choose_apart(closed, scores, parts=("ffn",))
    kept = plan.layers[0].kept
    for role in ("gate", "up", "down"):
        assert set(kept[role]) == set(np.argsort(-scores[0][role])[:10].tolist())
    assert kept["k"] == kept["v"] == (1, 2)
    assert kept["q"] == kept["o"] == (2, 3, 4, 5)
    only_attention = choose_apart(closed, scores, parts=("attention",)).layers[0].kept
    judged = sum(scores[0][role] / scores[0][role].mean() for role in ("q", "o"))
    assert set(only_attention["q"]) == set(np.argsort(-judged)[:4].tolist())
    assert only_attention["gate"] == only_attention["up"] == tuple(range(10))
    assert choose_apart(closed, scores, parts=()) == ApartPlan.of_closed(closed, gated=True)


def _sizes(model: torch.nn.Module, layer: int) -> list[tuple[str, int]]:
    widths = bind(model).layers[layer].widths
    sizes = [("q", widths.heads), ("o", widths.heads), ("k", widths.groups), ("v", widths.groups)]
    sizes += [("up", widths.channels), ("down", widths.channels)]
    return [*sizes, ("gate", widths.channels)] if is_gated(model) else sizes


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"gate": (0, 1)}, "equally many"),
        ({"q": (0, 1, 2), "o": (0, 1, 2), "k": (0, 1), "v": (0, 1)}, "equally many"),
        ({"up": (3, 1, 2)}, "ascending"),
        ({"k": (0, 3), "v": (0, 3)}, "0..2"),
    ],
)
def test_a_plan_that_would_not_run_is_refused(llama, changed, message) -> None:
    plan = ApartPlan.of_closed(identity(llama), gated=True)
    with pytest.raises(PlanError, match=message):
        replace(plan, layers=(ApartLayer(index=0, kept={**plan.layers[0].kept, **changed}),))


def test_a_gated_ffn_needs_a_choice_of_its_gate(llama, gpt2) -> None:
    with pytest.raises(PlanError, match="gate"):
        cut_apart(llama, ApartPlan.of_closed(identity(llama), gated=False))
    with pytest.raises(PlanError, match="gpt2"):
        cut_apart(gpt2, ApartPlan.of_closed(identity(llama), gated=True))


def test_attention_with_an_argument_a_head_is_refused() -> None:
    model = next(entry for entry in ZOO if entry.name == "bloom").build()
    with pytest.raises(UnsupportedArchitecture, match="closed units"):
        cut_apart(model, ApartPlan.of_closed(identity(model), gated=False))
