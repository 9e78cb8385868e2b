"""Models of others: opened as they are stored, and everything that is not whole refused by name."""

from __future__ import annotations

import json
import shutil

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

import tiny_tokenizers
from secateur.core.errors import CheckpointError, ConfigError, UnsupportedArchitecture
from secateur.core.progress import console, quiet
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.pretrained import open_pretrained
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from tiny_gguf import tiny_llama
from zoo import ZOO


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tied Llama in two shards or more, with tokenizer and generation settings."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    model = tiny_llama(tied=True)
    model.generation_config.top_k = 7
    model.generation_config.do_sample = True
    model.save_pretrained(folder, max_shard_size="60KB")
    tiny_tokenizers.gpt2().save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "llama")


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_is_opened_as_it_is_stored(folder):
    opened, expected = open_pretrained(str(folder)), tiny_llama(tied=True)
    assert type(opened.model) is LlamaForCausalLM
    assert not opened.model.training
    assert opened.model.lm_head.weight is opened.model.model.embed_tokens.weight
    assert opened.model.generation_config.top_k == 7
    for name, tensor in expected.state_dict().items():
        assert torch.equal(opened.model.state_dict()[name], tensor), name
    text = "an underscore"
    assert opened.tokenizer(text)["input_ids"] == tiny_tokenizers.gpt2()(text)["input_ids"]
    assert (opened.source, opened.folder) == (str(folder), folder)


def test_the_type_of_numbers_is_kept_unless_asked(tmp_path):
    tiny_llama(tied=False).bfloat16().save_pretrained(tmp_path)
    opened = open_pretrained(tmp_path)
    assert {parameter.dtype for parameter in opened.model.parameters()} == {torch.bfloat16}
    assert opened.tokenizer is None
    opened = open_pretrained(tmp_path, dtype=torch.float32)
    assert {parameter.dtype for parameter in opened.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["bert", "whisper", "vit"])
def test_other_classes_are_opened_too(name, tmp_path):
    model = next(specimen for specimen in ZOO if specimen.name == name).build()
    model.save_pretrained(tmp_path)
    opened = open_pretrained(tmp_path).model
    assert type(opened) is type(model)
    assert list(opened.state_dict()) == list(model.state_dict())


def test_code_of_the_folder_is_never_run(folder):
    (folder / "evil.py").write_text("raise SystemExit('executed')")
    rewrite(
        folder / "config.json",
        architectures=["Evil"],
        auto_map={"AutoModel": "evil.Evil", "AutoConfig": "evil.Config"},
    )
    with pytest.raises(CheckpointError, match="names no class of transformers under 'architectures'"):
        open_pretrained(folder)
    rewrite(folder / "config.json", architectures=["LlamaForCausalLM"])
    assert type(open_pretrained(folder).model) is LlamaForCausalLM


def test_pickled_weights_are_refused(tmp_path):
    tiny_llama(tied=True).config.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"only as pickles.*write safetensors"):
        open_pretrained(tmp_path)


def test_every_missing_or_damaged_shard_is_named(folder):
    first, second = sorted(folder.glob("*.safetensors"))[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-8])
    with pytest.raises(CheckpointError) as caught:
        open_pretrained(folder)
    assert f"{first} is missing" in str(caught.value)
    assert f"{second} has" in str(caught.value)
    assert "cut short" in str(caught.value)


def test_weights_that_would_be_made_up_are_refused(tmp_path, capfd):
    tiny_llama(tied=False).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    capfd.readouterr()
    with pytest.raises(CheckpointError, match=r"lacks 1 tensors .*layers\.1\.mlp\.up_proj"):
        open_pretrained(tmp_path)
    assert capfd.readouterr().err == ""


def test_weights_of_other_shapes_are_refused(folder):
    rewrite(folder / "config.json", intermediate_size=40)
    with pytest.raises(CheckpointError, match=r"has shape \[48, 32\], but the configuration tells \[40"):
        open_pretrained(folder)


def test_a_damaged_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer of .* could not be read"):
        open_pretrained(folder)


def test_what_is_no_model_is_refused(folder, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="does not exist"):
        open_pretrained(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="is a file but no GGUF model"):
        open_pretrained(folder / "config.json")
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        open_pretrained(tmp_path)
    rewrite(folder / "config.json", model_type="nonsense")
    with pytest.raises(UnsupportedArchitecture, match="nonsense"):
        open_pretrained(folder)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"(?s)nobody/nothing could not be opened.*network"):
        open_pretrained("nobody/nothing")


def test_code_of_a_folder_is_told_of_and_never_run(folder, capsys, monkeypatch):
    monkeypatch.setattr(console, "quiet", False)
    (folder / "own.py").write_text("raise SystemExit('it ran')")
    rewrite(folder / "config.json", auto_map={"AutoModelForCausalLM": "own.Model"})
    assert type(open_pretrained(folder).model) is LlamaForCausalLM
    assert "code of its own, which is never run; opened as LlamaForCausalLM" in " ".join(
        capsys.readouterr().err.split()
    )
    for path in folder.glob("tokenizer*"):
        path.unlink()
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["own.Tokenizer", None]}, "tokenizer_class": "Own"})
    )
    with pytest.raises(UnsupportedArchitecture, match=r"auto_map in tokenizer_config\.json.* never run"):
        open_pretrained(folder)


@pytest.mark.parametrize("uniform", [True, False])
def test_checkpoints_of_ours_are_opened(uniform, tmp_path):
    model = tiny_llama(tied=True)
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape).with_channels(0, range(40))
    if uniform:
        plan = plan.with_channels(1, range(40))
    small = apply(model, plan)
    checkpoint.save(small, tmp_path / "cut", plan=plan, tokenizer=tiny_tokenizers.gpt2())
    opened = open_pretrained(tmp_path / "cut")
    assert bind(opened.model).shape == plan.result
    ids = torch.arange(12)[None]
    torch.testing.assert_close(opened.model(ids).logits, small(ids).logits)
    assert opened.tokenizer("word")["input_ids"] == tiny_tokenizers.gpt2()("word")["input_ids"]
    assert (
        next(open_pretrained(tmp_path / "cut", dtype=torch.bfloat16).model.parameters()).dtype
        == torch.bfloat16
    )


def test_a_diagnoser_is_no_language_model(tmp_path):
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(ConfigError, match="Diagnoser"):
        open_pretrained(tmp_path)
