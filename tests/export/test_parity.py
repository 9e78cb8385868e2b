import numpy as np
import pytest

from secateur.core.errors import ExportError
from secateur.export.parity import measure_parity, reference_logits


def test_difference_is_the_largest_over_all_windows(bundle, diagnoser, windows):
    expected = reference_logits(diagnoser, windows)
    expected[4, 2] += 0.25
    record = measure_parity(bundle.folder / "model.onnx", expected, windows, tolerance=1.0)
    assert record.max_abs_diff == pytest.approx(0.25, abs=1e-4)
    assert record.windows == 5
    assert record.tolerance == 1.0


@pytest.mark.parametrize("error", [2e-4, np.nan])
def test_beyond_tolerance_is_refused(bundle, diagnoser, windows, error):
    expected = reference_logits(diagnoser, windows)
    expected[0, 0] += error
    with pytest.raises(ExportError, match="differ from the checkpoint"):
        measure_parity(bundle.folder / "model.onnx", expected, windows)
