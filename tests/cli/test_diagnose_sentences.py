"""What `secateur diagnose` says beside its answer."""

from __future__ import annotations

import pytest

from secateur.cli.diagnose import _judgement_sentences, _sentences_on_all


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


def test_of_several_recordings_reasons_are_counted_and_an_unfit_model_is_told():
    verdict = {"fit_for_use": False, "reasons": ["the model is near chance: 25.0 % right"]}

    def entry(name, *reasons, doubts=()):
        judged = {"judgement": {"reasons": list(reasons)}, "doubts": list(doubts), "verdict": verdict}
        return {"recording": name, "label": "normal", "layout": "jnu" if name == "d" else None, **judged}

    entries = [
        {"recording": "broken", "label": None, "error": "is empty"},
        entry("a", "the model is not sure: ball 41 %, needed 80 %"),
        entry("b", "the model is not sure: ball 42 %, needed 80 %", doubts=["clipped"]),
        entry("c", "the model says normal, the fault lines say ball (BSF2 15 dB)"),
        entry("d"),
    ]
    assert _sentences_on_all(entries) == [
        "cannot say of 2: the model is not sure",
        "cannot say of 1: the model says normal, the fault lines say ball",
        "1 recording read by the layout jnu",
        "doubtful are 1; the first, b: clipped",
        "this model is not fit for use: the model is near chance: 25.0 % right",
    ]
