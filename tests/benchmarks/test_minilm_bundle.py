"""Figures of a cut sentence encoder: what stays of the dense embeddings, on vectors of known cosines."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "minilm_bundle.py"


@pytest.fixture(scope="module")
def judged():
    spec = importlib.util.spec_from_file_location("minilm_bundle", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.judged


def test_figures_of_embeddings_that_are_turned_mixed_up_or_the_same(judged):
    random = np.random.default_rng(0)
    dense = random.standard_normal((60, 16))
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    assert judged(dense, dense) == pytest.approx((1, 1, 1))
    turned = dense @ np.linalg.qr(random.standard_normal((16, 16)))[0]
    cosine, kept, ranks = judged(turned, dense)
    assert (kept, ranks) == pytest.approx((1, 1))
    assert cosine < 0.5
    _, kept, ranks = judged(random.permutation(dense), dense)
    # by chance 10 of 59 neighbours
    assert kept == pytest.approx(10 / 59, abs=0.05)
    assert ranks == pytest.approx(0, abs=0.05)
