"""Elimination of units against least squares worked out directly."""

from __future__ import annotations

import pytest
import torch

from secateur.scoring import elimination
from secateur.scoring.elimination import elimination_costs


def problem(n_units: int, width: int, outputs: int = 5, tokens: int = 400, seed: int = 0):
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(n_units * width, n_units * width, generator=draw, dtype=torch.float64)
    z = torch.randn(tokens, n_units * width, generator=draw, dtype=torch.float64) @ mix
    gradient = torch.randn(tokens, outputs, generator=draw, dtype=torch.float64)
    weight = torch.randn(outputs, n_units * width, generator=draw, dtype=torch.float64)
    return z.T @ z / tokens, gradient.T @ gradient / tokens, weight


def cost_of_leaving(covariance, sensitivity, weight, gone):
    """Smallest tr(G D A D^T) / 2 over changes D that take the columns ``gone`` out, by normal equations."""
    kept = [j for j in range(len(covariance)) if j not in gone]
    change = torch.zeros_like(weight)
    change[:, gone] = -weight[:, gone]
    # the minimum does not depend on an invertible G: D A[:, kept] = 0
    change[:, kept] = (
        weight[:, gone] @ covariance[gone][:, kept] @ torch.linalg.inv(covariance[kept][:, kept])
    )
    return float((sensitivity @ change @ covariance * change).sum() / 2)


@pytest.mark.parametrize("width", [1, 3])
def test_costs_are_those_of_the_best_stand_in(width, monkeypatch):
    monkeypatch.setattr(elimination, "DAMPING", 0.0)
    covariance, sensitivity, weight = problem(6, width)
    costs = elimination_costs(covariance, sensitivity, weight, 6)
    order = costs.argsort().tolist()
    first = list(range(order[0] * width, order[0] * width + width))
    assert costs[order[0]] == pytest.approx(cost_of_leaving(covariance, sensitivity, weight, first))
    for unit in range(6):
        alone = list(range(unit * width, unit * width + width))
        assert cost_of_leaving(covariance, sensitivity, weight, alone) >= costs[order[0]] - 1e-9


def test_costs_of_one_after_the_other_add_up_to_the_cost_of_both(monkeypatch):
    monkeypatch.setattr(elimination, "DAMPING", 0.0)
    for seed in range(20):
        covariance, sensitivity, weight = problem(4, 1, seed=seed)
        costs = elimination_costs(covariance, sensitivity, weight, 4)
        one, two = costs.argsort().tolist()[:2]
        both = cost_of_leaving(covariance, sensitivity, weight, [one, two])
        if costs[two] > costs[one]:  # else the second was raised to the first
            assert both == pytest.approx(float(costs[one] + costs[two]))


def test_a_twin_is_free_until_the_other_twin_has_left():
    z = torch.randn(500, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z[:, 3] = z[:, 0]
    weight = torch.ones(2, 4, dtype=torch.float64)
    costs = elimination_costs(z.T @ z / 500, torch.eye(2, dtype=torch.float64), weight, 4)
    twins = sorted((float(costs[0]), float(costs[3])))
    assert twins[0] < 0.05
    # the other carries the weight of both: (1 + 1)^2 * E[z^2] * 2 outputs / 2, against 1 for the rest
    assert twins[1] == pytest.approx(4, rel=0.15)
    assert float(costs[1]) == pytest.approx(1, rel=0.15)


def test_uncorrelated_inputs_cost_their_own_energy(monkeypatch):
    monkeypatch.setattr(elimination, "DAMPING", 0.0)
    sensitivity = torch.diag(torch.tensor([2.0, 1.0], dtype=torch.float64))
    covariance = torch.diag(torch.tensor([1.0, 4.0, 0.25], dtype=torch.float64))
    weight = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 2.0]], dtype=torch.float64)
    costs = elimination_costs(covariance, sensitivity, weight, 3)
    expected = [1.0, 2.0, (2 * 4 + 4) * 0.25 / 2]
    assert costs.tolist() == pytest.approx(expected)


def test_permuting_units_permutes_costs():
    covariance, sensitivity, weight = problem(8, 2)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(3))
    columns = (order[:, None] * 2 + torch.arange(2)).flatten()
    before = elimination_costs(covariance, sensitivity, weight, 8)
    after = elimination_costs(covariance[columns][:, columns], sensitivity, weight[:, columns], 8)
    assert after.tolist() == pytest.approx(before[order].tolist())


def test_many_units_leave_in_steps(monkeypatch):
    covariance, sensitivity, weight = problem(40, 1, outputs=7)
    one_by_one = elimination_costs(covariance, sensitivity, weight, 40)
    monkeypatch.setattr(elimination, "STEPS", 10)
    in_steps = elimination_costs(covariance, sensitivity, weight, 40)
    assert (in_steps > 0).all()
    cheapest = set(one_by_one.argsort().tolist()[:20])
    assert len(cheapest & set(in_steps.argsort().tolist()[:20])) >= 15
