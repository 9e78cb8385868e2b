"""Models in memory: cut and checked by three lines."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

import secateur
import tiny_tokenizers
from secateur.core.errors import ConfigError, DataError, PlanError, UnsupportedArchitecture
from secateur.core.progress import quiet
from secateur.models.binding import bind
from secateur.models.checkpoint_files import read_plan
from secateur.training.state import digest
from token_tasks import BERT, CASES, DROPOUT_FREE
from zoo import ZOO


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


def test_a_live_model_is_cut_on_batches_and_left_as_it_is():
    case = CASES["llama-text"]
    model, batches = case.model(), tuple(case.rows(16, 1).batches(4))
    before = digest(model)
    found = secateur.prune(model, ratio=1.3, calibration=batches)
    assert digest(model) == before
    count = sum(parameter.numel() for parameter in found.model.parameters())
    assert count <= sum(parameter.numel() for parameter in model.parameters()) / 1.3
    assert found.plan.result == bind(found.model).shape
    assert found.records[0].refit["adopted"] > 0
    assert torch.isfinite(found.model(input_ids=batches[0]["input_ids"]).logits).all()
    with torch.no_grad():
        for parameter in found.model.parameters():
            parameter.fill_(7.0)
    assert digest(model) == before


def test_tokens_are_cut_of_folders_alone_and_messages_say_so(tmp_path):
    model, text = CASES["llama-text"].model(), tmp_path / "text"
    text.write_text("a pump hums")
    with pytest.raises(ConfigError, match="unknown options: vocabulary; allowed: "):
        secateur.prune(model, block_fraction=0.2, vocabulary=text)
    with pytest.raises(PlanError, match=r"give ratio, .*\(of a folder, by secateur prune --vocabulary\)"):
        secateur.prune(model)
    with pytest.raises(PlanError, match=r"ask for less, .*\(of a folder, by secateur prune --vocabulary\)"):
        secateur.prune(model, ratio=900)


def test_a_mixture_of_experts_is_cut_and_its_stock_modules_stay():
    model = next(specimen for specimen in ZOO if specimen.name == "mixtral").build()
    batches, before = tuple(CASES["llama-text"].rows(16, 1).batches(4)), digest(model)
    found = secateur.prune(model, ratio=1.3, calibration=batches)
    assert digest(model) == before
    assert found.plan.result == bind(found.model).shape
    assert found.records[0].refit["adopted"] > 0


def test_without_data_magnitude_decides():
    found = secateur.prune(CASES["bert-labels"].model(), block_fraction=0.3)
    assert found.records[0].refit == {}


@pytest.mark.parametrize("name", ["gpt2", "mixtral", "bert"])
@torch.no_grad()
def test_what_was_cut_in_memory_is_saved_and_cut_again(name, tmp_path):
    """Plan and units count from the dense model, whichever way a cut model came into memory."""
    specimen = next(specimen for specimen in ZOO if specimen.name == name)
    model, batch = specimen.build(), specimen.batch()
    once = secateur.prune(model, block_fraction=0.2).model
    once.save_pretrained(tmp_path / "once")
    twice = {
        "in memory": secateur.prune(once, block_fraction=0.2).model,
        "loaded": secateur.prune(secateur.load(tmp_path / "once"), block_fraction=0.2).model,
    }
    for way, cut in twice.items():
        secateur.save(cut, tmp_path / way)
        assert read_plan(tmp_path / way).shape == bind(model).shape
        assert torch.equal(secateur.load(tmp_path / way)(**batch)[0], cut(**batch)[0])
    assert read_plan(tmp_path / "in memory") == read_plan(tmp_path / "loaded")
    assert "save_pretrained" not in vars(model)


@torch.no_grad()
def test_a_plain_folder_in_memory_is_a_dense_model_of_its_own(tmp_path):
    specimen = next(specimen for specimen in ZOO if specimen.name == "llama")
    small = secateur.prune(specimen.build(), block_fraction=0.3, uniform=True).model
    secateur.save(small, tmp_path / "plain")
    loaded = secateur.load(tmp_path / "plain")
    cut = secateur.prune(loaded, block_fraction=0.2).model
    secateur.save(cut, tmp_path / "cut")
    assert read_plan(tmp_path / "cut").shape == bind(loaded).shape
    batch = specimen.batch()
    assert torch.equal(secateur.load(tmp_path / "cut")(**batch)[0], cut(**batch)[0])


@torch.no_grad()
def test_compact_weights_in_memory_are_saved_and_not_cut(tmp_path):
    specimen = next(specimen for specimen in ZOO if specimen.name == "llama")
    small = secateur.prune(specimen.build(), ratio=1.3, method="svd").model
    secateur.save(small, tmp_path / "svd")
    assert (tmp_path / "svd" / "change.json").is_file()
    batch = specimen.batch()
    assert torch.equal(secateur.load(tmp_path / "svd")(**batch)[0], small(**batch)[0])
    with pytest.raises(ConfigError, match="the weights of this model stand in a compact form"):
        secateur.prune(small, block_fraction=0.2)


def test_models_without_numbers_are_refused():
    damaged = CASES["llama-text"].model()
    with torch.no_grad():
        next(damaged.parameters())[0, 0] = float("nan")
    with pytest.raises(DataError, match=r"'model.embed_tokens.weight' of the model holds numbers that are"):
        secateur.prune(damaged, block_fraction=0.2)
    with pytest.raises(ConfigError, match="has no values"):
        secateur.prune(damaged.to("meta"), block_fraction=0.2)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
def _layer_twice(model):
    model.model.layers[1] = model.model.layers[0]


def _weight_twice(model):
    model.model.layers[1].mlp.down_proj.weight = model.model.layers[0].mlp.down_proj.weight


def _untold_tie(model):
    model.config.tie_word_embeddings = False
    model.lm_head.weight = model.model.embed_tokens.weight


def _tuples(model):
    model.config.return_dict = False


def _norms_in_float32(model):
    model.to(torch.bfloat16)
    for layer in model.model.layers:
        layer.input_layernorm.float()


def _head_in_float32(model):
    model.to(torch.bfloat16).lm_head.float()


def _quantised(model):
    weight = model.model.layers[1].mlp.down_proj.weight
    weight.data = weight.data.to(torch.float8_e4m3fn)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_norms_in_float32, r"torch.bfloat16 and torch.float32, with which it cannot compute .*model\.to\("),
        (_head_in_float32, r"torch.bfloat16 and torch.float32, with which it cannot compute"),
        (_quantised, r"'model.layers.1.mlp.down_proj.weight' .* torch.float8_e4m3fn, as quantised weights"),
        (_layer_twice, "layers 0 and 1 of the model share a weight"),
        (_weight_twice, r"layers 0 and 1 of the model share a weight \('mlp.down_proj.weight'\)"),
        (_untold_tie, "set model.config.tie_word_embeddings = True"),
        (_tuples, "set model.config.return_dict = True"),
    ],
)
def test_models_that_a_cut_would_break_are_refused_before_it(change, told):
    model = CASES["llama-text"].model()
    change(model)
    with pytest.raises((ConfigError, UnsupportedArchitecture), match=told):
        secateur.prune(model, ratio=1.1)


def test_a_tie_that_the_configuration_does_not_tell_is_refused_where_it_is_saved(tmp_path):
    found = secateur.prune(CASES["llama-text"].model(), ratio=1.1).model
    _untold_tie(found)
    with pytest.raises(ConfigError, match=r"set model\.config\.tie_word_embeddings = True"):
        secateur.save(found, tmp_path / "cut")


def test_inference_mode_around_a_cut_changes_nothing_and_inside_a_model_is_told():
    case = CASES["llama-text"]
    model, batches = case.model(), tuple(case.rows(16, 1).batches(4))
    wanted = secateur.prune(model, ratio=1.2, calibration=batches).model
    with torch.inference_mode():
        found = secateur.prune(model, ratio=1.2, calibration=batches).model
        born = case.model()
    assert digest(found) == digest(wanted)
    with pytest.raises(ConfigError, match=r"was made under torch.inference_mode\(\)"):
        secateur.prune(born, ratio=1.2, calibration=batches)


def test_a_compiled_model_is_cut_as_what_it_wraps():
    model = CASES["llama-text"].model()
    found = secateur.prune(torch.compile(model, backend="eager"), ratio=1.1)
    assert type(found.model) is type(model)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft's own
def test_a_model_inside_an_adapter_is_refused():
    from peft import LoraConfig, get_peft_model

    wrapped = get_peft_model(CASES["llama-text"].model(), LoraConfig(r=2, target_modules=["q_proj"]))
    with pytest.raises(UnsupportedArchitecture, match="Merge adapters first"):
        secateur.prune(wrapped, block_fraction=0.2)


def test_what_needs_held_out_data_is_refused_on_batches():
    case = CASES["llama-text"]
    with pytest.raises(ConfigError, match="held out of a file or of texts; give calibration FILE"):
        secateur.prune(
            case.model(), ratio=1.3, method="cascade", calibration=tuple(case.rows(16, 1).batches(4))
        )


def test_a_live_model_is_checked():
    case = CASES["gpt2-text"]
    batches = tuple(case.rows(8, 1).batches(4))
    check = secateur.sia(case.model(), calibration=batches, budget_s=0.5, ratio=None)
    assert {entry.granularity for entry in check.verdict.granularities} >= {"layers", "channels"}
    with pytest.raises(ConfigError, match="measures on samples"):
        secateur.sia(case.model(), calibration=None)


def test_a_live_classifier_is_checked_on_texts_as_on_the_command_line():
    tokenizer = tiny_tokenizers.bert()
    config = BertConfig(**BERT | DROPOUT_FREE | {"vocab_size": len(tokenizer)})
    texts = [f"the statement of class {number} is raised." for number in range(12)]
    check = secateur.sia(
        BertForSequenceClassification(config).eval(),
        calibration=texts,
        tokenizer=tokenizer,
        budget_s=0.5,
        ratio=None,
    )
    assert check.measured is not None
    assert check.measured.n_samples == 12
