"""What every registered method promises on every task on tokens, for a tiny model of each family."""

from __future__ import annotations

import pytest
import torch

from secateur.core.errors import CheckpointError, ConfigError
from secateur.core.records import to_jsonable
from secateur.methods.cascade import Cascade
from secateur.methods.floor import Floors
from secateur.methods.records import StageRecord
from secateur.methods.registered import METHODS
from secateur.methods.settings import CascadeSettings, RoundsSettings, SearchSettings
from secateur.methods.stage import Workbench
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.origin import origin_of
from secateur.recovery.settings import TextRecoverySettings
from secateur.structure.budget import Budget
from secateur.structure.counting import parameters
from secateur.training.state import digest
from token_tasks import CASES

SEARCH = SearchSettings(criterion="surgeon", probe_steps=0, max_depths=2, refit_target="stream")
RECOVERY = TextRecoverySettings(
    max_steps=6, batch_size=4, warmup_steps=1, evaluate_every=3, rank=2, precision="fp32"
)
RATIO = 1.6


def made(name: str):
    """Return a method with settings small enough for tests."""
    chosen = METHODS.get(name)
    if chosen.changes == "weights":
        return chosen()
    settings = {"cascade": CascadeSettings(search=SEARCH), "rounds": RoundsSettings(search=SEARCH, rounds=2)}
    return chosen(settings.get(name, SEARCH))


def recovery_after(method):
    """Return gradient steps for methods that remove units; others are not followed by any."""
    return RECOVERY if method.changes == "units" else None


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


OF_UNITS = [name for name in METHODS.names() if METHODS.get(name).changes == "units"]


@pytest.fixture(params=METHODS.names())
def method(request):
    return made(request.param)


@pytest.fixture(params=OF_UNITS)
def method_of_units(request):
    return made(request.param)


def test_a_compression_shares_no_memory_with_the_dense_model(case, method_of_units):
    dense, task = case.model(), case.task()
    theirs = {parameter.untyped_storage().data_ptr() for parameter in dense.parameters()}
    for recovery in (RECOVERY, None) if method_of_units.keeps_weights else (RECOVERY,):
        found = method_of_units.compress(dense, task, Budget(ratio=1.1), recovery).model
        assert [n for n, p in found.named_parameters() if p.untyped_storage().data_ptr() in theirs] == []


def test_every_method_keeps_its_promises_on_every_task(method, case):
    dense, task, recovery = case.model(), case.task(), recovery_after(method)
    before = digest(dense)
    result = method.compress(dense, task, Budget(ratio=RATIO), recovery)
    assert digest(dense) == before
    assert result.cost.remaining <= result.cost.dense / RATIO
    assert not result.model.training
    count = sum(parameter.numel() for parameter in result.model.parameters())
    for number, record in enumerate(result.records, start=1):
        assert (record.method, record.number, record.accepted) == (method.name, number, True)
        assert to_jsonable(StageRecord.from_json(to_jsonable(record))) == to_jsonable(record)
        assert record.before.kl is not None
        assert record.after_recovery.headline is not None
    assert result.records[0].before.kl == pytest.approx(0, abs=1e-9)
    assert result.records[-1].after_recovery.parameters == count
    again = method.compress(dense, task, Budget(ratio=RATIO), recovery)
    assert again.plan == result.plan
    assert digest(again.model) == digest(result.model)
    assert digest(result.model) != before


def test_the_cascade_cuts_query_heads_inside_the_groups_that_stay():
    case, stages = CASES["llama-text"], ("layers", "groups", "heads", "channels")
    method = Cascade(CascadeSettings(search=SEARCH, order=stages))
    result = method.compress(case.model(), case.task(), Budget(ratio=2.5), None)
    shape = bind(result.model).shape
    assert [record.stage for record in result.records] == list(stages)
    assert result.plan.result == shape
    assert result.cost.remaining <= result.cost.dense / 2.5
    gone = [(record.removed_groups, record.removed_heads) for record in result.records]
    assert gone[2][1] > 0 and sum(heads for _, heads in gone) == gone[2][1]
    left = sum(shape.heads_per_layer)
    kept = sum(2 * groups for groups in shape.kv_groups_per_layer)
    assert kept - left == gone[2][1]


