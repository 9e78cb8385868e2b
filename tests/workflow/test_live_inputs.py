"""What models in memory are given: batches, texts, labelled rows and arguments, and which are refused."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel

import secateur
import tiny_tokenizers
from secateur.core.errors import ConfigError, DataError, SecateurError
from secateur.core.progress import quiet
from token_tasks import BERT, CASES, DROPOUT_FREE


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


@pytest.mark.parametrize(
    "batch",
    [
        {"input_ids": torch.ones(2, 8).long(), "labels": torch.full((2, 8), -100)},
        {"input_ids": torch.ones(4, 1).long()},
    ],
)
def test_batches_that_predict_nothing_are_refused(batch):
    with pytest.raises(DataError, match="no batch of the calibration has a token to predict"):
        secateur.prune(CASES["llama-text"].model(), ratio=1.1, calibration=[batch])


@pytest.mark.parametrize(
    "given",
    [
        [],
        [" "],
        [{"input_ids": torch.ones(1, 4)}, "text"],
        torch.ones(2, 4),
        7,
        [b"a"],
        [{"text": "a"}, "b"],
        [{"input_ids": [1]}],
    ],
)
def test_calibration_of_another_kind_is_refused(given):
    with pytest.raises(ConfigError, match="give a file, texts, rows"):
        secateur.prune(CASES["gpt2-text"].model(), ratio=1.2, calibration=given)


def test_one_batch_is_a_batch_and_not_the_names_of_its_tensors():
    case = CASES["gpt2-text"]
    model, batch = case.model(), next(iter(case.rows(8, 1).batches(8)))
    alone = secateur.prune(model, ratio=1.2, calibration=batch)
    listed = secateur.prune(model, ratio=1.2, calibration=(one for one in [batch]))
    assert alone.plan == listed.plan


def classifier():
    tokenizer = tiny_tokenizers.bert()
    config = BertConfig(**BERT | DROPOUT_FREE | {"vocab_size": len(tokenizer)})
    return BertForSequenceClassification(config).eval(), tokenizer


TEXTS = [f"the statement of class {number} is raised again." for number in range(12)]


def test_labelled_rows_in_memory_are_as_a_table_on_disk(tmp_path):
    (model, tokenizer), rows = classifier(), [{"text": text, "label": n % 2} for n, text in enumerate(TEXTS)]
    table = tmp_path / "rows.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {"tokenizer": tokenizer, "block_fraction": 0.3, "calibration_blocks": 2}
    given = secateur.prune(model, calibration=rows, **asked)
    assert given.plan == secateur.prune(model, calibration=table, **asked).plan


def test_blank_texts_are_left_out():
    tokenizer = tiny_tokenizers.bert()
    model = BertModel(BertConfig(**BERT | DROPOUT_FREE | {"vocab_size": len(tokenizer)})).eval()
    asked = {"tokenizer": tokenizer, "block_fraction": 0.3, "calibration_blocks": 2}
    one, other = (secateur.prune(model, calibration=given, **asked) for given in (TEXTS, ["", *TEXTS, " "]))
    assert one.plan == other.plan


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"calibration": TEXTS}, "calibration has no column label; its columns are text. Give dicts of text"),
        ({"calibration": [{"text": "a b", "label": 7}]}, "calibration has the label '7'"),
        ({"calibration": [{"text": "a b", "label": None}]}, "row 1 of calibration has no label"),
        (
            {"calibration": TEXTS, "tokenizer": None},
            "to read it with; give it as tokenizer=",
        ),
        ({"calibration": TEXTS, "general_share": 0.5, "task": "embeddings"}, "leave general_share out"),
        (
            {"calibration": "The pump runs. " * 400},
            "'The pump .*is not a file; give one, or texts as a list",
        ),
        ({"calibration": TEXTS, "method": "one_shot", "rounds": 2}, "^rounds: not for method 'one_shot'"),
    ],
)
def test_messages_speak_of_what_was_given_and_of_no_file_or_option(given, told):
    model, tokenizer = classifier()
    with pytest.raises(SecateurError, match=told) as refused:
        secateur.prune(model, **{"tokenizer": tokenizer, "block_fraction": 0.3} | given)
    assert not re.search(r"--[a-z]|\.txt|/tmp", str(refused.value))


IDS = torch.ones(4, 6, dtype=torch.int64)


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        ({"text": "a", "label": torch.tensor(1)}, "holds text, label; needed are the tensors input_ids"),
        ({"input_ids": [1, 2], "x": IDS}, "holds input_ids, x; needed are the tensors input_ids"),
        ({"input_ids": IDS[0]}, r"has input_ids of shape \(6,\); needed is \(texts, tokens\)"),
        ({"input_ids": IDS[:0]}, "has 0 samples"),
        ({"input_ids": IDS[:, :0]}, r"has input_ids of shape \(4, 0\)"),
        ({"input_ids": IDS.float()}, "has input_ids of torch.float32; needed are whole numbers"),
        ({"input_ids": 10**6 * IDS}, "has tokens from 1000000 to 1000000, but the embedding of Bert"),
        ({"input_ids": -IDS}, "has tokens from -1 to -1"),
        ({"input_ids": IDS.repeat(1, 99)}, "has texts of 594 tokens; the model takes 64"),
        ({"input_ids": IDS, "attention_mask": IDS[:2]}, r"has an attention_mask of shape \(2, 6\)"),
        ({"input_ids": IDS, "attention_mask": 0 * IDS}, "has a text whose tokens are all masked"),
        ({"input_ids": IDS, "labels": torch.full((4,), 7)}, "needed are 4 numbers from 0 to 2"),
        ({"input_ids": IDS, "label": torch.zeros(3)}, r"has labels of shape \(3,\); needed are 4 numbers"),
    ],
)
@pytest.mark.parametrize("call", [secateur.prune, secateur.sia])
def test_a_batch_that_the_model_cannot_take_is_refused(call, batch, told):
    good, asked = {"input_ids": IDS}, {"block_fraction": 0.3} if call is secateur.prune else {}
    with pytest.raises(DataError, match=f"batch 2 of the calibration .*{told}"):
        call(classifier()[0], calibration=[good, batch], **asked)


def test_classes_may_go_by_the_name_that_transformers_gives_them():
    model, classes = classifier()[0], torch.tensor([0, 1, 1, 0])
    found = [
        secateur.prune(
            model, block_fraction=0.3, criterion="taylor", calibration={"input_ids": tokens, name: classes}
        ).plan
        for tokens in [torch.randint(5, 90, (4, 8), generator=torch.Generator().manual_seed(0))]
        for name in ("label", "labels")
    ]
    assert found[0] == found[1]


def test_names_in_the_place_of_a_model_or_a_tokenizer_are_refused():
    model, _ = classifier()
    for wrong in ("models/bert", BertModel):
        with pytest.raises(ConfigError, match="give a model in memory"):
            secateur.prune(wrong, ratio=1.1)
    with pytest.raises(ConfigError, match="tokenizer is 'bert-base'; give one of transformers"):
        secateur.prune(model, ratio=1.1, calibration=TEXTS, tokenizer="bert-base")


def test_numbers_of_numpy_are_labels_too():
    model, tokenizer = classifier()
    rows = [{"text": text, "label": np.int64(number % 2)} for number, text in enumerate(TEXTS)]
    found = secateur.prune(
        model, block_fraction=0.3, calibration=rows, tokenizer=tokenizer, calibration_blocks=2
    )
    assert found.records[0].refit["adopted"] > 0


@pytest.mark.parametrize(
    ("call", "given", "told"),
    [
        (secateur.prune, {"ratio": "2"}, r"ratio is '2' \(str\); give a number or None"),
        (secateur.prune, {"ratio": 1.2, "seed": None, "rounds": 1.5}, "rounds is 1.5"),
        (secateur.prune, {"ratio": 1.2, "method": ["rounds"]}, "method is .*give a text"),
        (secateur.prune, {"ratio": 1.2, "task": 3}, "task is 3"),
        (secateur.prune, {"ratio": 1.2, "task": "poems"}, "unknown task 'poems'; allowed: text, answers"),
        (secateur.prune, {"task": "text", "calibration": {"input_ids": IDS}}, "Bert.* no next token"),
        (
            secateur.prune,
            {"max_memory": "4GiB"},
            "unknown options: max_memory; allowed: .*ratio",
        ),
        (secateur.prune, {"ratio": 1.2, "recovery_control": True}, "unknown options: recovery_control"),
        (secateur.sia, {"calibration": TEXTS, "ratio": "4"}, "ratio is '4'"),
        (secateur.sia, {"calibration": TEXTS, "budget_s": None}, "budget_s is None"),
        (secateur.sia, {"calibration": TEXTS, "seed": 0.5}, "seed is 0.5"),
        (secateur.sia, {"calibration": 7}, "calibration holds int; give a file, texts"),
        (secateur.save, {"folder": ["x"]}, r"folder is \['x'\] \(list\); give a text or a path"),
        (secateur.save, {"folder": "x", "tokenizer": "bert-base"}, "tokenizer is 'bert-base'"),
    ],
)
def test_arguments_of_a_wrong_type_are_told_by_their_names(call, given, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=told):
        call(classifier()[0], **given)
    assert not [*tmp_path.iterdir()]


def test_a_folder_to_load_or_a_model_to_save_that_is_none_is_refused(tmp_path):
    for wrong in (None, 3, ["x"]):
        with pytest.raises(ConfigError, match=r"folder is .*give a text or a path"):
            secateur.load(wrong)
    with pytest.raises(ConfigError, match="the model is 'model'; give a model in memory"):
        secateur.save("model", tmp_path / "x")
