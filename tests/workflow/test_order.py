"""A comparison of orders on a tiny rig: complete, equal in budget, resumable."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from even_shapes import even_shape
from secateur.core.errors import ConfigError, PlanError
from secateur.core.progress import quiet
from secateur.core.records import read_json
from secateur.methods.settings import HandAllocation, SearchSettings
from secateur.recovery.settings import RecoverySettings
from secateur.scoring.layers import LayerRanking
from secateur.scoring.scores import Scores
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.training.settings import FitSettings
from secateur.workflow import order
from secateur.workflow.claim import claim
from secateur.workflow.order import compare_orders
from secateur.workflow.order_settings import ARMS, COARSE_TO_FINE, ORDERS, OrderSettings
from secateur.workflow.order_staleness import calibration_halves, matched_cuts
from secateur.workflow.order_summary import summarise
from secateur.workflow.settings import TaskSettings


@pytest.fixture(scope="module")
def order_settings(small_rig):
    return OrderSettings(
        task=TaskSettings(data=str(small_rig), split="fault_size:14"),
        backbone="nano-gqa",
        ratio=1.4,
        n_seeds=1,
        fit=FitSettings(max_steps=20, batch_size=8),
        search=SearchSettings(probe_steps=0, max_depths=1, ranking_samples=16),
        recovery=RecoverySettings(max_steps=4, batch_size=4),
        snr_curve_db=(0.0, 10.0),
        probe_windows=60,
    )


@pytest.fixture(scope="module")
def order_run(order_settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("orders") / "run"
    with quiet():
        compare_orders(order_settings, folder)
    return folder


@pytest.mark.slow
def test_every_arm_gets_the_same_recovery_and_comes_to_the_same_size(order_run, order_settings):
    (seed,) = read_json(order_run / "result.json")["seeds"]
    arms = seed["arms"]
    assert tuple(arms) == ARMS
    assert {arm["recovery_steps"] for arm in arms.values()} == {4}
    assert {arm["samples_seen"] for arm in arms.values()} == {16}
    cut = [arms[name] for name in (*ORDERS, "joint")]
    assert all(order_settings.ratio <= arm["ratio"] < 1.1 * order_settings.ratio for arm in cut)
    assert arms["dense"]["ratio"] == 1
    for name, order_ in ORDERS.items():
        assert [stage["stage"] for stage in arms[name]["stages"]] == list(order_)
    reference = seed["reference"]
    assert reference["kl"] == 0
    assert reference["agreement"] == 1
    for arm in (*arms.values(), reference):
        assert [point["snr_db"] for point in arm["curve"]] == [0.0, 10.0]
        assert arm["accuracy"] == pytest.approx(np.mean([point["accuracy"] for point in arm["curve"]]))


@pytest.mark.slow
def test_staleness_is_of_cuts_of_one_size_and_information_of_every_stage(order_run):
    (seed,) = read_json(order_run / "result.json")["seeds"]
    matched = [row for row in seed["staleness"] if row["how"] == "matched"]
    assert {(row["stage"], row["of"]) for row in matched} == {
        (stage, of) for stage in ("layers", "groups", "channels") for of in ("layer", "group", "channel")
    }
    for row in matched:
        assert [kind for kind, removed in row["removed"].items() if removed] == [row["stage"]]
        assert row["value"] is None or 0 <= row["value"] <= 2
    # two layers are too few to rank once one of them is gone
    assert next(row for row in matched if (row["stage"], row["of"]) == ("layers", "layer"))["value"] is None
    models = seed["information"]
    assert [model["model"] for model in models] == ["dense", "layers", "groups", "channels"]
    assert [place["place"] for place in models[0]["places"]] == ["input", "layer 0", "layer 1", "head"]
    for model in models:
        for place in model["places"]:
            assert place["usable"]["nats"] <= place["usable"]["entropy"]
            assert place["kernel"]["cka"] <= 1


@pytest.mark.slow
def test_a_run_goes_on_from_what_is_there_and_says_the_same(order_run, order_settings, tmp_path, monkeypatch):
    out = shutil.copytree(order_run, tmp_path / "run")
    complete = read_json(out / "result.json")
    gone = ("channels-groups-layers", "joint")
    for name in gone:
        (out / "seed-0" / f"{name}.json").unlink()
    (out / "result.json").unlink()
    ran = []
    run_arm = order.run_arm

    def watched(name, *rest):
        ran.append(name)
        return run_arm(name, *rest)

    monkeypatch.setattr(order, "run_arm", watched)
    with quiet():
        again = compare_orders(order_settings, out)
    assert ran == list(gone)

    def timeless(value):
        if isinstance(value, dict):
            return {
                key: timeless(entry) for key, entry in value.items() if key not in ("seconds", "provenance")
            }
        return [timeless(entry) for entry in value] if isinstance(value, list) else value

    assert timeless(again) == timeless(complete)
    left, expected = ({path.relative_to(folder) for path in folder.rglob("*")} for folder in (out, order_run))
    assert left == expected
    # a third time nothing is left to do
    ran.clear()
    with quiet():
        assert compare_orders(order_settings, out) == again
    assert ran == []


@pytest.mark.slow
def test_other_settings_are_refused_but_more_seeds_are_not(order_run, order_settings, monkeypatch):
    with pytest.raises(ConfigError, match=r"ratio: 1\.4 there, 1\.3 asked for"):
        compare_orders(replace(order_settings, ratio=1.3), order_run)
    monkeypatch.setattr(order, "_run_seed", lambda *_: pytest.fail("measured"))
    with pytest.raises(pytest.fail.Exception):
        compare_orders(replace(order_settings, n_seeds=2), order_run)


@pytest.mark.slow
def test_pictures_are_drawn_in_both_forms(order_run):
    names = {path.name for path in (order_run / "pictures").iterdir()}
    assert names == {
        f"{name}.{end}" for name in ("orders", "staleness", "information") for end in ("png", "svg")
    }
    assert (order_run / "pictures/orders.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (order_run / "pictures/orders.svg").read_text()


def arm(accuracy, **more):
    figures = {"accuracy": accuracy, "macro_f1": accuracy, "kl": 1 - accuracy, "agreement": accuracy}
    return {
        "failed": None,
        **figures,
        "parameters": 100,
        "curve": [{"snr_db": 0.0, **figures}],
        **more,
    }


def made_up_seed(seed, **changes):
    """Figures of one seed: orders alike but for what is changed, channels staler than layers."""
    arms = {name: arm(0.8 + 0.01 * seed) for name in ARMS} | changes
    cells = {("layers", "channel"): 0.5 + 0.01 * seed, ("channels", "layer"): 0.2}
    return {
        "seed": seed,
        "reference": arm(0.9),
        "arms": arms,
        "staleness": [
            {"how": "matched", "stage": stage, "of": of, "value": value, "noise": 0.1, "beyond_noise": None}
            for (stage, of), value in cells.items()
        ],
        "information": [
            {
                "model": name,
                "places": [
                    {"usable": {"share": share + 0.1 * seed}, "kernel": {"cka": share / 2}}
                    for share in (0.1, 0.9, head)
                ],
                "usable_violations": [{"gain": head}],
                "kernel_violations": [],
            }
            for name, head in (("dense", 0.8), ("layers", 0.6))
        ],
    }


def test_the_summary_compares_with_coarse_to_fine_seed_by_seed():
    seeds = [made_up_seed(seed, joint=arm(0.7 + 0.01 * seed + 0.001 * seed**2)) for seed in range(4)]
    summary = summarise(seeds)
    tests = {test["name"]: test for test in summary["tests"]["accuracy"]}
    assert set(tests) == {*ARMS} - {COARSE_TO_FINE, "dense"}
    assert tests["joint"]["difference"] == pytest.approx(-0.1 + 0.001 * (0 + 1 + 4 + 9) / 4)
    assert tests["joint"]["exact_p_value"] == pytest.approx(2 / 16)
    assert tests["layers-channels-groups"]["t_p_holm"] == 1
    assert summary["arms"]["joint"]["kl"]["mean"] == pytest.approx(
        1 - summary["arms"]["joint"]["accuracy"]["mean"]
    )
    (cell,) = (cell for cell in summary["staleness"]["matched"] if cell["stage"] == "layers")
    assert cell["mean"] == pytest.approx(0.515)
    (pair,) = summary["asymmetry"]["matched"]
    assert (pair["finer"], pair["coarser"]) == ("channel", "layer")
    assert pair["test"]["difference"] == pytest.approx(0.315)
    assert summary["asymmetry"]["cascade"] == []
    dense, layers = summary["information"]
    assert dense["head"]["mean"] - layers["head"]["mean"] == pytest.approx(0.2)
    assert dense["peak"]["mean"] == pytest.approx(0.9 + 0.15)
    assert summary["violations"] == {
        "usable": {"steps": 16, "violations": 8, "largest": {"model": "dense", "gain": 0.8}},
        "kernel": {"steps": 16, "violations": 0, "largest": None},
    }


def test_an_order_that_cannot_meet_the_budget_is_told_and_left_out():
    failed = {"name": "joint", "failed": "out of reach"}
    summary = summarise([made_up_seed(0), made_up_seed(1, joint=failed)])
    assert summary["failed"] == {"joint": "out of reach"}
    assert "joint" not in summary["arms"]
    # what one seed has is still compared on that seed
    (test,) = (test for test in summary["tests"]["kl"] if test["name"] == "joint")
    assert test["n_seeds"] == 1


@pytest.mark.parametrize(("groups", "layers"), [(2, 1), (4, 1), (8, 2)])
def test_matched_cuts_take_one_kind_each_and_come_to_one_size(groups, layers):
    shape = even_shape(6, hidden=64, heads=8, groups=groups, channels=128, other=5000)
    random = np.random.default_rng(0)
    scores = Scores(
        groups=tuple(random.random(groups) for _ in range(6)),
        channels=tuple(random.random(128) for _ in range(6)),
        comparable=True,
    )
    asked = []

    def rank_layers(_, n_removed):
        asked.append(n_removed)
        return LayerRanking(order=(3, 1, 0)[:n_removed], losses=(), single_increases=())

    bench = SimpleNamespace(
        identity=PruningPlan.identity("llama", shape),
        dense=None,
        rank_layers=rank_layers,
        score=lambda _: scores,
    )
    cuts = matched_cuts(bench)
    assert asked == [layers]
    assert set(cuts["layers"].removed_layers) == set((3, 1)[:layers])
    sizes = {stage: parameters(plan) for stage, plan in cuts.items()}
    assert 0.96 * sizes["layers"] <= sizes["channels"] <= sizes["layers"]
    if groups == 2:
        # half of the attention is less than a layer
        assert set(cuts["groups"].result.kv_groups_per_layer) == {1}
    else:
        assert 0.96 * sizes["layers"] <= sizes["groups"] <= sizes["layers"]
    assert cuts["groups"].removed_layers == cuts["channels"].removed_layers == ()
    assert cuts["groups"].result.channels_per_layer == shape.channels_per_layer
    assert cuts["channels"].result.kv_groups_per_layer == shape.kv_groups_per_layer


@pytest.mark.parametrize(("n_classes", "n_windows", "size"), [(4, 64, 16), (3, 40, 7), (2, 8, 8)])
def test_calibration_halves_share_no_window_and_have_every_class(n_classes, n_windows, size):
    label = torch.arange(n_windows) % n_classes
    waveform = torch.arange(n_windows)[:, None].float()
    batches = tuple(
        {"waveform": waveform[first : first + size], "label": label[first : first + size]}
        for first in range(0, n_windows, size)
    )
    first, second = (
        torch.cat([batch["waveform"] for batch in half])[:, 0] for half in calibration_halves(batches)
    )
    assert sorted(torch.cat([first, second]).tolist()) == list(range(n_windows))
    for half in (first, second):
        assert set((half.long() % n_classes).tolist()) == set(range(n_classes))
    assert abs(len(first) - len(second)) <= n_classes


def test_wrong_settings_are_refused(small_rig):
    task = TaskSettings(data=str(small_rig), split="fault_size:14")
    with pytest.raises(ConfigError, match="at least 1 seed"):
        OrderSettings(task=task, n_seeds=0)
    with pytest.raises(ConfigError, match="add up to 1"):
        OrderSettings(task=task, recovery_shares=(0.5, 0.5, 0.5))
    hand = SearchSettings(hand=HandAllocation(layers=1, heads=1, channels=1))
    with pytest.raises(ConfigError, match="give a ratio"):
        OrderSettings(task=task, search=hand)


def test_a_ratio_out_of_reach_is_refused_before_anything_is_trained(order_settings, tmp_path):
    with pytest.raises(PlanError), quiet():
        compare_orders(replace(order_settings, ratio=1000.0), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_is_claimed_once_and_other_things_are_left_alone(tmp_path):
    claim(tmp_path / "run", {"a": {"b": 1}}, seed=0)
    claim(tmp_path / "run", {"a": {"b": 1}}, seed=0)
    with pytest.raises(ConfigError, match=r"a\.b: 1 there, 2 asked for"):
        claim(tmp_path / "run", {"a": {"b": 2}}, seed=0)
    with pytest.raises(ConfigError, match="begun by another version of secateur"):
        claim(tmp_path / "run", {"a": {"c": 1}}, seed=0)
    with pytest.raises(ConfigError, match=r"a: .* there, None asked for"):
        claim(tmp_path / "run", {"a": None}, seed=0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.json").write_text(json.dumps({}))
    with pytest.raises(ConfigError, match="no run folder"):
        claim(tmp_path / "mine", {}, seed=0)
