"""Padding never counts as data: scores and re-fits do not depend on batches or columns of padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secateur.blockwise.refit import refit
from secateur.models.binding import bind
from secateur.models.calls import real_tokens, run, token_mask
from secateur.scoring.registered import CRITERIA
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from secateur.tasks import precision
from zoo import VOCABULARY, ZOO

NAMES = ("gpt2", "llama", "gemma3", "opt", "falcon_mha_alibi", "bert", "roberta")
SPECIMENS = [specimen for specimen in ZOO if specimen.name in NAMES]
LAYOUTS = {
    "one by one": {"at_once": 1},
    "eight at once": {"at_once": 8},
    "wide": {"at_once": 32, "extra": 30},
    "left": {"at_once": 8, "extra": 30, "left": True},
}


@pytest.fixture(autouse=True)
def _exact(monkeypatch):
    monkeypatch.setattr(precision, "resolve_precision", lambda *_: "fp32")


def sentences(specimen, at_once, extra=0, left=False):
    """Thirty-two sentences of 2 to 12 tokens, in padded batches."""
    draw = np.random.default_rng(3)
    rows = [draw.integers(4, VOCABULARY, size=draw.integers(2, 13)) for _ in range(32)]
    padding = int(specimen.build().config.get_text_config().pad_token_id or 0)
    for start in range(0, 32, at_once):
        part = rows[start : start + at_once]
        width = max(map(len, part)) + extra
        ids = torch.full((len(part), width), padding)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(part):
            places = slice(width - len(row), width) if left else slice(0, len(row))
            ids[number, places], mask[number, places] = torch.from_numpy(row), 1
        yield {"input_ids": ids, "attention_mask": mask}


def plan_of(model):
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    return plan.with_channels(0, range(0, 12, 2)).with_channels(1, range(8))


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_real_tokens_are_seen_alike_wherever_the_padding_stands(specimen):
    model = specimen.build()
    seen = {}
    for name, layout in LAYOUTS.items():
        found = []
        with torch.no_grad():
            for batch in sentences(specimen, **layout):
                found.append(real_tokens(run(model, batch).logits, token_mask(batch)))
        seen[name] = torch.cat(found)
    for name, found in seen.items():
        torch.testing.assert_close(found, seen["one by one"], rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.parametrize("criterion", ["activation", "surgeon", "taylor"])
@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_scores_do_not_depend_on_padding(specimen, criterion):
    model = specimen.build()
    found = {}
    for name, layout in LAYOUTS.items():
        scores = CRITERIA.get(criterion)().score(model, bind(model), sentences(specimen, **layout), seed=0)
        found[name] = np.concatenate([*scores.groups, *scores.channels])
    for name, scores in found.items():
        np.testing.assert_allclose(scores, found["one by one"], rtol=2e-3, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_a_refit_does_not_depend_on_padding(specimen):
    model = specimen.build()
    plan, found = plan_of(model), {}
    for name, layout in LAYOUTS.items():
        cut = apply(model, plan)
        report = refit(cut, plan, model, tuple(sentences(specimen, **layout)), ridges=(3.0,), target="stream")
        assert report.windows == 32
        assert report.adopted > 0
        found[name] = torch.cat([bind(cut).layers[at].role_weight("down").flatten() for at in (0, 1)])
    for name, weights in found.items():
        torch.testing.assert_close(weights, found["one by one"], rtol=1e-3, atol=1e-4, msg=name)
