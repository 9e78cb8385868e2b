from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from secateur.core.errors import ConfigError, UnsupportedArchitecture
from secateur.core.records import to_jsonable
from secateur.models.presets import build_preset
from secateur.scoring.criteria.taylor import Taylor
from secateur.sia.measured.estimators import spearman
from secateur.sia.measured.evaluation import Evaluator
from secateur.sia.measured.measure import measure
from secateur.structure.units import Unit, units
from zoo import ZOO

NAMED = {specimen.name: specimen for specimen in ZOO}
ASKED = {"criteria": ("taylor", "magnitude"), "budget_s": math.inf, "width": 1e-6, "seed": 0}


def pairs_of(entries, *names):
    return [tuple(getattr(entry, name) for name in names) for entry in entries]


@pytest.fixture(scope="module")
def language():
    """A gated model with shared keys and values, measured with everything asked for."""
    draw = torch.Generator().manual_seed(0)
    batches = [{"input_ids": torch.randint(4, 61, (6, 7), generator=draw)}]
    model = NAMED["llama"].build()
    components = ("layer", "group", "head", "channel", "matrix")
    return model, batches, measure(model, batches, components=components, max_evaluations=260, **ASKED)


def test_every_figure_is_there(language):
    _, _, found = language
    assert found.task == "language"
    objectives = ("loss", "divergence")
    unit_components = ("layer", "group", "head", "channel")
    expected = [(component, objective) for component in unit_components for objective in objectives]
    assert pairs_of(found.additivity, "component", "objective") == expected
    assert pairs_of(found.interaction_maps, "component", "objective") == expected
    assert set(pairs_of(found.interactions, "component", "place")) == {
        (component, place) for component in unit_components for place in ("within", "across")
    } - {("layer", "within")}
    assert {(entry.component, entry.criterion) for entry in found.fidelity} == {
        ("layer", "taylor"),
        *((component, name) for component in unit_components[1:] for name in ("taylor", "magnitude")),
    }
    assert set(pairs_of(found.rank_stability, "component", "criterion")) == {
        ("group", "taylor"), ("head", "taylor"), ("channel", "taylor"),
    }  # fmt: skip
    assert pairs_of(found.agreement, "component", "roles", "criterion") == [
        ("group", ("q", "k"), "taylor"),
        ("group", ("q", "k"), "magnitude"),
        ("channel", ("gate", "up", "down"), "taylor"),
        ("channel", ("gate", "up", "down"), "magnitude"),
    ]
    assert set(pairs_of(found.removal_loss, "component", "treatment")) == {
        *((component, "closed") for component in unit_components),
        ("group", "apart"), ("head", "apart"), ("matrix", "apart"),
    }  # fmt: skip


def test_every_estimate_lies_in_its_interval_and_every_gap_in_its_range(language):
    _, _, found = language
    estimates = [
        *(point.gap for curve in found.additivity for point in curve.points),
        *(entry.normalised for entry in found.interactions),
        *(entry.value for entry in found.fidelity),
        *(entry.value for entry in found.rank_stability),
        *(entry.value for entry in found.agreement),
        *(point.score for curve in found.removal_loss for point in curve.points),
    ]
    assert all(entry.low <= entry.value <= entry.high for entry in estimates)
    assert all(0 <= point.gap.value <= 2 for curve in found.additivity for point in curve.points)


def test_fidelity_is_the_rank_correlation_with_exact_single_removal(language):
    model, batches, found = language
    evaluator = Evaluator(model, batches)
    scores = np.concatenate(Taylor().score(model, evaluator.bound, batches, seed=0).groups)
    costs = np.stack([evaluator.cost([unit]).mean(axis=1) for unit in units(evaluator.bound.shape, "group")])
    for index, objective in enumerate(("loss", "divergence")):
        entry = next(
            entry
            for entry in found.fidelity
            if (entry.component, entry.criterion, entry.objective) == ("group", "taylor", objective)
        )
        assert entry.n_units == len(costs)
        assert entry.value.value == pytest.approx(spearman(scores[:, None], costs[:, index : index + 1])[0])


def test_a_removal_curve_is_what_the_removal_costs(language):
    model, batches, found = language
    evaluator = Evaluator(model, batches)
    scores = Taylor().score(model, evaluator.bound, batches, seed=0).groups
    gone = [Unit(kind="group", layer=layer, index=int(np.argmin(own))) for layer, own in enumerate(scores)]
    curve = next(
        curve
        for curve in found.removal_loss
        if (curve.component, curve.criterion, curve.treatment) == ("group", "taylor", "closed")
    )
    cost = evaluator.cost(gone).mean(axis=1)
    assert curve.points[0].loss.value == pytest.approx(cost[0], abs=1e-6)
    assert curve.points[0].score.value == pytest.approx(math.exp(cost[0]), abs=1e-6)
    assert curve.dense_score == 1.0


