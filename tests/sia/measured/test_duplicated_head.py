r"""A head copied, the output of both halved: what theory says of the interaction of the two copies.

Let the read-out be linear in the residual stream and t what the original head added. Each copy adds t / 2, so
without one the answer moves by -A t / 2, without both by -A t. Then

- for a figure that is linear in the answer D({i}) = D({j}) = c / 2 and D({i, j}) = c: I = 0. The copies of a
  head do not interact;
- for the squared distance to the dense answer (KL to second order) D({i}) = |A t|^2 / 8 and
  D({i, j}) = |A t|^2 / 2: I = |A t|^2 / 4, half of D({i, j}). Each copy covers for the other: the normalised
  interaction is 1/2.

Two heads whose outputs are orthogonal in the read-out have I = 0 in the second figure, too.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2Model

from secateur.sia.measured.estimators import interaction
from secateur.sia.measured.evaluation import Evaluator
from secateur.structure.units import Unit

WIDTH, HEADS = 16, 4
HEAD = WIDTH // HEADS


@pytest.fixture
def model() -> GPT2Model:
    """Head 1 of the last layer is a copy of head 0; behind it nothing but an identity."""
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=2, n_embd=WIDTH, n_head=HEADS, n_inner=8, vocab_size=61, n_positions=16,
        bos_token_id=None, eos_token_id=None, initializer_range=0.4,
    )  # fmt: skip
    model = GPT2Model(config).eval()
    last = model.h[-1]
    with torch.no_grad():
        for part in range(3):
            start = part * WIDTH
            last.attn.c_attn.weight[:, start + HEAD : start + 2 * HEAD] = last.attn.c_attn.weight[
                :, start : start + HEAD
            ]
            last.attn.c_attn.bias[start + HEAD : start + 2 * HEAD] = last.attn.c_attn.bias[
                start : start + HEAD
            ]
        halved = last.attn.c_proj.weight[:HEAD] / 2
        last.attn.c_proj.weight[:HEAD] = halved
        last.attn.c_proj.weight[HEAD : 2 * HEAD] = halved
        # head 2 writes to one half of the stream, head 3 to the other
        last.attn.c_proj.weight[2 * HEAD : 3 * HEAD, WIDTH // 2 :] = 0.0
        last.attn.c_proj.weight[3 * HEAD :, : WIDTH // 2] = 0.0
        last.mlp.c_proj.weight.zero_()
    model.ln_f = nn.Identity()
    return model


@pytest.fixture
def costs(model, make_token_batches):
    evaluator = Evaluator(model, make_token_batches())

    def distance(*heads: int) -> np.ndarray:
        return evaluator.cost([Unit(kind="group", layer=1, index=head) for head in heads])[1].mean(
            keepdims=True
        )[None]

    return distance


def normalised(costs, first: int, second: int) -> float:
    found = interaction(costs(first, second), costs(first), costs(second), np.ones((1, 1)))
    return float(found[2][0])


def test_copies_cover_for_each_other_by_half(costs):
    assert costs(0) == pytest.approx(costs(1), rel=1e-5)
    assert costs(0, 1) == pytest.approx(4 * costs(0), rel=1e-5)
    assert normalised(costs, 0, 1) == pytest.approx(0.5, abs=1e-5)


def test_heads_that_write_to_different_places_do_not_interact(costs):
    assert costs(2) > 0
    assert normalised(costs, 2, 3) == pytest.approx(0.0, abs=1e-5)


def test_in_a_linear_figure_copies_do_not_interact(model, make_token_batches):
    (batch,) = make_token_batches(n_batches=1)
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(2))

    def answer(*heads: int) -> float:
        evaluator = Evaluator(model, [batch])
        with torch.no_grad(), evaluator.without([Unit(kind="group", layer=1, index=head) for head in heads]):
            return float((model(**batch).last_hidden_state @ direction).mean())

    whole = answer()
    joint, first, second = (np.array([[answer(*heads) - whole]]) for heads in ((0, 1), (0,), (1,)))
    assert abs(joint) > 0.01
    mean, size, _ = interaction(joint, first, second, np.ones((1, 1)))
    assert mean[0] == pytest.approx(0.0, abs=1e-5)
    assert size[0] == pytest.approx(0.0, abs=1e-4)
