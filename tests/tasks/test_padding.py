"""Padding is no data: the same figures whatever the batches, and with thirty columns more."""

from __future__ import annotations

import pytest
import torch

from secateur.methods.compensation import mean_updates
from secateur.models.binding import bind
from secateur.scoring.criteria.surgeon import Surgeon
from secateur.scoring.criteria.taylor import Taylor
from secateur.scoring.objective import references_of, sample_losses
from secateur.surgery.apply import apply
from secateur.tasks import precision
from secateur.tasks.base import Yardstick
from token_tasks import CASES

RAGGED = [name for name, case in CASES.items() if case.ragged]


@pytest.fixture(params=RAGGED)
def case(request):
    return CASES[request.param]


@pytest.fixture(autouse=True)
def _exact(monkeypatch):
    monkeypatch.setattr(precision, "resolve_precision", lambda *_: "fp32")


def batched(case, size, more=0):
    """Return the same rows in batches of some size, with so many columns of padding more."""
    found = []
    for batch in case.rows(40, 1).batches(size):
        batch = dict(batch)
        for name, value in (("input_ids", 7), ("attention_mask", 0), ("labels", -100)):
            if name in batch:
                batch[name] = torch.nn.functional.pad(batch[name], (0, more), value=value)
        found.append(batch)
    return tuple(found)


WAYS = [(1, 0), (8, 0), (32, 0), (8, 30)]


@pytest.mark.parametrize("criterion", [Taylor, Surgeon])
def test_scores(case, criterion):
    model = case.model()
    found = [criterion().score(model, bind(model), batched(case, *way), seed=0) for way in WAYS]
    for other in found[1:]:
        for one, two in zip(found[0].groups + found[0].channels, other.groups + other.channels, strict=True):
            assert one == pytest.approx(two, rel=2e-3, abs=1e-7)


def test_losses_and_divergences(case):
    dense = case.model()
    cut = apply(dense, bind(dense).whole_plan.without_layers([1]))
    found = []
    for way in WAYS:
        batches = batched(case, *way)
        found.append(sample_losses(cut, batches, references_of(dense, batches)))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-6)
    assert found[0].min() > 0


def test_means_of_removed_layers(case):
    model = case.model()
    found = [mean_updates(model, [1], batched(case, *way))[1] for way in WAYS]
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-6)


def test_figures_of_a_model_beside_itself(case):
    dense, task = case.model(), case.task()
    figures = Yardstick(task, dense).measure(dense)
    assert figures.kl == pytest.approx(0, abs=1e-9)
    assert getattr(figures, "agreement", 1.0) == pytest.approx(1.0)


def test_the_figures_of_answers_are_those_of_the_answers_alone():
    case = CASES["llama-answers"]
    model, rows = case.model(), case.rows(6, 4)
    nats, count = 0.0, 0
    for row in rows.rows:
        with torch.no_grad():
            log_p = model(row[None]).logits[0].log_softmax(-1)
        for place in range(3, len(row)):
            nats -= float(log_p[place - 1, row[place]])
            count += 1
    batch = rows.take(range(6))
    objective = case.task().objective
    with torch.no_grad():
        figures = objective.figures(objective.tally(model, batch), parameters=1)
    assert figures.loss == pytest.approx(nats / count, rel=1e-5)
