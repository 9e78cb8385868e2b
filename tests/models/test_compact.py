"""Compact forms of weights: what they stand for, what they cost, and what a file gives back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from secateur.core.errors import CheckpointError
from secateur.models.compact.change import CHANGE, WeightChange, read_change
from secateur.models.compact.form import stored_bytes
from secateur.models.compact.low_rank import LowRankWeight
from secateur.models.compact.rounded import RoundedWeight
from secateur.models.compact.sparse import SparseWeight

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 70))
DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])


def drawn(shape, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@given(shape=SIZES, dtype=DTYPES, share=st.floats(0, 1))
def test_a_sparse_weight_is_the_matrix_itself(shape, dtype, share):
    weight = drawn(shape, dtype=dtype) * (torch.rand(shape, generator=torch.Generator()) < share)
    form = SparseWeight.of(weight)
    assert torch.equal(form.decoded(), weight)
    assert form.parameters == int((weight != 0).sum())
    assert stored_bytes(form) == -(-weight.numel() // 8) + form.parameters * weight.element_size()


@given(shape=SIZES, dtype=DTYPES, transposed=st.booleans())
def test_a_rounded_weight_is_within_half_a_step(shape, dtype, transposed):
    weight = drawn(shape, dtype=dtype)
    form = RoundedWeight.nearest(weight, group=8, transposed=transposed)
    found = form.decoded()
    assert found.dtype == dtype
    assert found.shape == weight.shape
    assert RoundedWeight.nearest(found, group=8, transposed=transposed).decoded().equal(found) or dtype != (
        torch.float32
    )
    rows, error = (weight.T, (found - weight).T) if transposed else (weight, found - weight)
    for start in range(0, rows.shape[1], 8):
        largest = rows[:, start : start + 8].abs().amax(dim=1, keepdim=True).float()
        # half a step, what the scale's 8 bits lose at the largest code, and the type's own rounding
        allowed = largest / 7 * 0.5 * 1.01 + largest * (1 / 256 + 2 * torch.finfo(dtype).eps)
        assert (error[:, start : start + 8].float().abs() <= allowed).all()


def test_known_codes_of_a_group():
    weight = torch.tensor([[7.0, -7.0, 3.4, 0.0, 3.6, -1.0, 0.4, -0.6]])
    form = RoundedWeight.nearest(weight, group=8, transposed=False)
    assert form.decoded().tolist() == [[7, -7, 3, 0, 4, -1, 0, -1]]
    assert form.codes.tolist() == [[15 | 1 << 4, 11 | 8 << 4, 12 | 7 << 4, 8 | 7 << 4]]
    assert stored_bytes(form) == 4 + 2


def test_the_error_of_a_truncated_svd_is_that_of_the_values_left_out():
    weight = drawn((12, 20)).double()
    values = torch.linalg.svdvals(weight)
    for rank in (1, 5, 12):
        form = LowRankWeight.nearest(weight, rank=rank)
        assert form.parameters == rank * (12 + 20)
        error = (form.decoded() - weight).square().sum()
        torch.testing.assert_close(error, values[rank:].square().sum(), atol=1e-10, rtol=1e-8)


def forms() -> dict:
    return {
        "0.weight": SparseWeight.of(drawn((4, 6)) * (drawn((4, 6), 1) > 0)),
        "1.weight": RoundedWeight.nearest(drawn((5, 4)), group=4, transposed=True),
        "2.weight": LowRankWeight.nearest(drawn((3, 5)), rank=2),
    }


def model() -> nn.Module:
    built = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 5), nn.Linear(5, 3))
    for name, layer in enumerate(built):
        layer.weight.data = drawn(layer.weight.shape, 10 + name)
    return built


def test_changes_compose_and_come_back_from_their_file(tmp_path):
    dense = model()
    change = WeightChange(weights={"0.weight": forms()["2.weight"]}).then(WeightChange(weights=forms()))
    assert change.kinds == ("bits", "factors", "mask")
    change.put_into(dense)
    change.require_of(dense)
    tensors = change.encoded(dense.state_dict())
    assert "1.weight" not in tensors
    assert {"0.bias", "1.weight.codes", "1.weight.scales"} <= set(tensors)
    change.write(tmp_path)
    read, whole = read_change(tmp_path, {CHANGE}, tensors)
    assert read.weights.keys() == change.weights.keys()
    for name, value in dense.state_dict().items():
        assert torch.equal(whole[name], value)


def test_a_change_of_another_model_is_refused():
    with pytest.raises(CheckpointError, match=r"has shape \(4, 6\), its compact form \(3, 5\)"):
        WeightChange(weights={"0.weight": forms()["2.weight"]}).put_into(model())
    with pytest.raises(CheckpointError, match="does not have"):
        WeightChange(weights={"9.weight": forms()["2.weight"]}).put_into(model())
    with pytest.raises(CheckpointError, match="was trained or changed since"):
        WeightChange(weights={"2.weight": forms()["2.weight"]}).require_of(model())


@pytest.mark.parametrize(
    "damage",
    [
        lambda parts: parts.pop("0.weight.kept"),
        lambda parts: parts.update({"0.weight.kept": torch.zeros(99, dtype=torch.uint8)}),
        lambda parts: parts.update({"0.weight.values": torch.zeros(1)}),
        lambda parts: parts.update({"1.weight.codes": torch.zeros(4, 1, dtype=torch.uint8)}),
        lambda parts: parts.update({"2.weight.left": torch.zeros(3, 4)}),
    ],
)
def test_damaged_forms_are_refused(damage, tmp_path):
    change = WeightChange(weights=forms())
    change.write(tmp_path)
    tensors = change.encoded({})
    damage(tensors)
    with pytest.raises(CheckpointError, match="is damaged"):
        read_change(tmp_path, {CHANGE}, tensors)


def test_a_file_with_an_unknown_form_is_refused(tmp_path):
    (tmp_path / CHANGE).write_text('{"version": 1, "weights": {"a": {"kind": "pickle", "facts": {}}}}')
    with pytest.raises(CheckpointError, match="no valid change of weights"):
        read_change(tmp_path, {CHANGE}, {})
