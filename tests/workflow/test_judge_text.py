"""Judging language models and encoders: figures of known meaning, alone and beside another model."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import CodeGenConfig, CodeGenForCausalLM

import tiny_tokenizers
from secateur.core.errors import ConfigError
from secateur.core.progress import quiet
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.pretrained import open_pretrained
from secateur.models.tokenizer_trim import trim_vocabulary
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from secateur.tasks.perplexity import perplexity
from secateur.workflow import judge_text
from secateur.workflow.judge_text import judge_encoder, judge_language_model
from tiny_gguf import tiny_llama
from tiny_tokenizers import TEXT
from zoo import ZOO


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("text") / "topics.txt"
    path.write_text(TEXT[-6000:], encoding="utf-8")
    return path


def saved(folder: Path, model, tokenizer) -> str:
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> str:
    return saved(tmp_path_factory.mktemp("models") / "llama", tiny_llama(tied=True), tiny_tokenizers.gpt2())


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> str:
    tokenizer = tiny_tokenizers.bert()
    model = next(entry for entry in ZOO if entry.name == "bert").build(vocab_size=len(tokenizer))
    return saved(tmp_path_factory.mktemp("models") / "bert", model, tokenizer)


def test_a_uniform_model_needs_the_logarithm_of_its_vocabulary(text, tmp_path):
    model = tiny_llama(tied=False)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    found = judge_language_model(saved(tmp_path / "m", model, tiny_tokenizers.gpt2()), text, context=32)
    size = model.config.vocab_size
    assert found["perplexity"] == pytest.approx(size)
    assert found["nats_per_token"] == pytest.approx(math.log(size))
    assert found["text"]["bytes"] == text.stat().st_size
    expected = math.log2(size) * found["tokens"] / found["text"]["bytes"]
    assert found["bits_per_byte"] == pytest.approx(expected)
    assert found["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert found["against"] is None


def test_any_causal_model_is_judged_behind_what_opens_its_texts(text, tmp_path):
    """A family without a specification, and a tokenizer that begins each text with a token of its own."""
    tokenizer = tiny_tokenizers.llama()
    torch.manual_seed(0)
    model = CodeGenForCausalLM(
        CodeGenConfig(
            vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=4, rotary_dim=4, n_positions=64, n_ctx=64,
            bos_token_id=1, eos_token_id=2,
        )
    ).eval()  # fmt: skip
    found = judge_language_model(saved(tmp_path / "m", model, tokenizer), text, context=32)
    assert found["opening_tokens"] == [tokenizer.bos_token]
    assert found["predicted_tokens"] == found["tokens"]
    tokens = tokenizer(text.read_text(), add_special_tokens=False)["input_ids"]
    opening = [tokenizer.bos_token_id]
    expected = perplexity(model, tokens, context=32, opening=opening).value
    assert found["perplexity"] == pytest.approx(expected)
    assert found["parameters"] == sum(parameter.numel() for parameter in model.parameters())


def test_a_cut_model_stands_beside_the_dense_one(llama, text, tmp_path):
    opened = open_pretrained(llama)
    bound = bind(opened.model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape).with_channels(0, range(3))
    checkpoint.save(apply(opened.model, plan), tmp_path / "cut", plan=plan, tokenizer=opened.tokenizer)
    found = judge_language_model(str(tmp_path / "cut"), text, against=llama)
    assert found["context"] == 64, "as many positions as there are"
    ids = opened.tokenizer(text.read_text(), add_special_tokens=False, verbose=False)["input_ids"]
    dense = perplexity(opened.model, ids, context=64)
    assert found["against"]["perplexity"] == pytest.approx(dense.value)
    assert found["ratio"] == pytest.approx(found["perplexity"] / dense.value)
    low, high = found["ratio_interval"]
    assert low < found["ratio"] < high
    assert found["parameters"] < found["against"]["parameters"]


def test_a_sliding_context_predicts_every_token_but_the_first_once(llama, text):
    opened = open_pretrained(llama)
    ids = opened.tokenizer(text.read_text(), add_special_tokens=False, verbose=False)["input_ids"]
    found = judge_language_model(llama, text, context=32, stride=20, against=llama)
    expected = perplexity(opened.model, ids, context=32, stride=20)
    assert found["perplexity"] == pytest.approx(expected.value)
    assert found["predicted_tokens"] == found["against"]["predicted_tokens"] == len(ids) - 1
    assert found["stride"] == found["against"]["stride"] == 20
    assert found["ratio"] == 1
    assert found["seconds"] > 0
    beside = judge_language_model(llama, text, context=32)
    assert beside["predicted_tokens"] < len(ids) - 1
    assert beside["stride"] == 32


def test_a_cut_vocabulary_compares_where_the_text_is_split_alike(llama, text, tmp_path):
    opened = open_pretrained(llama)
    few = tmp_path / "few.txt"
    few.write_text(TEXT[:300], encoding="utf-8")
    bound = bind(opened.model)
    for name, corpus, comparable in (("same", text, True), ("other", few, False)):
        trimmed = trim_vocabulary(opened.model, opened.tokenizer, corpus)
        plan = PruningPlan.identity(bound.spec.family, bound.shape).with_tokens(trimmed.tokens)
        folder = tmp_path / name
        checkpoint.save(apply(opened.model, plan), folder, plan=plan, tokenizer=trimmed.tokenizer)
        found = judge_language_model(str(folder), text, against=llama)
        if comparable:
            assert found["tokens"] == found["against"]["tokens"]
            assert found["ratio"] < 1, "fewer tokens share the probability"
        else:
            assert found["tokens"] > found["against"]["tokens"]
            assert found["ratio"] is None
            assert "bits per byte" in found["no_ratio_because"]


def test_an_encoder_is_as_near_to_itself_as_can_be(bert):
    found = judge_encoder(bert, against=bert)
    assert found["fidelity"] == pytest.approx(1, abs=1e-6)
    assert found["separation"] == found["against"]["separation"]
    assert found["pairs"] == 60
    assert -1 <= found["unrelated_mean"] < found["paraphrase_mean"] <= 1
    assert found["separation"] > 0.5, "common words alone bring paraphrases nearer"


def test_a_wrong_model_to_compare_with_is_refused_before_the_first_is_judged(llama, bert, text, monkeypatch):
    def never(*_args, **_options):
        raise AssertionError("nothing is to be judged")

    monkeypatch.setattr(judge_text, "perplexity", never)
    monkeypatch.setattr(judge_text, "embed", never)
    with pytest.raises(ConfigError, match=r"BertForMaskedLM predicts no next token.*--pairs"):
        judge_language_model(llama, text, against=bert)
    with pytest.raises(ConfigError, match="is no encoder of text"):
        judge_encoder(bert, against=llama)
    with pytest.raises(ConfigError, match="does not exist"):
        judge_encoder(bert, against="/nowhere/at/all")


def test_what_does_not_fit_the_model_is_refused(llama, bert, text, tmp_path):
    with pytest.raises(ConfigError, match=r"predicts no next token; .* judge an encoder by --pairs"):
        judge_language_model(bert, text)
    with pytest.raises(ConfigError, match=r"LlamaForCausalLM is no encoder of text.* give --text FILE"):
        judge_encoder(llama)
    with pytest.raises(ConfigError, match="has 64 positions"):
        judge_language_model(llama, text, context=65)
    with pytest.raises(ConfigError, match="--stride 33: give 1 to the context, 32"):
        judge_language_model(llama, text, context=32, stride=33)
    with pytest.raises(ConfigError, match="has no tokenizer"):
        judge_language_model(saved(tmp_path / "m", tiny_llama(tied=True), None), text)
