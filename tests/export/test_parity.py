import numpy as np
import pytest

from secateur.bundle.session import OnnxSession
from secateur.core.errors import ExportError
from secateur.export.parity import (
    MOST_FOR_ROUNDING,
    ROUNDINGS,
    TOLERANCES,
    Tolerance,
    default_tolerance,
    measure_parity,
    own_rounding,
    reference_logits,
)


def test_difference_is_the_largest_over_all_windows(bundle, diagnoser, windows):
    expected = reference_logits(diagnoser, windows)
    expected[4, 2] += 0.25
    record = measure_parity(
        OnnxSession(bundle.folder / "model.onnx"),
        expected,
        windows,
        tolerance=Tolerance(logits=1.0, golden=1.0),
    )
    assert record.max_abs_diff == pytest.approx(0.25, abs=1e-4)
    assert record.windows == 5
    assert record.tolerance == 1.0


@pytest.mark.parametrize("error", [2e-4, np.nan])
def test_beyond_tolerance_is_refused(bundle, diagnoser, windows, error):
    expected = reference_logits(diagnoser, windows)
    expected[0, 0] += error
    with pytest.raises(ExportError, match="differ from the checkpoint"):
        measure_parity(
            OnnxSession(bundle.folder / "model.onnx"), expected, windows, tolerance=TOLERANCES["float32"]
        )


def test_probabilities_and_calls_are_compared(bundle, diagnoser, windows):
    expected = reference_logits(diagnoser, windows)
    other = expected[0].argsort()[0]
    expected[0, other] += 30.0
    graph = OnnxSession(bundle.folder / "model.onnx")
    record = measure_parity(graph, expected, windows, tolerance=Tolerance(logits=50.0, golden=1.0))
    former = reference_logits(diagnoser, windows)[0]
    probability = np.exp(former[other]) / np.exp(former).sum()
    assert record.max_probability_change == pytest.approx(1 - probability, abs=1e-4)
    assert record.agreement == pytest.approx(0.8)
    with pytest.raises(ExportError, match="probabilities differ"):
        measure_parity(
            graph, expected, windows, tolerance=Tolerance(logits=50.0, golden=1.0, probability=0.05)
        )
    with pytest.raises(ExportError, match=r"calls only 80.00% of 5 windows"):
        measure_parity(graph, expected, windows, tolerance=Tolerance(logits=50.0, golden=1.0, agreement=0.99))


@pytest.mark.parametrize(("repeats", "differ", "passes"), [(12, 1, True), (12, 2, False), (9, 1, False)])
def test_one_window_may_differ_where_a_hundred_are_not_there(
    repeats, differ, passes, bundle, diagnoser, windows
):
    many = {name: np.concatenate([values] * repeats) for name, values in windows.items()}
    expected = reference_logits(diagnoser, many)
    for row in range(differ):
        expected[row, expected[row].argsort()[0]] += 30.0
    graph = OnnxSession(bundle.folder / "model.onnx")
    tolerance = Tolerance(logits=50.0, golden=1.0, agreement=0.99)
    if passes:
        record = measure_parity(graph, expected, many, tolerance=tolerance)
        assert record.least_agreement == record.agreement == 59 / 60
    else:
        with pytest.raises(ExportError, match="calls only"):
            measure_parity(graph, expected, many, tolerance=tolerance)


def test_a_checkpoint_that_rounds_more_may_differ_more(diagnoser, windows):
    expected = reference_logits(diagnoser, windows)
    assert 0.0 < own_rounding(diagnoser, windows, expected) < 1e-4
    assert own_rounding(diagnoser, windows, expected + 0.5) == pytest.approx(0.5, abs=1e-4)
    exact, loose = TOLERANCES["float32"], TOLERANCES["int8"]
    assert exact.beside(1e-6) == exact
    assert exact.beside(1e-4).logits == exact.beside(1e-4).golden == pytest.approx(ROUNDINGS * 1e-4)
    assert exact.beside(1.0).logits == MOST_FOR_ROUNDING
    assert exact.beside(np.nan) == exact
    assert loose.beside(1e-4) == loose


def test_the_rounding_is_measured_only_where_it_decides(diagnoser, windows):
    expected = reference_logits(diagnoser, windows)
    allowed = default_tolerance("float32", diagnoser, windows, expected + 1e-3)
    assert allowed.logits == pytest.approx(ROUNDINGS * 1e-3, rel=0.2)
    assert default_tolerance("int8", None, {}, expected) == TOLERANCES["int8"]
