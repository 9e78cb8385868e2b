"""Stages, resumption, the accuracy floor, allocation by hand and other orders."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from secateur.core.errors import CheckpointError, ConfigError, PlanError
from secateur.methods import cascade as cascade_module
from secateur.methods import stage as stage_module
from secateur.methods.cascade import Cascade
from secateur.methods.floor import Floors
from secateur.methods.one_shot import OneShot
from secateur.methods.settings import CascadeSettings, HandAllocation, SearchSettings
from secateur.methods.stage import Workbench
from secateur.models.binding import bind
from secateur.recovery.recover import recover
from secateur.structure.budget import Budget
from secateur.structure.counting import channel_parameters, shape_parameters
from secateur.structure.latency import LatencyLimit, LatencyTable
from secateur.training.state import digest
from secateur.workflow.order_settings import ORDERS

BUDGET = Budget(ratio=2.0)


class KilledError(Exception):
    """Stands for a kill."""


def kill_after_stage(monkeypatch, number):
    original = Workbench.cut_and_recover

    def dying(self, *args, **options):
        if options["number"] > number:
            raise KilledError
        return original(self, *args, **options)

    monkeypatch.setattr(Workbench, "cut_and_recover", dying)


def test_a_killed_run_goes_on_from_the_last_finished_stage(trained, task, recovery, tmp_path, monkeypatch):
    dense = trained["gqa"]
    whole = Cascade().compress(dense, task, BUDGET, recovery)
    with monkeypatch.context() as patched:
        kill_after_stage(patched, 1)
        with pytest.raises(KilledError):
            Cascade().compress(dense, task, BUDGET, recovery, tmp_path)
    assert (tmp_path / "stage-1-layers" / "record.json").exists()
    assert not (tmp_path / "stage-1-layers" / "recovery").exists()
    assert not (tmp_path / "stage-2-groups" / "record.json").exists()

    def no_probing(*_args, **_options):
        raise AssertionError("stage 1 must not be done again")

    monkeypatch.setattr(cascade_module, "choose_depth", no_probing)
    resumed = Cascade().compress(dense, task, BUDGET, recovery, tmp_path)
    assert resumed.plan == whole.plan
    assert digest(resumed.model) == digest(whole.model)
    assert [record.stage for record in resumed.records] == ["layers", "groups", "channels"]
    assert resumed.samples_seen == whole.samples_seen
    assert resumed.records[0].decisions == whole.records[0].decisions

    def no_stage(*_args, **_options):
        raise AssertionError("a finished run must not be done again")

    monkeypatch.setattr(Workbench, "cut_and_recover", no_stage)
    assert digest(Cascade().compress(dense, task, BUDGET, recovery, tmp_path).model) == digest(whole.model)


def test_a_re_fit_that_does_harm_leaves_no_trace(dense, task, monkeypatch):
    sound = stage_module.refit

    def spoilt(model, *args, **options):
        report = sound(model, *args, **options)
        with torch.no_grad():
            for parameter in bind(model).layers[-1].module.parameters():
                parameter.mul_(-3.0)
        return report

    def cut():
        search = SearchSettings(hand=HandAllocation(layers=2, heads=2, channels=9))
        return OneShot(search).compress(dense, task, None, None)

    before = digest(dense)
    monkeypatch.setattr(stage_module, "refit", spoilt)
    spoiled = cut()
    (record,) = spoiled.records
    assert record.refit["undone"]
    assert record.after_refit == record.after_cut
    monkeypatch.setattr(Workbench, "_refit", lambda *_: {})
    assert digest(spoiled.model) == digest(cut().model)
    with torch.no_grad():
        for parameter in spoiled.model.parameters():
            parameter.zero_()
    assert digest(dense) == before


def test_depth_is_chosen_without_the_held_out_windows_and_the_last_recovery_learns_from_them(
    trained, task_with_last_fit, recovery, monkeypatch
):
    learnt = []

    def noted(model, teacher, task, settings, out):
        learnt.append((settings.max_steps, len(task.train)))
        return recover(model, teacher, task, settings, out)

    monkeypatch.setattr(stage_module, "recover", noted)
    search = SearchSettings(probe_steps=2)
    method = Cascade(CascadeSettings(search=search))
    method.compress(trained["gqa"], task_with_last_fit, BUDGET, recovery)
    *probes, last = learnt
    assert probes
    assert set(probes) == {(2, 48)}
    assert last == (8, 60)


def test_stages_of_another_run_are_refused(trained, task, recovery, tmp_path):
    Cascade().compress(trained["mha"], task, BUDGET, recovery, tmp_path)
    with pytest.raises(CheckpointError, match="another run"):
        Cascade().compress(trained["mha"], task, Budget(ratio=2.2), recovery, tmp_path)


def test_each_stage_cuts_its_own_granularity_only(dense, task, recovery):
    n_layers = bind(dense).shape.n_layers
    layers, groups, channels = Cascade().compress(dense, task, Budget(ratio=1.8), recovery).records
    assert layers.removed_groups == layers.removed_channels == 0
    assert groups.removed_layers == () and groups.removed_channels == 0
    assert channels.removed_layers == () and channels.removed_groups == 0
    sizes = [record.after_recovery.parameters for record in (layers, groups, channels)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(layers.kept) == n_layers - len(layers.removed_layers)
    for former, following in ((layers, groups), (groups, channels)):
        assert following.before == former.after_recovery


def test_a_broken_floor_takes_the_last_good_stage(trained, task, monkeypatch):
    original = Workbench.cut_and_recover

    def failing_at_groups(self, *args, **options):
        state, record = original(self, *args, **options)
        if record.stage == "groups":
            record = replace(record, after_recovery=replace(record.after_recovery, accuracy=0.55))
        return state, record

    monkeypatch.setattr(Workbench, "cut_and_recover", failing_at_groups)
    settings = CascadeSettings(floors=Floors(min_accuracy=0.6), search=SearchSettings(max_depths=1))
    result = Cascade(settings).compress(trained["mha"], task, BUDGET, None)
    assert result.stopped_by_floor
    kept, rejected = result.records
    assert (kept.stage, kept.accepted, rejected.stage, rejected.accepted) == ("layers", True, "groups", False)
    assert sum(p.numel() for p in result.model.parameters()) == rejected.before.parameters
    assert [len(layer.groups) for layer in result.plan.layers] == [entry["groups"] for entry in kept.kept]
    assert "groups" in result.reason
    assert "0.55" in result.reason


def test_a_floor_above_the_dense_model_is_refused(trained, task, recovery):
    untrained = trained["mha"].__class__(trained["mha"].config).eval()
    with pytest.raises(ConfigError, match="under the floor"):
        Cascade(CascadeSettings(floors=Floors(min_accuracy=0.99))).compress(untrained, task, BUDGET, recovery)


def test_allocation_by_hand(dense, task, recovery):
    sharing = bind(dense).shape.heads_per_group(0)
    hand = HandAllocation(layers=2, heads=2, channels=9)
    settings = CascadeSettings(search=SearchSettings(hand=hand))
    result = Cascade(settings).compress(dense, task, None, recovery)
    shape = bind(result.model).shape
    assert shape.n_layers == 2
    assert shape.heads_per_layer == (2, 2)
    assert shape.kv_groups_per_layer == (2 // sharing,) * 2
    assert shape.channels_per_layer == (9, 9)


@pytest.mark.parametrize(
    ("hand", "said"), [((9, 2, 9), "1 to 3"), ((1, 3, 9), "multiple of 2"), ((1, 2, 999), "1 to 48")]
)
def test_a_wrong_allocation_by_hand_says_what_is_allowed(trained, task, recovery, hand, said):
    layers, heads, channels = hand
    search = SearchSettings(hand=HandAllocation(layers=layers, heads=heads, channels=channels))
    with pytest.raises(PlanError, match=said):
        Cascade(CascadeSettings(search=search)).compress(trained["gqa"], task, None, recovery)


@pytest.mark.parametrize("order", ORDERS.values())
@pytest.mark.parametrize("attention", ["mha", "gqa"])
def test_all_orders_come_to_the_asked_size(trained, task, order, attention):
    dense = trained[attention]
    shape = bind(dense).shape
    family = bind(dense).spec.family
    settings = CascadeSettings(order=order, search=SearchSettings(max_depths=2, probe_steps=0))
    for ratio in (1.6, 2.2):
        target = Budget(ratio=ratio).target_parameters(shape_parameters(family, shape))
        records = Cascade(settings).compress(dense, task, Budget(ratio=ratio), None).records
        sizes = [record.after_recovery.parameters for record in records]
        unspent = target - sizes[-1]
        # at most the step of the channels (16 of the widest), or a channel in each of three layers
        assert 0 <= unspent < 16 * channel_parameters(family, shape)
        assert sizes == sorted(sizes, reverse=True)


def latency(dense, most_ms, layer_ms):
    """Limit latency where a layer takes ``layer_ms`` at any width, and up to 1 ms more for its channels."""
    shape = bind(dense).shape
    heads, channels = shape.heads_per_layer[0], shape.channels_per_layer[0]
    table = LatencyTable(
        family=bind(dense).spec.family,
        hidden=shape.hidden,
        threads=1,
        tokens=(16,),
        heads=(heads,),
        channels=(1, channels),
        outside_ms=(0.0,),
        heads_ms=((layer_ms + 1,),),
        channels_ms=((layer_ms, layer_ms + 1),),
        window_tokens=16,
        front_end_ms=0.5,
    )
    return LatencyLimit(most=most_ms, table=table)


@pytest.mark.parametrize("method", [Cascade, OneShot])
def test_a_latency_is_kept_and_spent(dense, task, method):
    limit = latency(dense, 2.4, layer_ms=0.2)
    search = SearchSettings(probe_steps=0, multiple=1)
    settings = CascadeSettings(search=search) if method is Cascade else search
    result = method(settings).compress(dense, task, Budget(limits=(limit,)), None)
    shape = bind(result.model).shape
    cost = limit.cost(result.plan.family, shape)
    channel_ms = 1 / bind(dense).shape.channels_per_layer[0]
    assert 2.4 - 4 * channel_ms < cost <= 2.4
    assert result.records[-1].decisions["predicted"]["latency"]["predicted"] == pytest.approx(cost)
    # one whole layer takes 1.7 ms, and would leave some of it; three take 1.1 ms before any channel
    assert [probe["layers"] for probe in result.records[0].decisions["probes"]] == [2, 3]


def test_a_dear_layer_rules_out_depth(dense, task):
    limit = latency(dense, 2.4, layer_ms=0.7)
    settings = CascadeSettings(search=SearchSettings(probe_steps=0))
    result = Cascade(settings).compress(dense, task, Budget(limits=(limit,)), None)
    assert len(result.plan.layers) < 3
    assert limit.cost(result.plan.family, bind(result.model).shape) <= 2.4


def test_a_model_that_is_fast_enough_is_left_alone(dense, task):
    limit = latency(dense, 100.0, layer_ms=0.7)
    result = Cascade().compress(dense, task, Budget(limits=(limit,)), None)
    assert result.records == ()
    assert result.plan.is_identity


def test_latency_goes_with_layers_first(dense, task):
    settings = CascadeSettings(order=("channels", "layers", "groups"))
    with pytest.raises(ConfigError, match="only when layers are removed first"):
        Cascade(settings).compress(dense, task, Budget(limits=(latency(dense, 2.4, layer_ms=0.2),)), None)


def test_a_shape_by_hand_must_keep_the_latency_too(dense, task):
    hand = HandAllocation(layers=3, heads=4, channels=40)
    settings = CascadeSettings(search=SearchSettings(hand=hand))
    with pytest.raises(PlanError, match=r"exceeds the budget: a latency of .* of at most 1\.2 ms"):
        Cascade(settings).compress(dense, task, Budget(limits=(latency(dense, 1.2, layer_ms=0.2),)), None)


@pytest.mark.parametrize("criterion", ["taylor", "magnitude", "activation", "random"])
def test_every_criterion_carries_a_cascade(trained, task, criterion):
    settings = CascadeSettings(search=SearchSettings(criterion=criterion, max_depths=1))
    result = Cascade(settings).compress(trained["gqa"], task, BUDGET, None)
    assert result.records[-1].after_recovery.parameters <= result.records[0].before.parameters / 2


def test_the_refit_brings_the_model_nearer_to_the_dense_one(trained, task):
    records = Cascade().compress(trained["mha"], task, Budget(ratio=1.8), None).records
    refitted = [record for record in records if record.refit]
    assert refitted
    assert sum(record.after_refit.kl for record in refitted) < sum(record.after_cut.kl for record in refitted)


def test_probe_steps_do_not_count_against_the_recovery(trained, task, recovery):
    settings = CascadeSettings(search=SearchSettings(probe_steps=2))
    result = Cascade(settings).compress(trained["mha"], task, BUDGET, replace(recovery, max_steps=4))
    assert result.samples_seen == 4 * recovery.batch_size
    assert len(result.records[0].decisions["probes"]) > 1
