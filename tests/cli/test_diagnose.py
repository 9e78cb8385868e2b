"""What ``secateur diagnose`` says in words beside an answer."""

from __future__ import annotations

import numpy as np
import pytest

from abstaining import THRESHOLDS, manifest
from secateur.cli.diagnose import _judgement_sentences
from secateur.edge.judgement import judge
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.evidence import gather_evidence


@pytest.mark.parametrize(("place", "told"), [(3, True), (0, False)])
def test_a_ball_that_no_line_bears_out_is_told_with_what_knocks_like_one(place, told):
    noise = np.random.default_rng(1).standard_normal(48_000)
    silent = gather_evidence(
        noise, sampling_rate_hz=12_000.0, shaft_rate_hz=29.5, fault_orders=known_bearing("6205")
    )
    bundle, probabilities = manifest(THRESHOLDS), np.eye(4)[place]
    judgement = judge(probabilities, 3.0, bundle, evidence=silent)
    assert judgement.answer is not None
    result = {
        "judgement": judgement.to_record(),
        "verdict": None,
        "mean_probabilities": dict(zip(bundle.labels, probabilities.tolist(), strict=True)),
    }
    assert any("cavitation" in sentence for sentence in _judgement_sentences(result)) == told
