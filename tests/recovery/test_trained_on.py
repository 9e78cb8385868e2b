"""Cut models that a user trains on: saved by hand, by a trainer or as an adapter, they stay checkpoints."""

from __future__ import annotations

import json
import shutil

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments, default_data_collator

import secateur
import tiny_tokenizers
from secateur.core.errors import CheckpointError, ConfigError
from secateur.core.progress import quiet
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.pretrained import open_pretrained
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from tiny_gguf import tiny_llama

TOKENS = torch.arange(12)[None]


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


@pytest.fixture(params=["own", "plain"])
def cut(request, tmp_path):
    """The folder of a cut model with tokenizer and metadata, in either form."""
    model = tiny_llama(tied=True)
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape).with_channels(0, range(40))
    if request.param == "plain":
        plan = plan.with_channels(1, range(8, 48))
    folder = tmp_path / "cut"
    tokenizer = tiny_tokenizers.gpt2()
    checkpoint.save(apply(model, plan), folder, plan=plan, metadata={"ratio": 1.2}, tokenizer=tokenizer)
    assert checkpoint.describe(folder).form == request.param
    return folder


def require_whole(folder, cut, model):
    """The folder gives the model back, and says of it what the first one said."""
    described = checkpoint.describe(folder)
    assert (described.plan, described.metadata) == (checkpoint.describe(cut).plan, {"ratio": 1.2})
    loaded = secateur.load(folder)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    return loaded


def test_a_model_that_was_trained_on_is_saved_whole(cut, tmp_path):
    model = secateur.load(cut)
    with torch.no_grad():
        model.model.norm.weight.mul_(1.5)
    secateur.save(model, tmp_path / "tuned")
    loaded = require_whole(tmp_path / "tuned", cut, model)
    assert not torch.equal(loaded.model.norm.weight, secateur.load(cut).model.norm.weight)
    assert checkpoint.load_tokenizer(tmp_path / "tuned").get_vocab() == tiny_tokenizers.gpt2().get_vocab()


def test_a_trainer_writes_whole_checkpoints(cut, tmp_path):
    model = secateur.load(cut)
    rows = [{"input_ids": TOKENS[0], "labels": TOKENS[0]}] * 4
    options = TrainingArguments(
        tmp_path / "run",
        max_steps=2,
        save_steps=1,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        learning_rate=1e-2,
        logging_strategy="no",
    )
    trainer = Trainer(
        model,
        options,
        data_collator=default_data_collator,
        train_dataset=rows,
        processing_class=checkpoint.load_tokenizer(cut),
    )
    trainer.train()
    trainer.save_model(tmp_path / "run")
    for folder in (tmp_path / "run", tmp_path / "run" / "checkpoint-2"):
        require_whole(folder, cut, model)
        assert (
            open_pretrained(folder).tokenizer("word")["input_ids"]
            == tiny_tokenizers.gpt2()("word")["input_ids"]
        )
    first = secateur.load(tmp_path / "run" / "checkpoint-1")
    assert not torch.equal(first.model.norm.weight, model.model.norm.weight)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft's own
def test_an_adapter_finds_its_base_again(cut, tmp_path):
    settings = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    tuned = peft.get_peft_model(secateur.load(cut), settings).eval()
    tuned.save_pretrained(tmp_path / "adapter")
    told = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == str(cut.resolve())
    merged = secateur.load(tmp_path / "adapter")
    with torch.no_grad():
        expected = tuned(input_ids=TOKENS).logits
        torch.testing.assert_close(merged(input_ids=TOKENS).logits, expected)
        assert not torch.allclose(secateur.load(cut)(input_ids=TOKENS).logits, expected)
    secateur.save(merged, tmp_path / "merged")
    require_whole(tmp_path / "merged", cut, merged)
    shutil.rmtree(cut)
    with pytest.raises(ConfigError, match="there is no checkpoint of secateur"):
        secateur.load(tmp_path / "adapter")


def test_what_is_saved_stays_what_it_is(cut, tmp_path):
    model = secateur.load(cut)
    with pytest.raises(CheckpointError, match="weights that are not those of the model"):
        model.save_pretrained(tmp_path / "other", state_dict={"lm_head.weight": torch.zeros(3)})
    with pytest.raises(ConfigError, match="upload"):
        model.save_pretrained(tmp_path / "other", push_to_hub=True)
    model.save_pretrained(tmp_path / "again")
    if checkpoint.describe(cut).form == "plain":
        assert torch.equal(
            AutoModelForCausalLM.from_pretrained(tmp_path / "again")(TOKENS).logits, model(TOKENS).logits
        )
    (tmp_path / "again" / "strange.json").write_text("{}")
    with pytest.raises(CheckpointError, match="does not belong to the checkpoint"):
        secateur.load(tmp_path / "again")
