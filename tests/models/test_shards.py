"""Shards: the format as others write and read it, bounded reads, and every fault named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from secateur.core.errors import CheckpointError
from secateur.models import shards
from secateur.models.shard_writing import TensorBytes, write_shard
from secateur.models.shards import INDEX, SINGLE, open_shards, read_header

TENSORS = {
    "whole": torch.arange(6, dtype=torch.int64).reshape(2, 3),
    "half": torch.linspace(-1, 1, 15).reshape(3, 5).bfloat16(),
    "single": torch.linspace(-2, 2, 7),
    "yes": torch.tensor([True, False, True]),
    "scalar": torch.tensor(2.5, dtype=torch.float16),
    "empty": torch.zeros(0, 4),
}


def written(path: Path, tensors: dict[str, torch.Tensor]) -> str:
    return write_shard(path, {name: TensorBytes(tensor=tensor) for name, tensor in tensors.items()})


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A folder of three shards with an index."""
    placed = {}
    for number in range(3):
        file = f"model-{number}.safetensors"
        written(tmp_path / file, {f"{number}.a": torch.ones(4, 4), f"{number}.b": torch.zeros(3)})
        placed |= dict.fromkeys((f"{number}.a", f"{number}.b"), file)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": placed}))
    return tmp_path


def test_safetensors_reads_what_is_written(tmp_path: Path):
    digest = written(tmp_path / "file.safetensors", TENSORS)
    found = load_file(tmp_path / "file.safetensors")
    assert set(found) == set(TENSORS)
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    assert all(found[name].dtype == tensor.dtype for name, tensor in TENSORS.items())
    assert digest == hashlib.sha256((tmp_path / "file.safetensors").read_bytes()).hexdigest()


def test_what_safetensors_writes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "PIECE_BYTES", 7)
    save_file(TENSORS, tmp_path / SINGLE)
    found = open_shards(tmp_path).tensors
    assert set(found) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert found[name].shape == tuple(tensor.shape)
        assert torch.equal(found[name].read(), tensor)


def test_a_tensor_is_copied_from_file_to_file(tmp_path: Path):
    save_file(TENSORS, tmp_path / SINGLE)
    write_shard(tmp_path / "copy.safetensors", open_shards(tmp_path).tensors)
    assert all(torch.equal(load_file(tmp_path / "copy.safetensors")[name], TENSORS[name]) for name in TENSORS)


def test_every_bad_shard_is_named_at_once(sharded: Path):
    (sharded / "model-0.safetensors").unlink()
    whole = (sharded / "model-2.safetensors").read_bytes()
    (sharded / "model-2.safetensors").write_bytes(whole[:-5])
    with pytest.raises(CheckpointError) as error:
        open_shards(sharded)
    assert "model-0.safetensors is missing" in str(error.value)
    assert "model-2.safetensors has" in str(error.value)
    assert "cut short" in str(error.value)
    assert "model-1" not in str(error.value)


def test_a_tensor_that_the_index_places_wrongly_is_named(sharded: Path):
    content = json.loads((sharded / INDEX).read_text())
    content["weight_map"]["1.a"] = "model-0.safetensors"
    (sharded / INDEX).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"model-0.safetensors does not hold '1.a'"):
        open_shards(sharded)


@pytest.mark.parametrize(
    "damage", [b"", b"\x10", (2**40).to_bytes(8, "little"), b"\x08\0\0\0\0\0\0\0not json"]
)
def test_a_broken_header_is_named(tmp_path: Path, damage: bytes):
    (tmp_path / SINGLE).write_bytes(damage)
    with pytest.raises(CheckpointError, match=r"no readable safetensors header"):
        open_shards(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [4, 5]}, "the header is damaged"),
        ({"dtype": "F64"}, "the header is damaged"),
        ({"dtype": "F4"}, "is of type F4"),
        ({"data_offsets": [4, 68]}, "the header is damaged"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, change: dict, message: str):
    header = {"a": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]} | change}
    encoded = json.dumps(header).encode()
    (tmp_path / SINGLE).write_bytes(len(encoded).to_bytes(8, "little") + encoded + bytes(64))
    with pytest.raises(CheckpointError, match=message):
        read_header(tmp_path / SINGLE)


def test_bytes_behind_the_last_tensor_are_refused(sharded: Path):
    with (sharded / "model-1.safetensors").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(CheckpointError, match=r"model-1.safetensors has .* it was changed"):
        open_shards(sharded)


def test_a_file_cut_short_after_opening_is_named(sharded: Path):
    tensor = open_shards(sharded).tensors["1.b"]
    whole = tensor.path.read_bytes()
    tensor.path.write_bytes(whole[: tensor.begin + 2])
    with pytest.raises(CheckpointError, match=r"model-1.safetensors ends inside '1.b'"):
        tensor.read()


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"weight_map": {}}', '{"weight_map": {"a": "../b.safetensors"}}']
)
def test_a_damaged_index_is_refused(tmp_path: Path, content: str):
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(CheckpointError, match=INDEX.replace(".", r"\.")):
        open_shards(tmp_path)


def test_a_folder_of_pickles_is_refused(tmp_path: Path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin is a pickle"):
        open_shards(tmp_path)
