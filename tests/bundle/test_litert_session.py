"""LiteRT's session with the device's package alone: neither torch nor the converter is needed."""

import numpy as np
import pytest

from secateur.bundle.litert_session import LiteRtSession
from secateur.core.errors import ExportError
from tiny_flatbuffer import linear_classifier

pytest.importorskip("ai_edge_litert", reason="the extra 'litert' is not installed")

WEIGHTS = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)


@pytest.mark.parametrize("stored", ["content", "file"])
@pytest.mark.parametrize("count", [1, 5])
def test_each_window_of_a_batch_gets_its_own_answer(stored, count, tmp_path):
    model = linear_classifier(WEIGHTS)
    if stored == "file":
        (tmp_path / "model.tflite").write_bytes(model)
        model = tmp_path / "model.tflite"
    waveform = np.random.default_rng(1).standard_normal((count, 8))
    logits, probabilities = LiteRtSession(model).run(
        {"waveform": waveform, "shaft_rate_hz": np.zeros(count), "fault_orders": np.zeros((count, 4))}
    )
    expected = waveform @ WEIGHTS.T
    assert logits.dtype == probabilities.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    powers = np.exp(expected)
    np.testing.assert_allclose(probabilities, powers / powers.sum(axis=1, keepdims=True), atol=1e-6)


def test_another_model_is_told_from_a_bundles():
    other = linear_classifier(WEIGHTS, inputs=("image", "shaft_rate_hz", "fault_orders"))
    with pytest.raises(ExportError, match=r"takes fault_orders, image, shaft_rate_hz.*takes waveform"):
        LiteRtSession(other)


@pytest.mark.parametrize("content", [b"", b"no flatbuffer", b"\x1c\0\0\0TFL3" + bytes(64)])
def test_the_session_says_what_it_cannot_load(content, tmp_path):
    (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(ExportError, match=r"LiteRT cannot load .*model\.tflite"):
        LiteRtSession(tmp_path / "model.tflite")
