"""Usable information: known answers, invariance, and the inequality that does not bind it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secateur.core.errors import DataError
from secateur.models.presets import build_preset
from secateur.sia.information import processing_violations, usable_information
from secateur.sia.pooled_states import pooled_states
from secateur.sia.softmax_probe import fit_probe, held_out, prior_probe

N_CLASSES = 4


def sides(make, n=400, seed=0):
    """Fitting and evaluation samples of ``make(labels, random)``, with even classes."""
    random = np.random.default_rng(seed)
    fit_labels, labels = (np.arange(n) % N_CLASSES for _ in range(2))
    return make(fit_labels, random), fit_labels, make(labels, random), labels


def one_hot(labels, random):
    return np.eye(N_CLASSES)[labels]


def noise(labels, random):
    return random.normal(size=(len(labels), 12))


def blurred(labels, random):
    signal = np.hstack([2 * np.eye(N_CLASSES)[labels], np.zeros((len(labels), 2))])
    return signal + random.normal(size=(len(labels), 6))


def test_a_state_that_is_the_class_holds_its_whole_entropy():
    found = usable_information("x", *sides(one_hot), n_classes=N_CLASSES)
    assert found.entropy == pytest.approx(np.log(N_CLASSES), abs=1e-9)
    assert found.nats == pytest.approx(np.log(N_CLASSES), abs=0.01)
    assert found.share == pytest.approx(1, abs=0.01)
    assert found.nats <= found.entropy


@pytest.mark.parametrize("seed", range(5))
def test_a_state_independent_of_the_class_holds_nothing(seed):
    found = usable_information("x", *sides(noise, seed=seed), n_classes=N_CLASSES, seed=seed)
    assert abs(found.nats) < 0.03
    assert found.interval[0] <= 0


def test_a_state_that_tells_one_bit_holds_one_bit():
    found = usable_information(
        "x", *sides(lambda labels, random: np.eye(2)[labels // 2]), n_classes=N_CLASSES
    )
    assert found.nats == pytest.approx(np.log(2), abs=0.01)
    assert found.share == pytest.approx(0.5, abs=0.01)


def test_two_gaussians_give_the_information_of_the_best_linear_rule():
    """Equal covariances: the true posterior is in V, so I_V is Shannon's, computed here by quadrature."""

    def make(labels, random):
        return 2.0 * (labels % 2)[:, None] - 1 + random.normal(size=(len(labels), 1))

    random = np.random.default_rng(0)
    fit_labels, labels = np.arange(4000) % 2, np.arange(4000) % 2
    found = usable_information(
        "x", make(fit_labels, random), fit_labels, make(labels, random), labels, n_classes=2
    )
    grid = np.linspace(-8, 10, 20001)
    first, second = (np.exp(-((grid - mean) ** 2) / 2) / np.sqrt(2 * np.pi) for mean in (-1, 1))
    share = first / (first + second)
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    expected = np.log(2) - np.trapezoid((first + second) / 2 * entropy, grid)
    assert found.interval[0] < expected < found.interval[1]
    assert found.nats == pytest.approx(expected, abs=0.03)


def test_the_estimate_is_unchanged_by_orthogonal_maps_shifts_and_scale():
    x, fit_labels, y, labels = sides(blurred)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    plain = usable_information("x", x, fit_labels, y, labels, n_classes=N_CLASSES)
    turned = usable_information(
        "x", 7 * (x @ turn) + 3, fit_labels, 7 * (y @ turn) + 3, labels, n_classes=N_CLASSES
    )
    assert 0.2 < plain.share < 0.9
    assert turned.nats == pytest.approx(plain.nats, abs=1e-3)
    assert turned.penalty == plain.penalty


