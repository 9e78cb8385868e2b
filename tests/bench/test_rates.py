from __future__ import annotations

import pytest

from secateur.bench.rates import SIZES_BYTES, measure_rates


@pytest.mark.slow
def test_this_machine_is_measured_in_a_process_of_its_own():
    found = measure_rates(threads=1)
    assert found.sizes_bytes == SIZES_BYTES
    assert min(found.bandwidths) > 1e8
    assert found.float_rate > 1e8
    assert found.integer_rate > 1e8
