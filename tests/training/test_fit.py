from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from secateur.core.errors import CheckpointError, ConfigError, DataError, SecateurError
from secateur.training.augment import NO_AUGMENTATION, Augmentation
from secateur.training.evaluate import predict
from secateur.training.fit import fit
from secateur.training.loop import is_better, learning_rate_at, make_optimizer, run_loop
from secateur.training.processes import Processes
from secateur.training.settings import FitSettings
from secateur.training.window_data import WindowData

SETTINGS = FitSettings(
    max_steps=24,
    batch_size=12,
    learning_rate=1e-2,
    warmup_steps=4,
    precision="fp32",
    evaluate_every=5,
    checkpoint_every=7,
    patience=20,
    augmentation=Augmentation(snr_db=(0.0, 20.0)),
)


def assert_same_weights(one, other):
    for (name, a), (_, b) in zip(one.state_dict().items(), other.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


def test_tones_are_learnt_and_the_record_is_true(spectrum_net, train, validation):
    settings = replace(SETTINGS, max_steps=60)
    result = fit(spectrum_net, train, validation, settings)
    logits = predict(spectrum_net, validation)
    assert (logits.argmax(axis=1) == validation.labels).mean() == 1.0
    assert not spectrum_net.training
    assert result.steps == 60
    assert result.samples_seen == 60 * 12
    assert result.precision == "fp32"
    assert [row["step"] for row in result.history] == list(range(5, 61, 5))
    best = max(result.history, key=lambda row: (row["validation_macro_f1"], -row["validation_loss"]))
    assert result.best_step == best["step"]
    assert result.validation_macro_f1 == best["validation_macro_f1"]


def test_one_seed_one_result(spectrum_net, train, validation):
    torch.manual_seed(1)
    again, other = copy.deepcopy(spectrum_net), copy.deepcopy(spectrum_net)
    fit(spectrum_net, train, validation, SETTINGS)
    torch.manual_seed(2)
    fit(again, train, validation, SETTINGS)
    fit(other, train, validation, replace(SETTINGS, seed=1))
    assert_same_weights(spectrum_net, again)
    assert not torch.equal(spectrum_net.inner.weight, other.inner.weight)


def test_the_callers_random_state_is_left_alone(spectrum_net, train, validation):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(spectrum_net, train, validation, replace(SETTINGS, max_steps=2))
    assert torch.equal(torch.rand(3), expected)


def interrupted(objective, at):
    calls = 0

    def objective_until(model, batch):
        nonlocal calls
        calls += 1
        if calls > at:
            raise KeyboardInterrupt
        return objective(model, batch)

    return objective_until


def cross_entropy(model, batch):
    logits = model(batch["waveform"], batch["shaft_rate_hz"], batch["fault_orders"])
    return functional.cross_entropy(logits, batch["label"])


@pytest.mark.parametrize("at", [3, 7, 16])
def test_resumed_run_equals_the_uninterrupted_one(spectrum_net, train, validation, tmp_path, at):
    whole, broken, resumed = (copy.deepcopy(spectrum_net) for _ in range(3))
    expected = run_loop(whole, cross_entropy, WindowData(train, validation, SETTINGS), SETTINGS)
    out = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        run_loop(
            broken, interrupted(cross_entropy, at), WindowData(train, validation, SETTINGS), SETTINGS, out=out
        )
    calls = []

    def counted(model, batch):
        calls.append(1)
        return cross_entropy(model, batch)

    result = run_loop(resumed, counted, WindowData(train, validation, SETTINGS), SETTINGS, out=out)
    assert len(calls) == SETTINGS.max_steps - at // 7 * 7
    assert_same_weights(whole, resumed)
    assert replace(result, seconds=0.0) == replace(expected, seconds=0.0)

    # A finished run is not run again.
    third = copy.deepcopy(spectrum_net)
    result = run_loop(
        third, interrupted(cross_entropy, 0), WindowData(train, validation, SETTINGS), SETTINGS, out=out
    )
    assert_same_weights(whole, third)
    assert replace(result, seconds=0.0) == replace(expected, seconds=0.0)
    assert sorted(path.name for path in out.iterdir()) == ["state-end.safetensors", "state.json"]


def test_a_state_of_another_run_is_refused(spectrum_net, train, validation, tmp_path):
    fit(copy.deepcopy(spectrum_net), train, validation, replace(SETTINGS, max_steps=3), tmp_path)
    with pytest.raises(CheckpointError, match="settings"):
        fit(copy.deepcopy(spectrum_net), train, validation, replace(SETTINGS, max_steps=4), tmp_path)
    with torch.no_grad():
        spectrum_net.inner.bias += 1
    with pytest.raises(CheckpointError, match="initial_weights"):
        fit(spectrum_net, train, validation, replace(SETTINGS, max_steps=3), tmp_path)


@pytest.mark.parametrize("damage", ["cut", "missing", "index"])
def test_a_damaged_state_is_refused(spectrum_net, train, validation, tmp_path, damage):
    settings = replace(SETTINGS, max_steps=3)
    fit(copy.deepcopy(spectrum_net), train, validation, settings, tmp_path)
    tensors, index = tmp_path / "state-end.safetensors", tmp_path / "state.json"
    if damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-8])
    elif damage == "missing":
        tensors.unlink()
    else:
        index.write_text(index.read_text()[:40])
    with pytest.raises(CheckpointError, match=r"damaged|not valid JSON"):
        fit(spectrum_net, train, validation, settings, tmp_path)