def test_the_interval_is_wider_when_whole_specimens_are_drawn():
    x, fit_labels, y, labels = sides(blurred)
    # half of the specimens are unlike what the probe has seen
    specimens = [f"s{number // 50}" for number in range(len(labels))]
    y *= np.where(np.arange(len(labels)) // 50 % 2, 1.0, -1.0)[:, None]
    single = usable_information("x", x, fit_labels, y, labels, n_classes=N_CLASSES)
    whole = usable_information("x", x, fit_labels, y, labels, n_classes=N_CLASSES, clusters=specimens)
    assert np.ptp(whole.interval) > 1.5 * np.ptp(single.interval)


def test_what_processing_makes_usable_is_listed_and_a_loss_is_not():
    """XOR: the class is in the two coordinates, but no affine rule reads it; their product shows it."""
    random = np.random.default_rng(3)
    x, y = (random.choice([-1.0, 1.0], size=(400, 2)) for _ in range(2))
    fit_labels, labels = ((side.prod(axis=1) > 0).astype(int) for side in (x, y))

    def place(name, function):
        return usable_information(name, function(x), fit_labels, function(y), labels, n_classes=2)

    hidden = place("input", lambda side: side)
    shown = place("layer 0", lambda side: side.prod(axis=1, keepdims=True))
    lost = place("layer 1", lambda side: np.zeros((len(side), 1)))
    (found,) = processing_violations([hidden, shown, lost])
    assert (found.former, found.latter) == ("input", "layer 0")
    assert found.gain == pytest.approx(np.log(2), abs=0.05)
    assert found.interval[0] > 0
    assert "from input to layer 0" in found.why


def test_a_random_step_between_equal_states_is_no_violation():
    x, fit_labels, y, labels = sides(blurred)
    one = usable_information("input", x, fit_labels, y, labels, n_classes=N_CLASSES)
    assert processing_violations([one, one]) == ()


def test_held_out_groups_are_whole_and_every_class_stays_on_both_sides():
    labels = np.repeat([0, 1, 2], 30)
    groups = [f"r{label}-{number % 3}" for label in (0, 1, 2) for number in range(30)]
    held = held_out(labels, groups, seed=4)
    assert {groups[row] for row in np.flatnonzero(held)}.isdisjoint(
        groups[row] for row in np.flatnonzero(~held)
    )
    assert set(labels[held]) == set(labels[~held]) == {0, 1, 2}
    # one recording a class: its windows are divided
    lonely = held_out(labels, [f"r{label}" for label in labels], seed=4)
    assert set(labels[lonely]) == set(labels[~lonely]) == {0, 1, 2}


def test_the_probe_solves_its_problem():
    """The gradient of the penalised loss vanishes; checked against finite differences of the loss."""
    x, labels, *_ = sides(blurred, n=60)
    probe = fit_probe(x, labels, N_CLASSES, penalties=(0.1,))
    assert probe.penalty == 0.1

    def value(weights):
        logits = (x - probe.centre) / probe.scale @ weights + probe.bias
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return -logs[np.arange(len(labels)), labels].mean() + 0.05 * (weights**2).sum()

    best = value(probe.weights)
    for entry in np.ndindex(probe.weights.shape):
        for step in (-0.05, 0.05):
            moved = probe.weights.copy()
            moved[entry] += step
            assert value(moved) > best


def test_a_class_never_seen_gets_a_share():
    shares = np.exp(prior_probe(np.array([0, 0, 1]), 3, 2).bias)
    assert shares == pytest.approx([3 / 6, 2 / 6, 1 / 6])


def test_labels_that_do_not_fit_are_refused():
    x, fit_labels, y, labels = sides(one_hot, n=8)
    with pytest.raises(DataError, match="at least one"):
        usable_information("x", x, fit_labels, y, labels[:3], n_classes=N_CLASSES)
    with pytest.raises(DataError, match="labelled 0 to 2"):
        usable_information("x", x, fit_labels, y, labels, n_classes=3)


@pytest.mark.parametrize("name", ["nano-mha", "nano-gqa"])
def test_pooled_states_are_those_that_the_model_computes(name):
    torch.manual_seed(0)
    model = build_preset(name, classes=("normal", "ball"), sampling_rate_hz=12_000.0)
    batch = {
        "waveform": torch.randn(3, model.config.window_length),
        "shaft_rate_hz": torch.full((3,), 30.0),
        "fault_orders": torch.tensor([[3.6, 5.4, 4.7, 0.4]]).repeat(3, 1),
        "label": torch.zeros(3, dtype=torch.long),
    }
    model.train()
    found = pooled_states(model, [batch, batch])
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert found.places == ("input", "layer 0", "layer 1", "head")
    assert all(state.shape == (6, 32) for state in found.states)
    model.eval()
    with torch.no_grad():
        tokens = model.front_end(*(batch[key] for key in ("waveform", "shaft_rate_hz", "fault_orders")))
        outcome = model.backbone(inputs_embeds=tokens, use_cache=False, output_hidden_states=True)
        logits = model(*(batch[key] for key in ("waveform", "shaft_rate_hz", "fault_orders")))
    inner = outcome.hidden_states[1].mean(dim=1)
    np.testing.assert_allclose(found.states[1][:3], inner.numpy(), atol=1e-5)
    read = torch.from_numpy(found.states[-1][3:]).float()
    np.testing.assert_allclose(model.head(read).detach().numpy(), logits.numpy(), atol=1e-4)