def test_methods_of_units_count_parameters_and_train_as_told(method_of_units, case):
    dense = case.model()
    result = method_of_units.compress(dense, case.task(), Budget(ratio=RATIO), RECOVERY)
    count = sum(parameter.numel() for parameter in result.model.parameters())
    assert result.cost.unit == "parameters"
    assert count == parameters(result.plan) == result.cost.remaining
    assert result.cost.dense == sum(p.numel() for p in dense.parameters())
    assert result.plan.result == bind(result.model).shape
    assert result.samples_seen == RECOVERY.max_steps * RECOVERY.batch_size


def test_what_was_compressed_is_loaded_as_it_was_saved(method, case, tmp_path):
    """The change goes along: what the checkpoint tells is what the method did."""
    result = method.compress(case.model(), case.task(), Budget(ratio=RATIO), recovery_after(method))
    checkpoint.save(result.model, tmp_path / "small", plan=result.plan, weights=result.weights)
    loaded = checkpoint.load(tmp_path / "small")
    assert digest(loaded) == digest(result.model)
    assert checkpoint.describe(tmp_path / "small").plan == result.plan
    found = origin_of(loaded).weights
    assert (found is None) == (result.weights is None)
    if found is not None:
        assert found.weights.keys() == result.weights.weights.keys()
        assert found.kinds == result.weights.kinds
        found.require_of(result.model)


def test_removing_nothing_changes_nothing(method, case):
    dense = case.model()
    result = method.compress(dense, case.task(), Budget(ratio=1.0), recovery_after(method))
    assert result.plan.is_identity
    assert result.cost.ratio == 1.0
    if method.keeps_weights:
        assert digest(result.model) == digest(dense)
        assert result.model is not dense
        assert result.records == ()


@pytest.mark.parametrize("name", ["cascade", "rounds", "one_shot"])
@pytest.mark.parametrize("where", ["ranking", "cut", "recovery"])
def test_a_killed_run_goes_on_to_the_same_model(name, where, tmp_path, monkeypatch):
    """Killed while layers are ranked, before the last cut, or in its recovery."""
    case, method = CASES["llama-text"], made(name)
    expected = method.compress(case.model(), case.task(), Budget(ratio=RATIO), RECOVERY)
    last = len(expected.records)

    def dying(own, dies):
        def step(self, *arguments, **options):
            if dies(options):
                raise KeyboardInterrupt
            return own(self, *arguments, **options)

        return step

    with monkeypatch.context() as patch:
        if where == "ranking":
            patch.setattr(Workbench, "probe_losses", dying(Workbench.probe_losses, lambda _: True))
            patch.setattr(Workbench, "score", dying(Workbench.score, lambda _: True))
        elif where == "cut":
            own = Workbench.cut_and_recover
            patch.setattr(Workbench, "cut_and_recover", dying(own, lambda options: options["number"] == last))
        else:
            patch.setattr(Workbench, "_recover", dying(Workbench._recover, lambda _: True))
        with pytest.raises(KeyboardInterrupt):
            method.compress(case.model(), case.task(), Budget(ratio=RATIO), RECOVERY, tmp_path)
    if where == "cut" and last > 1:
        ranked = []
        monkeypatch.setattr(
            Workbench, "rank_layers", lambda *_, **__: ranked.append(1) or pytest.fail("ranked again")
        )
    result = method.compress(case.model(), case.task(), Budget(ratio=RATIO), RECOVERY, tmp_path)
    assert result.plan == expected.plan
    assert digest(result.model) == digest(expected.model)


def test_stages_of_another_text_are_refused(tmp_path):
    case = CASES["llama-text"]
    made("rounds").compress(case.model(), case.task(), Budget(ratio=RATIO), None, tmp_path)
    with pytest.raises(CheckpointError, match="another run"):
        made("rounds").compress(case.model(), case.task(seed=1), Budget(ratio=RATIO), None, tmp_path)


