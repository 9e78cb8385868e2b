"""What `secateur diagnose` says beside its answer."""

from __future__ import annotations

import pytest

from secateur.cli.diagnose import _judgement_sentences


def told(probabilities: dict[str, float]) -> list[str]:
    judgement = {
        "label": "ball",
        "answer": "ball",
        "confidence": 0.88,
        "reasons": [],
        "unlike_healthy": None,
        "evidence": {"lines": {}},
        "rule": {"label": None, "reason": "a line stands out a little"},
    }
    return _judgement_sentences(
        {"judgement": judgement, "verdict": None, "mean_probabilities": probabilities, "label": "ball"}
    )


@pytest.mark.parametrize(("inner", "explained"), [(0.56, True), (0.2, False)])
def test_a_ball_behind_a_race_without_lines_is_explained(inner, explained):
    sentences = told({"normal": 0.05, "inner_race": inner, "outer_race": 0.01, "ball": 0.38})
    said = (
        "a damaged inner race would show its lines, and hardly one is there; of what is left a ball has 88 %"
    )
    assert (said in sentences) == explained
    assert any("cavitation" in sentence for sentence in sentences)
