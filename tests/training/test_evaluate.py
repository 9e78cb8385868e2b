from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from secateur.core.errors import MeasurementError
from secateur.core.records import to_jsonable
from secateur.training.evaluate import evaluate, fidelity, judge, noisy, predict

CLASSES = ("normal", "inner_race", "ball")


class Loudest(nn.Module):
    """Calls the class whose tone is loudest: right on clean windows without any training."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.05))

    def forward(self, waveform, shaft_rate_hz, fault_orders):
        spectrum = torch.fft.rfft(waveform).abs()
        return self.scale * spectrum[:, [8, 20, 40]]


def test_prediction_does_not_depend_on_the_batch_and_leaves_the_mode(tone_windows):
    windows, model = tone_windows([5, 4, 3]), Loudest()
    model.train()
    whole = predict(model, windows, snr_db=0.0, seed=3)
    assert model.training
    assert whole.dtype == np.float32
    np.testing.assert_allclose(predict(model, windows, snr_db=0.0, seed=3, batch_size=5), whole, rtol=1e-5)
    assert not np.allclose(predict(model, windows, snr_db=0.0, seed=4), whole)
    assert not np.allclose(predict(model, windows, snr_db=None), whole)


def test_noise_belongs_to_the_window_and_has_its_ratio(tone_windows):
    waveforms = tone_windows([4, 4, 4], noise=0.0).take(range(12))["waveform"]
    result = noisy(waveforms, range(12), -3.0, seed=0)
    np.testing.assert_array_equal(result[5:8], noisy(waveforms[5:8], range(5, 8), -3.0, seed=0))
    # Undo the final scaling by least squares: what is not along the signal is noise off the signal.
    np.testing.assert_allclose((result**2).mean(axis=1), 1, rtol=1e-4)
    correlation = (result * waveforms).mean(axis=1)
    assert correlation.mean() == pytest.approx((1 + 10**0.3) ** -0.5, abs=0.03)
    assert noisy(waveforms, range(12), None, seed=0) is waveforms


def test_a_model_that_is_right_on_clean_windows_and_drowns_in_noise(tone_windows):
    windows = tone_windows([12, 12, 12])
    figures = evaluate(Loudest(), windows, classes=CLASSES, snr_curve_db=(-25.0, -10.0, 10.0))
    assert figures.accuracy == figures.macro_f1 == 1.0
    assert figures.accuracy_interval == (1.0, 1.0)
    assert figures.per_class_recall == dict.fromkeys(CLASSES, 1.0)
    assert figures.false_alarm_rate == 0.0
    assert figures.parameters == 1
    assert figures.windows == 36
    curve = [point.accuracy for point in figures.snr_curve]
    assert curve[0] < 0.7
    assert curve[0] < curve[1] <= curve[2] == 1.0
    assert to_jsonable(figures)["snr_curve"][2]["snr_db"] == 10.0
    at_noise = evaluate(Loudest(), windows, classes=CLASSES, snr_db=-25.0)
    assert at_noise.accuracy == curve[0]
    assert at_noise.snr_db == -25.0


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_an_output_that_is_not_finite_is_never_counted_as_a_class(tone_windows, scale):
    windows, model = tone_windows([5, 4, 3]), Loudest()
    model.scale.data.fill_(scale)
    with pytest.raises(MeasurementError, match="no finite numbers for 12 of 12 windows"):
        evaluate(model, windows, classes=CLASSES)


def test_figures_by_hand():
    logits = np.log([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]])
    figures = judge(logits, np.array([0, 0, 1, 1]), classes=CLASSES)
    assert figures.accuracy == 0.5
    assert figures.confusion == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert figures.per_class_recall == {"normal": 0.5, "inner_race": 0.5, "ball": None}
    assert figures.false_alarm_rate == 0.5
    assert figures.macro_f1 == pytest.approx(0.5)
    assert judge(logits, np.array([0, 0, 1, 1]), classes=("a", "b", "c")).false_alarm_rate is None


def test_fidelity_of_a_model_to_itself_is_whole():
    logits = np.random.default_rng(0).standard_normal((20, 3))
    assert fidelity(logits, logits).agreement == 1.0
    assert fidelity(logits, logits).kl == pytest.approx(0, abs=1e-12)
    other = fidelity(logits, np.roll(logits, 1, axis=1))
    assert other.agreement < 1
    assert other.kl > 0