def test_the_result_is_plain_json(language):
    text = json.dumps(to_jsonable(language[2]), allow_nan=False)
    assert json.loads(text)["ended_by"] == "evaluations"


def test_the_same_seed_and_evaluations_give_the_same_numbers(language):
    model, batches, _ = language
    asked = {**ASKED, "components": ("group",), "max_evaluations": 40}
    one, other = (to_jsonable(measure(model, batches, **asked)) for _ in range(2))
    del one["seconds"], other["seconds"]
    assert json.dumps(one) == json.dumps(other)
    third = to_jsonable(measure(model, batches, **{**asked, "seed": 1}))
    assert third["additivity"] != one["additivity"]


@pytest.mark.parametrize(
    ("limits", "ended_by"),
    [
        ({"max_evaluations": 30}, "evaluations"),
        ({"budget_s": 1e-9}, "budget"),
        ({"width": 3.0}, "width"),
        ({}, "exhausted"),
    ],
)
def test_the_result_says_what_ended_it(language, limits, ended_by):
    model, batches, _ = language
    asked = {**ASKED, "criteria": ("magnitude",), "components": ("layer",)} | limits
    found = measure(model, batches, **asked)
    assert found.ended_by == ended_by
    assert found.wanted_width == asked["width"]
    assert ended_by != "width" or found.reached_width <= asked["width"]


def test_an_early_answer_is_given_on_the_way(language):
    model, batches, _ = language
    answers = []
    last = measure(
        model, batches, **ASKED, components=("group",), max_evaluations=60, progress=answers.append
    )
    assert len(answers) > 2
    assert answers[0].n_evaluations < last.n_evaluations
    assert (answers[0].ended_by, last.ended_by) == ("unfinished", "evaluations")
    assert answers[0].additivity[0].points[-1].n_subsets > 0
    assert answers[0].fidelity[0].n_units > 0


def test_a_model_of_one_layer_has_little_to_measure_and_ends():
    model, batches = NAMED["llama"].build(num_hidden_layers=1), [{"input_ids": torch.randint(4, 61, (3, 5))}]
    found = measure(model, batches, **(ASKED | {"components": ("layer",), "criteria": ("taylor",)}))
    assert found.ended_by == "exhausted"
    assert found.additivity[0].points == ()
    assert found.fidelity[0].n_units == 1


def test_a_diagnoser_is_judged_by_its_accuracy():
    torch.manual_seed(0)
    model = build_preset("nano-mha", classes=("healthy", "inner"), sampling_rate_hz=12_000.0).eval()
    draw = torch.Generator().manual_seed(0)
    batch = {
        "waveform": torch.randn(6, model.config.window_length, generator=draw),
        "shaft_rate_hz": torch.zeros(6),
        "fault_orders": torch.zeros(6, 4),
        "label": torch.tensor([0, 1] * 3),
    }
    found = measure(model, [batch], components=("group", "matrix"), max_evaluations=40, **ASKED)
    assert found.task == "classification"
    assert {curve.score_name for curve in found.removal_loss} == {"accuracy"}
    # up and down of a plain FFN are compared, but not cut apart: one takes the other's choice over
    assert found.agreement[-1].roles == ("up", "down")
    assert {curve.treatment for curve in found.removal_loss} == {"closed"}
    assert all(0 <= point.score.value <= 1 for curve in found.removal_loss for point in curve.points)


def test_an_encoder_without_a_task_is_judged_by_its_embedding(make_token_batches):
    found = measure(
        NAMED["bert"].build(), make_token_batches(), components=("group",), max_evaluations=70, **ASKED
    )
    assert found.task == "embedding"
    assert {curve.objective for curve in found.additivity} == {"divergence"}
    (curve,) = (curve for curve in found.removal_loss if curve.criterion == "magnitude")
    assert curve.score_name == "cosine"
    assert math.isnan(curve.points[0].loss.value)
    assert curve.points[-1].divergence.value > curve.points[0].divergence.value > 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"components": ("neuron",)}, "layer, group, head, channel, matrix"),
        ({"components": ()}, "give some of"),
        ({"criteria": ("guess",)}, "unknown criterion 'guess'"),
        ({"criteria": ()}, "give some of"),
        ({"width": 0.0}, "above 0"),
        ({"budget_s": 0.0}, "above 0"),
        ({"max_evaluations": 0}, "above 0"),
    ],
)
def test_wrong_use_is_answered_in_words(language, changes, said):
    model, batches, _ = language
    with pytest.raises(ConfigError, match=said):
        measure(model, batches, **({"components": ("group",), **ASKED} | changes))


def test_heads_under_a_norm_over_all_queries_are_refused_before_anything_is_measured(make_token_batches):
    with pytest.raises(UnsupportedArchitecture, match="leave the component 'head' out"):
        measure(NAMED["olmo2"].build(), make_token_batches(), components=("head",), **ASKED)
