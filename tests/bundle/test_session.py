"""What sessions take: never no window, which ends the process in some runtimes."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.bundle.causal_session import open_causal_session
from secateur.bundle.session import batch_of, open_session
from secateur.bundle.verify import check_bundle
from secateur.core.errors import DataError


def windows(count=2, length=512, **changed):
    arrays = {
        "waveform": np.ones((count, length), dtype=np.float32),
        "shaft_rate_hz": np.zeros(count, dtype=np.float32),
        "fault_orders": np.zeros((count, 4), dtype=np.float32),
    }
    return {name: array for name, array in {**arrays, **changed}.items() if array is not None}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (windows(0), "n at least 1"),
        (windows(length=0), "n at least 1"),
        (windows(shaft_rate_hz=None), "lack shaft_rate_hz"),
        (windows(shaft_rate_hz=np.zeros(3)), "shapes"),
        (windows(fault_orders=np.zeros((2, 3))), "shapes"),
        (windows(waveform=np.float32(1)), "shapes"),
    ],
)
def test_inputs_that_are_no_windows_are_refused(given, message, bundle_folder):
    with pytest.raises(DataError, match=message):
        batch_of(given)
    checked = check_bundle(bundle_folder)
    with pytest.raises(DataError, match=message):
        open_session(checked.source, checked.manifest).run(given)


def test_inputs_come_as_float32():
    found = batch_of(windows(waveform=np.arange(8).reshape(2, 4)))
    assert {name: array.dtype.name for name, array in found.items()} == dict.fromkeys(found, "float32")
    np.testing.assert_array_equal(found["waveform"], [[0, 1, 2, 3], [4, 5, 6, 7]])


@pytest.mark.parametrize("shape", [(1, 0), (0, 3), (0, 0), (3,)])
def test_a_language_model_reads_at_least_one_token(causal_bundle_folder, shape):
    checked = check_bundle(causal_bundle_folder)
    session = open_causal_session(checked.source, checked.manifest)
    with pytest.raises(DataError, match="at least one"):
        session.read(np.zeros(shape, dtype=np.int64), session.start())