def test_patience_stops_and_the_best_weights_stay(spectrum_net, train, validation):
    looks = []

    def harmful(model, batch):
        looks.append({name: p.detach().clone() for name, p in model.named_parameters()})
        return -cross_entropy(model, batch).clamp(max=50)

    settings = replace(SETTINGS, max_steps=200, evaluate_every=1, patience=3, monitor="loss", warmup_steps=0)
    result = run_loop(spectrum_net, harmful, WindowData(train, validation, settings), settings)
    assert result.stopped_early
    assert result.steps == result.best_step + 3
    # looks[k] are the weights after k steps.
    for name, parameter in spectrum_net.named_parameters():
        assert torch.equal(parameter, looks[result.best_step][name])


def test_frozen_parameters_stay(spectrum_net, train, validation):
    spectrum_net.inner.requires_grad_(False)
    before = spectrum_net.inner.weight.clone()
    fit(spectrum_net, train, validation, replace(SETTINGS, max_steps=4))
    assert torch.equal(spectrum_net.inner.weight, before)
    spectrum_net.requires_grad_(False)
    with pytest.raises(ConfigError, match="nothing to train"):
        fit(spectrum_net, train, validation, SETTINGS)


def test_loss_weighting_trains_the_rare_class(spectrum_net, train, validation):
    settings = replace(SETTINGS, balance="loss", max_steps=60)
    assert fit(spectrum_net, train, validation, settings).validation_macro_f1 > 0.9


def test_bf16_runs_where_asked_for(spectrum_net, train, validation):
    result = fit(spectrum_net, train, validation, replace(SETTINGS, precision="bf16", max_steps=40))
    assert result.precision == "bf16"
    assert result.validation_macro_f1 > 0.9
    assert {p.dtype for p in spectrum_net.parameters()} == {torch.float32}


