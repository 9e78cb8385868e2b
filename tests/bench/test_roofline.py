from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from secateur.bench.matmul_graph import matmul_graph
from secateur.bench.operations import Operations, count_operations, operations_of
from secateur.bench.rates import Rates
from secateur.bench.roofline import roofline

RATES = Rates(
    threads=1,
    sizes_bytes=(1e6, 1e8),
    bandwidths=(8e10, 2e10),
    float_rate=1e11,
    integer_rate=4e11,
)


def test_the_bound_by_hand():
    work = Operations(float_operations=2 * 10**8, integer_operations=8 * 10**8, weight_bytes=10**8)
    found = roofline(work, RATES, measured_ms=12.0)
    assert found.memory_ms == pytest.approx(5.0)
    assert found.compute_ms == pytest.approx(2.0 + 2.0)
    assert found.sum_ms == pytest.approx(9.0)
    assert found.longest_ms == pytest.approx(5.0)
    assert found.share == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("n_bytes", "expected"), [(1e5, 8e10), (1e6, 8e10), (1e7, 5e10), (1e8, 2e10), (1e9, 2e10)]
)
def test_bandwidth_between_two_sizes_goes_by_the_logarithm(n_bytes, expected):
    assert RATES.bandwidth(n_bytes) == pytest.approx(expected)


def event(operator, inputs, outputs, parameter_size=0, **more):
    return {
        "cat": "Node",
        "name": f"{operator}_kernel_time",
        "args": {
            "op_name": operator,
            "input_type_shape": [{"float": shape} for shape in inputs],
            "output_type_shape": [{"float": shape} for shape in outputs],
            "parameter_size": str(parameter_size),
        },
        **more,
    }


def test_operators_are_counted_from_their_shapes():
    events = [
        event("Gemm", [[21, 256], [256, 96], [96]], [[21, 96]], 4 * 256 * 96),
        event("MatMul", [[1, 2, 21, 32], [1, 2, 32, 21]], [[1, 2, 21, 21]]),
        event("MatMulIntegerToFloat", [[3, 10], [10, 7]], [[3, 7]], 70),
        event("Conv", [[1, 3, 100], [8, 3, 5]], [[1, 8, 96]], 480),
        event("GroupQueryAttention", [[1, 21, 96]], [[1, 21, 48], [1, 2, 21, 8], [1, 2, 21, 8]]),
        event("Add", [[1]], [[1]], 8),
        event("Gemm", [[1, 1], [1, 1]], [[1, 1]], name="Gemm_fence_before"),
        event("Gemm", [[1, 1], [1, 1]], [[1, 1]], cat="Session"),
    ]
    found = operations_of(events)
    assert found.float_operations == 2 * (
        21 * 96 * 256 + 2 * 21 * 21 * 32 + 8 * 96 * 3 * 5 + 2 * 21 * 21 * 48
    )
    assert found.integer_operations == 2 * 3 * 7 * 10
    assert found.weight_bytes == 4 * 256 * 96 + 70 + 480 + 8


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_the_graph_written_by_hand_multiplies(dtype):
    rng = np.random.default_rng(0)
    weights = rng.integers(-90, 90, (300, 5)).astype(dtype)
    rows = rng.integers(0, 90, (2, 300)).astype(np.uint8 if dtype is np.int8 else np.float32)
    graph = matmul_graph(weights, rows=2)
    (product,) = onnxruntime.InferenceSession(graph).run(None, {"x": rows})
    assert np.array_equal(product, rows.astype(np.int64) @ weights.astype(np.int64))


def test_a_run_under_the_profiler_counts_the_graph():
    weights = np.ones((64, 8), dtype=np.float32)
    rows = np.ones((3, 64), dtype=np.float32)
    found = count_operations(matmul_graph(weights, rows=3), {"x": rows})
    assert found == Operations(
        float_operations=2 * 3 * 64 * 8, integer_operations=0, weight_bytes=weights.nbytes
    )
