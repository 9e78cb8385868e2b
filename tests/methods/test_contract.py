"""What every registered method promises."""

from __future__ import annotations

import pytest
import torch

from secateur.core.errors import ConfigError, PlanError
from secateur.core.records import to_jsonable
from secateur.methods.records import StageRecord
from secateur.methods.registered import METHODS
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.calls import run
from secateur.structure.budget import Budget
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.training.state import digest


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


OF_UNITS = [name for name in METHODS.names() if METHODS.get(name).changes == "units"]
OF_WEIGHTS = [name for name in METHODS.names() if name not in OF_UNITS]


@pytest.fixture(params=OF_UNITS)
def method(request):
    return METHODS.get(request.param)()


@pytest.fixture(params=OF_WEIGHTS)
def method_of_weights(request):
    return METHODS.get(request.param)()


_halved = {}


@pytest.fixture
def halved(method, dense, task, recovery):
    """Return the compression to half of the parameters, made once for each method and model."""
    key = (method.name, id(dense))
    if key not in _halved:
        before = digest(dense)
        _halved[key] = method.compress(dense, task, Budget(ratio=2.0), recovery)
        assert digest(dense) == before
    return _halved[key]


def test_the_budget_is_met_and_the_plan_tells_the_model(halved, dense, task):
    result = halved
    assert count(result.model) <= count(dense) / 2.0
    assert count(result.model) == parameters(result.plan)
    assert result.plan.shape == bind(dense).shape
    assert result.plan.result == bind(result.model).shape
    assert not result.model.training
    logits = run(result.model, task.probe[0])
    assert logits.shape == (len(task.probe[0]["label"]), 3)
    assert torch.isfinite(logits).all()


def test_records_are_complete_and_survive_json(halved, method, recovery):
    result = halved
    last = result.records[-1]
    assert last.after_recovery.parameters == count(result.model)
    assert [entry["index"] for entry in last.kept] == [layer.index for layer in result.plan.layers]
    assert result.samples_seen == recovery.max_steps * recovery.batch_size
    removed = sum(len(record.removed_layers) for record in result.records)
    assert removed == len(result.plan.removed_layers)
    for number, record in enumerate(result.records, start=1):
        assert record.number == number
        assert record.method == method.name
        assert record.seconds > 0
        assert to_jsonable(StageRecord.from_json(to_jsonable(record))) == to_jsonable(record)
        for figures in (record.before, record.after_cut, record.after_refit, record.after_recovery):
            assert 0 <= figures.accuracy <= 1
            assert figures.kl >= 0
    assert result.records[0].before.agreement == 1.0


def test_removing_nothing_changes_nothing(method, dense, task, recovery):
    result = method.compress(dense, task, Budget(ratio=1.0), recovery)
    assert result.plan == PruningPlan.identity(bind(dense).spec.family, bind(dense).shape)
    if method.keeps_weights:
        assert digest(result.model) == digest(dense)
        assert result.model is not dense
        assert result.records == ()


def test_the_same_command_gives_the_same_model(halved, method, dense, task, recovery):
    again = method.compress(dense, task, Budget(ratio=2.0), recovery)
    assert halved.plan == again.plan
    assert digest(halved.model) == digest(again.model)


def test_a_ratio_out_of_reach_names_the_largest(method, dense, task, recovery):
    with pytest.raises(PlanError, match="largest ratio that can be reached is") as caught:
        method.compress(dense, task, Budget(ratio=1000.0), recovery)
    largest = float(str(caught.value).split("reached is ")[1].split(";")[0])
    assert Budget(ratio=largest).reachable_target(bind(dense).spec.family, bind(dense).shape)


def test_methods_of_weights_keep_budget_and_shapes(method_of_weights, dense, task, tmp_path):
    method, before = method_of_weights, digest(dense)
    result = method.compress(dense, task, Budget(ratio=2.0), None)
    assert digest(dense) == before
    assert result.plan.is_identity
    assert count(result.model) == count(dense)
    assert result.cost.remaining <= result.cost.dense / 2
    assert torch.isfinite(run(result.model, task.probe[0])).all()
    (record,) = result.records
    assert record.decisions["budget"]["remaining"] == result.cost.remaining
    assert digest(method.compress(dense, task, Budget(ratio=2.0), None).model) == digest(result.model)
    checkpoint.save(result.model, tmp_path / "small", plan=result.plan, weights=result.weights)
    loaded = checkpoint.load(tmp_path / "small")
    assert digest(loaded) == digest(result.model)
    with pytest.raises(ConfigError, match="compact form"):
        METHODS.get("one_shot")().compress(loaded, task, Budget(ratio=2.0), None)


def test_methods_of_weights_change_nothing_at_ratio_one(method_of_weights, dense, task):
    result = method_of_weights.compress(dense, task, Budget(ratio=1.0), None)
    assert digest(result.model) == digest(dense)
    assert result.model is not dense
    assert (result.records, dict(result.weights.weights), result.cost.ratio) == ((), {}, 1.0)


def test_methods_of_weights_refuse_what_they_would_ignore(method_of_weights, dense, task, recovery):
    with pytest.raises(ConfigError, match="leave recovery out"):
        method_of_weights.compress(dense, task, Budget(ratio=2.0), recovery)
    with pytest.raises(PlanError, match="goes by a ratio"):
        method_of_weights.compress(dense, task, None, None)


def test_a_ratio_of_weights_out_of_reach_names_the_largest(method_of_weights, dense, task):
    with pytest.raises(PlanError, match="largest ratio that can be reached is") as caught:
        method_of_weights.compress(dense, task, Budget(ratio=10000.0), None)
    largest = float(str(caught.value).split("reached is ")[1].split(";")[0])
    result = method_of_weights.compress(dense, task, Budget(ratio=largest), None)
    assert result.cost.ratio >= largest
