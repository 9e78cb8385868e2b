"""Folders with any values and any bytes: a model is opened, or one error says what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiny_tokenizers
from secateur.core.errors import SecateurError
from secateur.core.progress import quiet
from secateur.models.pretrained import open_pretrained
from secateur.workflow.outline import outline_of
from tiny_gguf import tiny_llama

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**4, 10**9, 10**30, -(10**9)]),
    st.sampled_from([float("nan"), float("inf"), 0.5, -1.0, 1e300]),
    st.sampled_from(["", "auto", "full_attention", "float8", "\x00", "é" * 50]),
    st.lists(st.one_of(st.integers(-2, 2), st.text(max_size=3)), max_size=3),
    st.dictionaries(
        st.sampled_from(["rope_type", "factor", "x"]), st.one_of(st.text(max_size=3), st.integers())
    ),
)
FUZZ = settings(
    max_examples=15,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "whole"
    tiny_llama(tied=True).save_pretrained(folder)
    tiny_tokenizers.gpt2().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "model")


def open_or_refuse(folder: Path) -> None:
    for opening in (open_pretrained, outline_of):
        with quiet():
            try:
                opening(folder)
            except SecateurError as error:
                assert len(str(error)) < 2000


@FUZZ
@given(data=st.data())
def test_any_value_in_the_configuration(data, folder, whole):
    values: dict[str, Any] = json.loads((whole / "config.json").read_text())
    keys = sorted({*values, "quantization_config", "layer_types", "sub_configs", "pad_token_id"})
    for key in data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=2)):
        values[key] = data.draw(ODD)
    (folder / "config.json").write_text(json.dumps(values))
    open_or_refuse(folder)


@FUZZ
@given(data=st.data())
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "generation_config.json"])
def test_any_byte_changed(name, data, folder, whole):
    content = bytearray((whole / name).read_bytes())
    length = min(len(content), 8 + int.from_bytes(content[:8], "little")) if "safe" in name else len(content)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, length - 1))] = data.draw(st.integers(0, 255))
    (folder / name).write_bytes(content)
    open_or_refuse(folder)


def test_a_damaged_generation_configuration_is_not_passed_over(folder):
    """transformers would go on with one of its own making."""
    (folder / "generation_config.json").write_text('{"top_k": 7')
    with pytest.raises(SecateurError, match=r"generation_config\.json is not valid JSON"), quiet():
        open_pretrained(folder)


def _header(change) -> Any:
    def made(folder: Path) -> None:
        path = folder / "model.safetensors"
        content = path.read_bytes()
        size = int.from_bytes(content[:8], "little")
        entries = json.loads(content[8 : 8 + size])
        change(entries)
        header = json.dumps(entries).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])

    return made


NORM = "model.norm.weight"
LIES = {
    "negative shape": lambda entries: entries[NORM].update(shape=[-4, -8]),
    "fractional shape": lambda entries: entries[NORM].update(shape=[32.0]),
    "another shape": lambda entries: entries[NORM].update(shape=[4, 8]),
    "huge shape": lambda entries: entries[NORM].update(shape=[2**62, 2**62]),
    "offsets that overlap": lambda entries: entries[NORM].update(data_offsets=[0, 128]),
    "offsets backwards": lambda entries: entries[NORM].update(
        data_offsets=entries[NORM]["data_offsets"][::-1]
    ),
    "a type that is none": lambda entries: entries[NORM].update(dtype="F7"),
    "no entry": lambda entries: entries.update({NORM: 3}),
    "no tensors": lambda entries: entries.clear(),
    "a list": lambda entries: entries[NORM].update(shape={"a": 1}),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused(lie, folder):
    _header(LIES[lie])(folder)
    with pytest.raises(SecateurError), quiet():
        open_pretrained(folder)


@pytest.mark.parametrize(
    "name",
    ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"],
)
def test_a_file_nested_a_hundred_thousand_times_is_refused(name, folder):
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    if name == "model.safetensors":
        deep = len(deep).to_bytes(8, "little") + deep
    (folder / name).write_bytes(deep)
    with pytest.raises(SecateurError), quiet():
        open_pretrained(folder)
