"""GGUF files: the same model and tokenizer, converted once."""

from __future__ import annotations

import pytest
import torch

import tiny_tokenizers
from secateur.core.errors import CheckpointError, ConfigError
from secateur.core.progress import quiet
from secateur.models import gguf as reading
from secateur.models.pretrained import open_pretrained
from tiny_gguf import tiny_llama, write_gguf

TEXT = "Return the underscore of a class, as defined below."


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SECATEUR_CACHE", str(tmp_path / "cache"))
    with quiet():
        yield


@pytest.fixture
def conversions(monkeypatch):
    """Files that were converted."""
    done, convert = [], reading._convert

    def counted(path, folder):
        done.append(path)
        convert(path, folder)

    monkeypatch.setattr(reading, "_convert", counted)
    return done


@pytest.fixture
def file(tmp_path):
    pytest.importorskip("gguf", reason="GGUF is read with another package: pip install gguf")
    folder = tmp_path / "package"
    folder.mkdir()
    write_gguf(folder / "tiny.gguf", tiny_llama(tied=True))
    return folder / "tiny.gguf"


def test_model_and_tokenizer_come_through_and_are_converted_once(file, conversions, tmp_path):
    expected = tiny_llama(tied=True)
    for source in (file, file.parent, str(file.parent)):
        opened = open_pretrained(source)
        assert type(opened.model) is type(expected)
        assert opened.model.lm_head.weight is opened.model.model.embed_tokens.weight
        for name, tensor in expected.state_dict().items():
            assert torch.equal(opened.model.state_dict()[name], tensor), name
        ids = opened.tokenizer(TEXT)["input_ids"]
        assert ids == tiny_tokenizers.gpt2()(TEXT)["input_ids"]
        with torch.no_grad():
            found, wanted = (model(torch.tensor([ids])).logits for model in (opened.model, expected))
        torch.testing.assert_close(found, wanted)
        assert opened.folder.is_relative_to(tmp_path / "cache")
    assert conversions == [file]


def test_an_untied_head_stays_untied(tmp_path, file):
    model = tiny_llama(tied=False)
    write_gguf(tmp_path / "untied.gguf", model)
    opened = open_pretrained(tmp_path / "untied.gguf").model
    assert opened.lm_head.weight is not opened.model.embed_tokens.weight
    assert torch.equal(opened.lm_head.weight, model.lm_head.weight)


def test_another_file_or_a_damaged_cache_is_converted_anew(file, conversions):
    cached = open_pretrained(file).folder
    weights = cached / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    assert open_pretrained(file).folder == cached
    write_gguf(file, tiny_llama(tied=False))
    assert open_pretrained(file).folder != cached
    assert conversions == [file] * 3


def test_what_cannot_be_converted_leaves_nothing(file, tmp_path, monkeypatch):
    (file.parent / "second.gguf").write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match=r"holds 2 GGUF files; name one of second\.gguf, tiny\.gguf"):
        open_pretrained(file.parent)
    with pytest.raises(CheckpointError, match=r"second\.gguf could not be read as a GGUF model"):
        open_pretrained(file.parent / "second.gguf")
    write_gguf(file, tiny_llama(tied=True), without="blk.1.ffn_up.weight")
    with pytest.raises(CheckpointError, match=r"lacks 1 weights \(model\.layers\.1\.mlp\.up_proj"):
        open_pretrained(file)
    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'secateur\[gguf\]'"):
        open_pretrained(file)
    assert not list(tmp_path.glob("cache/gguf/*"))
