"""Stages, resumption, the accuracy floor, allocation by hand and other orders."""

from __future__ import annotations

from dataclasses import replace

import pytest

from secateur.core.errors import CheckpointError, ConfigError, PlanError
from secateur.methods import cascade as cascade_module
from secateur.methods.cascade import Cascade
from secateur.methods.settings import CascadeSettings, HandAllocation, SearchSettings
from secateur.methods.stage import Workbench
from secateur.models.binding import bind
from secateur.structure.budget import Budget
from secateur.training.state import digest

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
    settings = CascadeSettings(min_accuracy=0.6, search=SearchSettings(max_depths=1))
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
        Cascade(CascadeSettings(min_accuracy=0.99)).compress(untrained, task, BUDGET, recovery)


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


@pytest.mark.parametrize("order", [("channels", "groups", "layers"), ("groups", "layers", "channels")])
def test_other_orders_meet_the_budget_too(trained, task, order):
    dense = trained["mha"]
    result = Cascade(CascadeSettings(order=order)).compress(dense, task, BUDGET, None)
    assert [record.stage for record in result.records] == list(order)
    assert result.records[-1].after_recovery.parameters <= result.records[0].before.parameters / 2


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
