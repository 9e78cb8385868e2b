"""Which tensors hold the tokens, what a token costs, and the numbers that configurations hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForTokenClassification, BertModel, ViTConfig, ViTModel

from secateur.core.errors import PlanError
from secateur.models.presets import build_preset
from secateur.models.token_ids import required_tokens
from secateur.models.vocabulary import keep_vocabulary, vocabulary_of
from tiny_language_models import BUILDERS, SIZE, tiny_language_model, tokens_with

PER_TOKEN = {
    "gpt2": 16,
    "llama": 32,
    "llama-tied": 16,
    "phi": 33,
    "opt": 8,
    "bert": 17,
    "bert-untied": 34,
    "distilbert": 17,
    "roberta": 17,
    "bart": 16,
    "whisper": 16,
}


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture(params=list(BUILDERS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_parameters_of_a_token_are_exact(name):
    model = tiny_language_model(name)
    before = count(model)
    assert vocabulary_of(model) == (SIZE, PER_TOKEN[name])
    kept = tokens_with(required_tokens(model))
    keep_vocabulary(model, kept)
    assert count(model) == before - (SIZE - len(kept)) * PER_TOKEN[name]
    assert vocabulary_of(model) == (len(kept), PER_TOKEN[name])


def test_ties_rows_and_declared_sizes(name):
    dense, model = tiny_language_model(name), tiny_language_model(name)
    kept = tokens_with(required_tokens(model))
    keep_vocabulary(model, kept)
    for former, new in (
        (dense.get_input_embeddings(), model.get_input_embeddings()),
        (dense.get_output_embeddings(), model.get_output_embeddings()),
    ):
        torch.testing.assert_close(new.weight, former.weight[list(kept)], rtol=0, atol=0)
    tied = dense.get_output_embeddings().weight is dense.get_input_embeddings().weight
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == tied
    assert len(dict(model.named_parameters())) == len(dict(dense.named_parameters()))
    assert model.get_input_embeddings().num_embeddings == model.config.vocab_size == len(kept)
    assert model.get_output_embeddings().out_features == len(kept)
    everything = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
    assert not [path for path, tensor in everything.items() if SIZE in tensor.shape]


def test_gradients_and_precision_are_kept(name):
    model = tiny_language_model(name).to(torch.bfloat16)
    model.get_input_embeddings().weight.requires_grad_(False)
    keep_vocabulary(model, tokens_with(required_tokens(model)))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert not model.get_input_embeddings().weight.requires_grad


def test_meta_tensors_are_cut_too(name):
    model = tiny_language_model(name)
    kept = tokens_with(required_tokens(model))
    on_meta = tiny_language_model(name).to("meta")
    on_meta.tie_weights()
    keep_vocabulary(on_meta, kept)
    keep_vocabulary(model, kept)
    assert {key: value.shape for key, value in on_meta.state_dict().items()} == {
        key: value.shape for key, value in model.state_dict().items()
    }
    assert on_meta.config.to_dict() == model.config.to_dict()


def test_models_without_tokens_have_none():
    config = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    for model in (
        ViTModel(ViTConfig(**config)),
        build_preset("nano-mha", classes=("a", "b"), sampling_rate_hz=12_000),
    ):
        assert vocabulary_of(model) == (0, 0)
        assert required_tokens(model) == ()
        with pytest.raises(PlanError, match="no tokens to cut"):
            keep_vocabulary(model, (0,))


@pytest.mark.parametrize("head", [BertModel, BertForTokenClassification])
def test_a_model_without_an_output_head_for_tokens_has_its_embedding_cut(head):
    model = head(BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=50))
    assert vocabulary_of(model) == (50, 16)


def test_an_embedding_that_the_head_does_not_share_is_left_alone():
    model = tiny_language_model("llama")
    model.lm_head = torch.nn.Linear(16, SIZE + 3)
    assert vocabulary_of(model) == (0, 0)


def set_up(model: Any) -> None:
    settings = model.generation_config
    settings.eos_token_id = [90, 91]
    settings.suppress_tokens = [5, 6, 8]
    settings.begin_suppress_tokens = [3, 11]
    settings.bad_words_ids = [[5, 6], [5, 8]]
    settings.sequence_bias = [[[8], 1.5], [[6, 8], -2.0]]
    settings.forced_decoder_ids = [[1, None], [2, 14]]
    settings.lang_to_id = {"<en>": 20, "<de>": 21}
    settings.max_length = 20
    model.config.image_token_id = 17
    model.config.num_labels = 5


def test_every_number_of_a_token_follows():
    model = tiny_language_model("llama")
    set_up(model)
    assert required_tokens(model) == (0, 1, 14, 17, 90, 91)
    kept = (0, 1, 5, 8, 11, 14, 17, 20, 90, 91)
    keep_vocabulary(model, kept)
    settings, config = model.generation_config, model.config
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (0, 1, 8)
    assert (config.image_token_id, config.num_labels) == (6, 5)
    assert (settings.pad_token_id, settings.bos_token_id, settings.eos_token_id) == (0, 1, [8, 9])
    assert settings.suppress_tokens == [2, 3]
    assert settings.begin_suppress_tokens == [4]
    assert settings.bad_words_ids == [[2, 3]]
    assert settings.sequence_bias == [[[3], 1.5]]
    assert settings.forced_decoder_ids == [[1, None], [2, 5]]
    assert settings.lang_to_id == {"<en>": 7}
    assert settings.max_length == 20
    assert model.model.padding_idx == model.get_input_embeddings().padding_idx == 0


def test_a_bias_told_as_a_dictionary_follows():
    model = tiny_language_model("gpt2")
    model.generation_config.sequence_bias = {(8,): 1.5, (6, 8): -2.0}
    keep_vocabulary(model, (0, 1, 8, 90))
    assert model.generation_config.sequence_bias == {(2,): 1.5}


def test_bans_of_which_none_is_left_are_no_empty_lists():
    """`generate` refuses empty ones."""
    model = tiny_language_model("llama")
    set_up(model)
    settings = model.generation_config
    settings.forced_decoder_ids = settings.eos_token_id = settings.lang_to_id = model.config.eos_token_id = (
        None
    )
    keep_vocabulary(model, (0, 1, 17, 30))
    for name in ("suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "sequence_bias"):
        assert getattr(settings, name) is None, name
    tokens = torch.tensor([[1, 2, 3]])
    model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=2)


def test_settings_of_a_task_follow_too():
    model = tiny_language_model("llama")
    model.config.task_specific_params = {
        "translate": {
            "max_length": 8,
            "decoder_start_token_id": 9,
            "forced_bos_token_id": 30,
            "lang_to_id": {"a": 8},
        }
    }
    keep_vocabulary(model, (0, 1, 8, 9, 90))
    assert model.config.task_specific_params == {
        "translate": {"max_length": 8, "decoder_start_token_id": 3, "lang_to_id": {"a": 2}}
    }


def test_numbers_outside_the_vocabulary_stay():
    """Stock configurations name tokens that a small vocabulary does not have."""
    model = tiny_language_model("gpt2", bos_token_id=50_256, eos_token_id=50_256, pad_token_id=None)
    assert required_tokens(model) == ()
    keep_vocabulary(model, (4, 9))
    assert model.config.eos_token_id == model.generation_config.eos_token_id == 50_256


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ((0, 1, 5), "token 90 is the eos_token_id"),
        ((1, 5, 90), "token 0 is the padding of"),
        ((0, 5, 1, 90), "ascending"),
        ((0, 1, 1, 90), "ascending"),
        ((0, 1, 90, 97), r"within 0\.\.96; got 4 tokens from 0 to 97"),
        ((-1, 0, 1, 90), "ascending"),
        ((), "got 0 tokens"),
    ],
)
def test_wrong_tokens_are_refused_and_change_nothing(tokens, message):
    model = tiny_language_model("llama")
    before = model.config.to_dict()
    with pytest.raises(PlanError, match=message):
        keep_vocabulary(model, tokens)
    assert model.config.to_dict() == before
    assert vocabulary_of(model)[0] == SIZE
    assert model.get_input_embeddings().padding_idx == 0


def test_positions_counted_from_the_padding_token_are_guarded():
    """RoBERTa places a token at its distance from the number of the padding token."""
    model = tiny_language_model("roberta")
    model.config.bos_token_id = None
    with pytest.raises(PlanError, match=r"counts positions .* would become 0; keep every token below 1"):
        keep_vocabulary(model, (1, 4, 90))
    keep_vocabulary(model, (0, 1, 4, 90))
    assert model.roberta.embeddings.position_embeddings.padding_idx == 1


def test_padding_elsewhere_may_move():
    model = tiny_language_model("opt")
    model.config.pad_token_id = 10
    for module in (model.get_input_embeddings(), model.model.decoder):
        module.padding_idx = 10
    model.generation_config.pad_token_id = 10
    keep_vocabulary(model, (1, 10, 90))
    assert model.get_input_embeddings().padding_idx == model.model.decoder.padding_idx == 1