def test_learning_rate_rises_then_falls_to_nothing():
    settings = FitSettings(max_steps=110, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate_at(step, settings) for step in range(110)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    assert rates[10] == 1.0
    assert rates[60] == pytest.approx(0.5)
    assert 0 < rates[-1] < 1e-3
    assert all(later < rate for rate, later in pairwise(rates[10:]))
    assert learning_rate_at(0, FitSettings(max_steps=1, learning_rate=0.5)) == 0.5


def test_a_run_shorter_than_its_warm_up_comes_to_rest_too():
    settings = FitSettings(max_steps=60, warmup_steps=100, learning_rate=1.0)
    rates = [learning_rate_at(step, settings) for step in range(60)]
    assert max(rates) == rates[15] == 1.0
    assert rates[-1] < 0.01


def test_vectors_do_not_decay(spectrum_net):
    groups = make_optimizer(spectrum_net, SETTINGS).param_groups
    decaying = {id(p) for group in groups if group["weight_decay"] > 0 for p in group["params"]}
    assert decaying == {id(spectrum_net.inner.weight), id(spectrum_net.outer.weight)}


def test_equal_macro_f1_is_settled_by_the_loss():
    best = {"macro_f1": 0.8, "loss": 0.5}
    assert is_better({"macro_f1": 0.8, "loss": 0.4}, best, "macro_f1")
    assert not is_better({"macro_f1": 0.7, "loss": 0.1}, best, "macro_f1")
    assert is_better({"macro_f1": 0.7, "loss": 0.1}, best, "loss")


def test_agreement_without_labels_is_not_bought_with_labelled_windows():
    start = {"macro_f1": 1.0, "loss": 0.6, "labelled_loss": 0.05}
    dearer, as_good = {"labelled_loss": 0.06}, {"labelled_loss": 0.05}
    better = {"macro_f1": 1.0, "loss": 0.4}
    for monitor in ("macro_f1", "loss"):
        assert not is_better(better | dearer, start, monitor, start)
        assert is_better(better | as_good, start, monitor, start)
        assert is_better(better | dearer, start, monitor)


def test_a_model_that_is_good_already_is_judged_on_clean_windows_too(spectrum_net, train, validation):
    loud = replace(SETTINGS, augmentation=Augmentation(noise_probability=1.0, snr_db=(-30.0, -30.0)))
    fit(spectrum_net, train, validation, replace(SETTINGS, max_steps=40))
    processes = Processes()
    varied, both = (
        WindowData(train, validation, loud, clean_too=clean_too).figures(spectrum_net, processes, "fp32")
        for clean_too in (False, True)
    )
    quiet = replace(SETTINGS, augmentation=NO_AUGMENTATION)
    clean = WindowData(train, validation, quiet).figures(spectrum_net, processes, "fp32")
    assert clean["loss"] < varied["loss"]
    assert both["loss"] == pytest.approx((clean["loss"] + varied["loss"]) / 2)


def too_fast(train, validation):
    """Settings under which a model that is good already gets worse at first."""
    return replace(SETTINGS, max_steps=40, learning_rate=3.0, warmup_steps=0, monitor="loss"), {
        "data": WindowData(train, validation, SETTINGS, clean_too=True),
        "start_counts": True,
    }


def test_steps_that_harm_a_good_model_are_taken_back_and_made_smaller(spectrum_net, train, validation):
    fit(spectrum_net, train, validation, replace(SETTINGS, max_steps=20))
    settings, options = too_fast(train, validation)
    result = run_loop(spectrum_net, cross_entropy, settings=settings, **options)
    start, *later = result.history
    worse = [row["validation_loss"] > start["validation_loss"] for row in later]
    assert worse[0], "three a step is too fast"
    assert result.best_step > 0
    asked = [learning_rate_at(row["step"] - 1, settings) for row in later]
    thirds = [round(math.log(rate / row["learning_rate"], 3)) for rate, row in zip(asked, later, strict=True)]
    assert thirds[:2] == [0, 1]
    assert all(after - before in (0, 1) for before, after in pairwise(thirds))
    assert thirds[-1] == thirds[-2], "what helps is gone on with"


def test_a_run_that_began_again_goes_on_as_if_it_had_not_stopped(spectrum_net, train, validation, tmp_path):
    fit(spectrum_net, train, validation, replace(SETTINGS, max_steps=20))
    settings, options = too_fast(train, validation)
    whole, resumed = copy.deepcopy(spectrum_net), copy.deepcopy(spectrum_net)
    run_loop(whole, cross_entropy, settings=settings, **options)
    with pytest.raises(KeyboardInterrupt):
        broken = interrupted(cross_entropy, 16)
        run_loop(spectrum_net, broken, settings=settings, out=tmp_path / "state", **options)
    run_loop(resumed, cross_entropy, settings=settings, out=tmp_path / "state", **options)
    assert_same_weights(whole, resumed)


def test_divergence_is_said(spectrum_net, train, validation):
    def infinite(model, batch):
        return cross_entropy(model, batch) * float("inf")

    with pytest.raises(SecateurError, match="diverged at step 0"):
        run_loop(spectrum_net, infinite, WindowData(train, validation, SETTINGS), SETTINGS)


def test_unlabelled_training_windows_are_refused(spectrum_net, tone_windows, validation):
    with pytest.raises(DataError, match="no label"):
        fit(spectrum_net, tone_windows([4, 4, 4], labels=(0, 1, -1)), validation, SETTINGS)


@pytest.mark.parametrize(
    "wrong", [{"max_steps": 0}, {"learning_rate": 0}, {"balance": "yes"}, {"label_smoothing": 1.0}]
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        FitSettings(**wrong)


def test_the_state_holds_no_pickle(spectrum_net, train, validation, tmp_path):
    fit(spectrum_net, train, validation, replace(SETTINGS, max_steps=2), tmp_path)
    assert json.loads((tmp_path / "state.json").read_text())["progress"]["finished"] is True
    assert (tmp_path / "state-end.safetensors").read_bytes()[8:9] == b"{"
