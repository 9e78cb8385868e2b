"""GGUF files: what is written comes back, what cannot be held is refused, and llama.cpp computes the same."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

import tiny_tokenizers
from secateur.core.errors import ConfigError, ExportError
from secateur.core.files import sha256_of
from secateur.core.progress import quiet
from secateur.export import gguf_export as exporting
from secateur.export import gguf_file, gguf_tokenizer
from secateur.export.gguf_export import export_gguf
from secateur.export.gguf_model import GgufModel, gguf_model
from secateur.export.llama_cpp import LlamaCppQuestion, ask_llama_cpp
from secateur.models.binding import bind
from secateur.models.pretrained import open_pretrained
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from tiny_causal_bundles import PROMPTS, uneven_llama
from tiny_gguf import tiny_llama
from zoo import ZOO

gguf = pytest.importorskip("gguf", reason="GGUF is written with another package: pip install gguf")

TEXT = "Return the underscore of a class, as defined below."


@pytest.fixture(autouse=True)
def _quiet(tmp_path, monkeypatch):
    monkeypatch.setenv("SECATEUR_CACHE", str(tmp_path / "cache"))
    with quiet():
        yield


@pytest.fixture
def alone(monkeypatch):
    """No llama.cpp to run the file."""
    monkeypatch.setattr(exporting, "llama_cpp_version", lambda: None)


@pytest.fixture
def llama_cpp():
    pytest.importorskip("xllamacpp", reason="a real llama.cpp: pip install xllamacpp")


def even_llama(*, tied):
    """One of two groups and 40 of 48 channels in every layer, so that heads fill half of the width."""
    model = tiny_llama(tied=tied)
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    for layer in range(2):
        plan = plan.with_groups(layer, [layer]).with_channels(layer, range(layer, 40 + layer))
    return apply(model, plan).eval()


def write(model, folder, **more):
    return export_gguf(model, PROMPTS, folder, name="tiny", **{"tokenizer": tiny_tokenizers.gpt2(), **more})


def logits(model, ids=PROMPTS[0]):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits


@pytest.mark.parametrize("tied", [True, False])
def test_what_is_written_is_opened_again_as_the_same_model(tied, alone, tmp_path):
    model = even_llama(tied=tied)
    info = write(model, tmp_path / "out")
    assert (info.architecture, info.verification) == ("llama", None)
    opened = open_pretrained(tmp_path / "out")
    assert torch.equal(logits(opened.model), logits(model))
    assert (opened.model.lm_head.weight is opened.model.model.embed_tokens.weight) == tied
    config = opened.model.config
    assert (config.num_attention_heads, config.num_key_value_heads, config.intermediate_size) == (2, 1, 40)
    own = tiny_tokenizers.gpt2()
    assert opened.tokenizer(TEXT)["input_ids"] == own(TEXT)["input_ids"]
    assert opened.tokenizer.eos_token_id == own.eos_token_id


@pytest.mark.parametrize(("precision", "off"), [("f16", 1e-2), ("q8_0", 0.3), ("q4_0", 4.0)])
def test_fewer_bits_come_back_near(precision, off, alone, tmp_path):
    model = even_llama(tied=True)
    info = write(model, tmp_path / "out", precision=precision)
    opened = open_pretrained(tmp_path / "out").model
    apart = (logits(opened) - logits(model)).abs().max()
    assert 0 < apart < off
    weight, found = (m.model.layers[1].self_attn.k_proj.weight for m in (model, opened))
    if precision == "f16":
        assert torch.equal(found, weight.half().float())
    else:
        # rows of 40 channels and of 16 head features are no multiple of 32; the table keeps 8 bits
        counts = {"q8_0": {"q8_0": 11}, "q4_0": {"q8_0": 1, "q4_0": 10}}[precision]
        assert info.tensors == {**counts, "f16": 4, "f32": 5}
        # a range of 4 bits ends at -8 steps, and at 7 on the other side
        most, off_by = {"q8_0": (127, 0.51), "q4_0": (8, 1.01)}[precision]
        steps = weight.abs().amax(dim=1, keepdim=True) / most
        assert ((found - weight).abs() <= off_by * steps).all()
        table, kept = (m.model.embed_tokens.weight for m in (model, opened))
        steps = table.unflatten(1, (-1, 32)).abs().amax(-1).amax(-1, keepdim=True) / 127
        assert ((kept - table).abs() <= 0.6 * steps).all()


def test_unequal_layers_are_written_as_deci_with_their_own_widths(alone, tmp_path):
    model, _ = uneven_llama()
    assert write(model, tmp_path / "out").architecture == "deci"
    reader = gguf.GGUFReader(tmp_path / "out" / "model.gguf")
    found = {name: field.contents() for name, field in reader.fields.items()}
    assert found["general.architecture"] == "deci"
    assert found["deci.attention.head_count"] == [2, 4]
    assert found["deci.attention.head_count_kv"] == [1, 2]
    assert found["deci.feed_forward_length"] == [48, 40]
    assert found["deci.attention.key_length"] == found["deci.rope.dimension_count"] == 8
    assert found["tokenizer.ggml.pre"] == "gpt-2"
    assert len(found["tokenizer.ggml.tokens"]) == 900
    shapes = {tensor.name: tuple(tensor.shape) for tensor in reader.tensors}
    assert shapes["blk.0.attn_k.weight"] == (32, 8)
    assert shapes["blk.1.ffn_down.weight"] == (40, 32)
    assert "output.weight" not in shapes


def test_the_record_beside_the_file_tells_what_it_is(alone, tmp_path):
    info = write(uneven_llama()[0], tmp_path / "out", lineage={"command": "export"})
    record = json.loads((tmp_path / "out" / "gguf.json").read_text())
    assert record["sha256"] == sha256_of(tmp_path / "out" / "model.gguf")
    assert record["architecture"] == "deci"
    assert record["verification"] is None
    assert "pip install 'secateur[llamacpp]'" in record["unverified_because"] == info.unverified_because
    assert record["lineage"] == {"command": "export"}


CONFIG = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 900,
    "max_position_embeddings": 64,
}


def llama(**more):
    return LlamaForCausalLM(LlamaConfig(**{**CONFIG, **more}))


def of_zoo(name):
    return next(entry for entry in ZOO if entry.name == name).build()


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: llama(attention_bias=True, mlp_bias=True), "biases of q, k, v, o, gate, up, down"),
        (lambda: llama(hidden_act="gelu"), r"the activation 'gelu' \(only silu\)"),
        (
            lambda: llama(rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}),
            "rotary positions of the type 'linear'",
        ),
        (lambda: MistralForCausalLM(MistralConfig(**CONFIG, sliding_window=8)), "a sliding window"),
        (
            lambda: llama(attention_bias=True, hidden_act="gelu"),
            "biases of q, k, v, o; the activation 'gelu'",
        ),
        (lambda: of_zoo("qwen3"), "the family 'qwen3' is not written as GGUF; llama and mistral are"),
        (lambda: of_zoo("gpt2"), "the family 'gpt2' is not written as GGUF"),
    ],
)
def test_what_gguf_cannot_hold_is_refused_with_the_reasons(build, said, tmp_path):
    with pytest.raises(ExportError, match=said):
        write(build(), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_mistral_without_a_window_is_a_llama(alone, tmp_path):
    torch.manual_seed(1)
    model = MistralForCausalLM(MistralConfig(**CONFIG, sliding_window=None)).eval()
    write(model, tmp_path / "out")
    torch.testing.assert_close(logits(open_pretrained(tmp_path / "out").model), logits(model))


def test_an_encoder_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match="BertForMaskedLM predicts no next token"):
        write(of_zoo("bert"), tmp_path / "out")


def with_token(**settings):
    tokenizer = tiny_tokenizers.gpt2()
    tokenizer.add_tokens([AddedToken("<tool>", **settings)])
    return tokenizer


def framed_by(token):
    tokenizer = with_token()
    frame = processors.TemplateProcessing(
        single=f"{token} $A", special_tokens=[(token, tokenizer.convert_tokens_to_ids(token))]
    )
    tokenizer.backend_tokenizer.post_processor = frame
    return tokenizer


def split_otherwise():
    tokenizer = tiny_tokenizers.gpt2()
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), bytes_])
    return tokenizer


@pytest.mark.parametrize(
    ("tokenizer", "said"),
    [
        (tiny_tokenizers.llama, "byte-level BPE tokenizers here; this one is BPE on"),
        (tiny_tokenizers.bert, "this one is WordPiece"),
        (tiny_tokenizers.whole_words, "whole words before merges"),
        (tiny_tokenizers.suffixed, "BPE on BertPreTokenizer"),
        (lambda: with_token(lstrip=True), r"added tokens that take spaces with them \(<tool>\)"),
        (lambda: framed_by("<tool>"), "puts other tokens around a text than begin and end"),
        (lambda: split_otherwise(), "splits text into words in a way that is not known"),
    ],
)
def test_a_tokenizer_that_llama_cpp_does_otherwise_is_refused(tokenizer, said):
    with pytest.raises(ExportError, match=said):
        gguf_tokenizer.gguf_tokenizer(tokenizer(), vocabulary=2000)


def test_a_tokenizer_is_told_token_by_token():
    own = tiny_tokenizers.framed()
    told = gguf_tokenizer.gguf_tokenizer(own, vocabulary=len(own) + 2)
    numbers = own.get_vocab()
    assert (told.add_bos, told.add_eos) == (True, True)
    assert told.special == {"bos": numbers["<start>"], "eos": numbers["<end>"], "pad": numbers["<pad>"]}
    assert [told.tokens[number] for number in numbers.values()] == list(numbers)
    assert told.types[numbers["<pad>"]] == gguf_tokenizer.CONTROL
    assert told.types[numbers["<tool>"]] == gguf_tokenizer.USER_DEFINED
    assert told.types[-2:] == (gguf_tokenizer.UNUSED,) * 2
    assert told.tokens[-1] == f"[UNUSED{len(own) + 1}]"
    assert told.tokens[told.whole_token].isalnum()
    with pytest.raises(ExportError, match=rf"token {len(own) - 1}, where the embedding has 900 rows"):
        gguf_tokenizer.gguf_tokenizer(own, vocabulary=900)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(gguf_file, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'secateur\[gguf\]'"):
        write(tiny_llama(tied=True), tmp_path / "out")


def test_another_folder_is_left_alone_and_a_former_export_replaced(alone, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("ten years of work")
    with pytest.raises(ConfigError, match="holds something else"):
        write(tiny_llama(tied=True), tmp_path / "out")
    for _ in range(2):
        write(tiny_llama(tied=True), tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["gguf.json", "model.gguf"]


@pytest.mark.parametrize("layers", ["llama", "deci"])
@pytest.mark.parametrize("precision", ["f32", "f16", "q8_0", "q4_0"])
def test_llama_cpp_computes_the_checkpoint(layers, precision, llama_cpp, tmp_path):
    model = even_llama(tied=True) if layers == "llama" else uneven_llama()[0]
    info = write(model, tmp_path / "out", precision=precision, new_tokens=20)
    assert info.architecture == layers
    found = info.verification
    assert found.max_abs_diff < {"f32": 1e-4, "f16": 0.05, "q8_0": 0.8, "q4_0": 4.0}[precision]
    assert found.texts == 2
    if precision == "f32":
        assert found.greedy_tokens == found.greedy_of == 20 * len(PROMPTS)


def test_llama_cpp_gives_all_log_probabilities_in_order(llama_cpp, alone, tmp_path):
    model = uneven_llama()[0]
    write(model, tmp_path / "out")
    answer, text, tokens = ask_llama_cpp(
        tmp_path / "out" / "model.gguf",
        [
            LlamaCppQuestion(prompt=PROMPTS[0], new_tokens=3),
            LlamaCppQuestion(prompt=TEXT),
            LlamaCppQuestion(prompt=tuple(tiny_tokenizers.gpt2()(TEXT)["input_ids"])),
        ],
        vocabulary=900,
        whole_token=70,
        context=64,
    )
    expected = logits(model).log_softmax(dim=-1)[0, -1].numpy()
    np.testing.assert_allclose(answer.logprobs, expected, atol=1e-4)
    assert answer.tokens[0] == expected.argmax()
    np.testing.assert_allclose(text.logprobs, tokens.logprobs, atol=1e-4)


def _unpermuted(self):
    for name, tensor in TENSORS(self):
        if name.endswith("attn_q.weight"):
            tensor = tensor.flip(0)
        yield name, tensor


TENSORS = GgufModel.tensors


def test_a_file_that_llama_cpp_computes_otherwise_is_not_kept(llama_cpp, monkeypatch, tmp_path):
    monkeypatch.setattr(GgufModel, "tensors", _unpermuted)
    with pytest.raises(ExportError, match="does not compute the checkpoint: log-probabilities differ by"):
        write(uneven_llama()[0], tmp_path / "out", new_tokens=4)
    assert not list(tmp_path.iterdir())


def test_a_file_that_llama_cpp_does_not_load_is_not_kept(llama_cpp, monkeypatch, tmp_path):
    described = gguf_model(uneven_llama()[0])
    wrong = replace(described, channels=(48, 41))
    monkeypatch.setattr(exporting, "gguf_model", lambda model: wrong)
    with pytest.raises(ExportError, match=r"llama\.cpp does not run the file: .*ffn"):
        write(uneven_llama()[0], tmp_path / "out", new_tokens=4)
    assert not list(tmp_path.iterdir())


def _without_whole_words(tokenizer, *, vocabulary):
    """The description of a tokenizer whose words are split as another's."""
    return replace(gguf_tokenizer.gguf_tokenizer(tokenizer, vocabulary=vocabulary), pre="llama-bpe")


def test_another_splitting_of_text_is_found_out(llama_cpp, monkeypatch, tmp_path):
    monkeypatch.setattr(exporting, "gguf_tokenizer", _without_whole_words)
    with pytest.raises(ExportError, match=r"splits .* into other tokens"):
        write(uneven_llama()[0], tmp_path / "out", new_tokens=4)