def taught(case):
    """Return the case's model after it has learnt to count: a model that a cut can harm."""
    model, rows = case.model(), case.rows(40, 1)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(120):
        ids = rows.take([(8 * step + place) % 40 for place in range(8)])["input_ids"]
        model(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return model.eval()


@pytest.mark.parametrize(
    ("name", "floors", "said"),
    [
        ("llama-text", Floors(max_perplexity_ratio=1.0), "times the dense model's validation perplexity"),
        ("gpt2-text", Floors(max_perplexity_ratio=1.0), "times the dense model's validation perplexity"),
        ("bert-labels", Floors(min_accuracy=0.0), None),
    ],
)
def test_a_broken_floor_keeps_the_last_good_model(name, floors, said):
    case = CASES[name]
    dense = case.model() if said is None else taught(case)
    result = Cascade(CascadeSettings(search=SEARCH, floors=floors)).compress(
        dense, case.task(), Budget(ratio=2.0), None
    )
    assert result.stopped_by_floor == (said is not None)
    if said is None:
        return
    assert said in result.reason
    assert not result.records[-1].accepted
    kept = result.records[-1].before.perplexity
    assert kept <= result.records[0].before.perplexity
    assert parameters(result.plan) == result.records[-1].before.parameters


@pytest.mark.parametrize(
    ("name", "floors"),
    [("llama-text", Floors(min_accuracy=0.5)), ("bert-embeddings", Floors(max_perplexity_ratio=1.2))],
)
def test_a_floor_that_the_task_does_not_measure_is_refused(name, floors):
    case = CASES[name]
    with pytest.raises(ConfigError, match="which this task does not measure; it measures"):
        Cascade(CascadeSettings(search=SEARCH, floors=floors)).compress(
            case.model(), case.task(), Budget(ratio=2.0), None
        )


def test_a_model_whose_head_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="BertModel predicts no next token"):
        made("rounds").compress(
            CASES["bert-embeddings"].model(), CASES["llama-text"].task(), Budget(ratio=2.0), None
        )
    with pytest.raises(ConfigError, match="LlamaForCausalLM gives no class"):
        made("rounds").compress(
            CASES["llama-text"].model(), CASES["bert-labels"].task(), Budget(ratio=2.0), None
        )


def test_the_vocabulary_of_recovered_models_is_that_of_the_teacher():
    from secateur.recovery.recover import recover

    case = CASES["llama-text"]
    other = case.model()
    other.resize_token_embeddings(VOCABULARY_OF_OTHER)
    with pytest.raises(ConfigError, match="vocabulary of 23 tokens, its teacher one of 30"):
        recover(case.model(), other, case.task(), RECOVERY)


VOCABULARY_OF_OTHER = 30


def test_a_layer_that_adds_a_constant_is_folded_away_exactly():
    """What a removed layer did on average goes into the bias before it, where that is better."""
    from secateur.methods.compensation import compensated
    from secateur.scoring.objective import references_of
    from secateur.surgery.apply import apply

    case = CASES["gpt2-text"]
    dense, task = case.model(), case.task()
    layer = bind(dense).layers[1]
    with torch.no_grad():
        for kind in ("group", "channel"):
            layer.output(kind).weight.zero_()
        layer.output("channel").bias.copy_(torch.linspace(-1, 1, 32))
        layer.output("group").bias.zero_()
    plan = bind(dense).whole_plan.without_layers([1])
    batches, references = task.calibration, references_of(dense, task.calibration)
    found = compensated(dense, apply(dense, plan), plan, batches, references)
    assert found.record["adopted"]
    assert found.record["layers"] == [1]
    ids = batches[0]["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(found.model(ids).logits, dense(ids).logits, atol=1e-4, rtol=1e-4)
    none = compensated(dense, dense, bind(dense).whole_plan.without_layers([0]), batches, references)
    assert none.record == {"layers": [], "adopted": False}
