"""Tasks read from files: roles do not overlap, tables of every kind, wrong files in one message."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow
import pytest
import torch
from pyarrow import parquet
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    RobertaConfig,
    RobertaModel,
)

import tiny_tokenizers
from secateur.core.errors import ConfigError, DataError
from secateur.models.tables import read_rows
from secateur.tasks.reading import read_task, task_of_model
from secateur.tasks.text_data import TextData
from tiny_tokenizers import TEXT
from token_tasks import BERT, CASES, DROPOUT_FREE, LLAMA


@pytest.fixture(scope="module")
def bert():
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = tiny_tokenizers.bert()
    names = {0: "normal", 1: "inner", 2: "outer"}
    config = BertConfig(
        **BERT | DROPOUT_FREE | {"vocab_size": len(tokenizer)},
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )
    return BertForSequenceClassification(config), tokenizer


@pytest.fixture(scope="module")
def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizers.llama()
    return LlamaForCausalLM(LlamaConfig(**LLAMA | {"vocab_size": len(tokenizer)})), tokenizer


LABELS = ("normal", "inner", "outer")
ROWS = [("assert " * (n % 20 + 1) + "statement " * (n // 20 + 1), LABELS[n % 3]) for n in range(60)]


def written(folder, suffix, columns=("text", "label"), rows=ROWS):
    path = folder / f"table{suffix}"
    if suffix == ".csv":
        path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows) + "\n")
    else:
        table = {name: list(values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)}
        parquet.write_table(pyarrow.table(table), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_labelled_text_is_the_same_from_every_kind_of_table(bert, tmp_path, suffix):
    model, tokenizer = bert
    path = written(tmp_path, suffix)
    assert read_rows(path, ("text", "label")) == ROWS
    assert task_of_model(model) == "labels"
    task = read_task(model, tokenizer, "labels", TextData(path=path, held_out=0.2, blocks=2))
    assert [len(part) for part in (task.train, task.validation, task.test)] == [36, 12, 12]
    parts = [{tuple(row.tolist()) for row in part.rows} for part in (task.train, task.validation, task.test)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    counts = sum(batch["label"].bincount(minlength=3) for batch in task.calibration)
    assert counts.tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def test_rows_of_one_text_play_one_role(bert, tmp_path):
    """Of a table with repeated texts, labelled alike or not, no text is learnt and judged."""
    rows = [*ROWS, *ROWS[:40], *((text, "normal") for text, _ in ROWS[:20])]
    data = TextData(path=written(tmp_path, ".jsonl", rows=rows), held_out=0.2, blocks=2)
    task = read_task(*bert, "labels", data)
    parts = [{tuple(row.tolist()) for row in part.rows} for part in (task.train, task.validation, task.test)]
    assert [len(part) for part in parts] == [36, 12, 12]
    assert sum(map(len, (task.train, task.validation, task.test))) == len(rows)
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_sentences_that_are_fitted_to_are_not_judged(bert, tmp_path):
    model, tokenizer = bert[0].bert, bert[1]
    own = " ".join(f"The {word} statement is a statement." for word in ("assert", "import", "del", "return"))
    path = tmp_path / "manual.txt"
    path.write_text("".join(f"Number {n} is another number.\nSwitch off the machine.\n" for n in range(400)))
    task = read_task(model, tokenizer, "embeddings", TextData(path=path, held_out=0.1, blocks=8, learns=True))
    fitted = {tuple(row.tolist()) for row in task.train.rows}
    for part in (task.validation, task.test):
        assert len(part) > 10
        assert not fitted & {tuple(row.tolist()) for row in part.rows}
    path.write_text(f"{own}\n" * 100)
    with pytest.raises(DataError, match=r"every sentence of .* that is held out is among those fitted to"):
        read_task(model, tokenizer, "embeddings", TextData(path=path, held_out=0.1, blocks=8))


def test_labelled_texts_beyond_a_block_are_cut_off_and_counted(bert, tmp_path, capsys):
    model, tokenizer = bert
    rows = [*ROWS[:6], ("assert " * 400, "inner")]
    task = read_task(model, tokenizer, "labels", TextData(path=written(tmp_path, ".jsonl", rows=rows)))
    assert "1 of 7 texts have more than 64 tokens" in " ".join(capsys.readouterr().err.split())
    longest = max(task.train.rows, key=len)
    assert (len(longest), longest[-1]) == (64, tokenizer.sep_token_id)


def test_labels_as_spreadsheets_write_them_and_texts_of_two_labels(bert, tmp_path, capsys):
    path = tmp_path / "table.csv"
    rows = [f'"{text}";{number % 2}.0' for number, (text, _) in enumerate(ROWS)]
    path.write_text("\n".join(["text;label", *rows, f'"{ROWS[0][0]}";1.0']))
    task = read_task(*bert, "labels", TextData(path=path))
    assert task.train.classes.unique().tolist() == [0, 1]
    assert f"1 of {len(ROWS)} different texts stand in the table with more than one label" in " ".join(
        capsys.readouterr().err.split()
    )


def test_lines_without_a_full_stop_are_one_sentence_which_is_said(bert, tmp_path, capsys):
    model, tokenizer = bert[0].bert, bert[1]
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(f"assert the statement {n}" for n in range(100)))
    with pytest.raises(DataError, match=r"has one sentence to fit to, too few; a sentence ends with '\.'"):
        read_task(model, tokenizer, "embeddings", TextData(path=path))
    path.write_text(path.read_text() + "." + " This is one more.")
    read_task(model, tokenizer, "embeddings", TextData(path=path))
    assert "1 of 2 sentences reach 64 tokens" in " ".join(capsys.readouterr().err.split())


def test_answers_are_predicted_and_prompts_are_not(llama, tmp_path):
    model, tokenizer = llama
    path = written(tmp_path, ".jsonl", ("prompt", "answer"), [("assert is", " a statement")] * 8)
    task = read_task(model, tokenizer, "answers", TextData(path=path, blocks=1))
    batch = task.calibration[0]
    prompt = len(tokenizer("assert is")["input_ids"])
    assert (batch["labels"][:, :prompt] == -100).all()
    assert (batch["labels"][:, prompt:] == batch["input_ids"][:, prompt:]).all()
    assert batch["input_ids"][0, -1] == tokenizer.eos_token_id


def test_every_sample_of_a_language_model_begins_as_its_tokenizer_begins_texts(llama, tmp_path):
    model, tokenizer = llama
    begin = tokenizer.bos_token_id
    text, table = tmp_path / "text.txt", tmp_path / "table.jsonl"
    text.write_text(TEXT[:60_000])
    row = {"prompt": "assert is", "answer": " a statement"}
    opened = row | {"prompt": "<s>assert is"}
    table.write_text("".join(json.dumps(entry) + "\n" for entry in [row, opened] * 10))
    task = read_task(model, tokenizer, "text", TextData(path=text, blocks=2, held_out=0.1, learns=True))
    for rows in (task.train.rows, task.validation.rows, task.elsewhere.rows, task.fitting[0]["input_ids"]):
        assert rows.shape[1] == 64
        assert (rows[:, 0] == begin).all()
        assert not (rows[:, 1:] == begin).any()
    answers = read_task(model, tokenizer, "answers", TextData(path=table, blocks=1)).calibration[0]
    assert (answers["input_ids"] == begin).sum(dim=1).tolist() == [1] * len(answers["input_ids"])
    assert (answers["labels"][:, 0] == -100).all()


def test_answers_behind_a_block_are_left_out_and_counted(llama, tmp_path, capsys):
    model, tokenizer = llama
    rows = [("assert is", " a statement"), ("assert " * 400, " a statement")] * 3
    path = written(tmp_path, ".jsonl", ("prompt", "answer"), rows)
    task = read_task(model, tokenizer, "answers", TextData(path=path, blocks=1))
    assert sum(len(batch["input_ids"]) for batch in task.fitting) == 3
    assert "3 of 6 answers begin behind the 64 tokens of a block" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("padding", [0, 1])
def test_rows_are_filled_with_the_padding_that_the_model_knows(tmp_path, padding):
    """A decoder that gives classes looks for the last token that is none of its own padding."""
    tokenizer = tiny_tokenizers.framed()
    assert tokenizer.pad_token_id == 2
    model = LlamaForSequenceClassification(
        LlamaConfig(**LLAMA | {"vocab_size": len(tokenizer), "pad_token_id": padding}, num_labels=3)
    ).eval()
    path = written(tmp_path, ".csv", rows=[(text, number % 3) for number, (text, _) in enumerate(ROWS)])
    task = read_task(model, tokenizer, "labels", TextData(path=path, blocks=2))
    (batch,) = task.calibration
    assert batch["attention_mask"].sum(dim=1).unique().numel() > 2
    with torch.no_grad():
        together = model(batch["input_ids"], batch["attention_mask"]).logits
        alone = [
            model(row[: int(mask.sum())][None]).logits[0]
            for row, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        ]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-5, rtol=1e-5)


def test_a_classifier_without_padding_is_told_how_to_name_one(tmp_path):
    tokenizer = tiny_tokenizers.framed()
    model = LlamaForSequenceClassification(
        LlamaConfig(**LLAMA | {"vocab_size": len(tokenizer), "pad_token_id": None}, num_labels=3)
    )
    with pytest.raises(ConfigError, match="name a token that no text holds as pad_token_id"):
        read_task(model, tokenizer, "labels", TextData(path=written(tmp_path, ".csv")))


@pytest.mark.parametrize("settings", [{"num_labels": 1}, {"problem_type": "multi_label_classification"}])
def test_heads_that_give_no_single_class_are_judged_by_embeddings(tmp_path, settings):
    tokenizer = tiny_tokenizers.bert()
    model = BertForSequenceClassification(BertConfig(**BERT | {"vocab_size": len(tokenizer)} | settings))
    assert task_of_model(model) == "embeddings"
    with pytest.raises(ConfigError, match="gives one of two or more labels"):
        read_task(model, tokenizer, "labels", TextData(path=written(tmp_path, ".csv")))


def test_texts_are_no_longer_than_a_model_takes(tmp_path):
    """Families after RoBERTa number positions from behind the padding token, and take fewer tokens."""
    tokenizer = tiny_tokenizers.roberta()
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 64, "pad_token_id": 1}
    model = RobertaModel(RobertaConfig(**BERT | sizes)).eval()
    path = tmp_path / "text.txt"
    path.write_text("one statement " * 400 + ".\n" + TEXT[:9_000])
    task = read_task(model, tokenizer, "embeddings", TextData(path=path, blocks=8))
    longest = max((batch["input_ids"] for batch in task.fitting), key=lambda ids: ids.shape[1])
    assert longest.shape[1] == 62
    assert model(longest).last_hidden_state.isfinite().all()


def test_parts_of_a_running_text_follow_each_other(llama, tmp_path):
    model, tokenizer = llama
    path = tmp_path / "text.txt"
    path.write_text("".join(f"line {n} of the text\n" for n in range(2000)))
    data = TextData(path=path, blocks=3, held_out=0.1, learns=True)
    mixed = read_task(model, tokenizer, "text", data)
    task = read_task(model, tokenizer, "text", replace(data, general_share=0.0))
    assert (len(task.calibration), len(mixed.calibration)) == (3, 6), "as much general text beside it"
    assert sum(len(batch["input_ids"]) for batch in mixed.fitting) == data.fitted_samples("text") == 24
    assert len(task.train) < len(mixed.train) <= 2 * len(task.train)
    assert task.train.longest == task.validation.longest == task.test.longest == 64
    texts = [tokenizer.decode(part.rows[0]) for part in (task.train, task.validation, task.test)]
    numbers = [int("".join(c for c in text.split("line")[2] if c.isdigit())) for text in texts]
    assert numbers[0] < 100 < 1590 < numbers[1] < 1800 <= numbers[2]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("table.csv", "words,label\na b,normal\n", "has no column text; its columns are words, label"),
        ("table.csv", "text,label\na b,\n", "row 1 of .* has no label"),
        ("table.csv", "text,label\n", "has no rows"),
        ("table.csv", "text,label\na b,ball\n", "label 'ball', which is none of the model's: normal, inner"),
        ("table.csv", "text,label,label\na b,normal,inner\n", "has more than one column label"),
        ("table.csv", "text,label\na, b,normal\n", "line 2 of .* has 3 values for 2 columns"),
        ("table.csv", "text;label\na; b;normal\n", "line 2 of .* put texts with ';' between double quotes"),
        ("table.csv", "text,label\na b,\u00b2\n", "label '\u00b2', which is none of the model's"),
        ("table.csv", "text,label\na b,-1\n", "label '-1', which is none of the model's"),
        ("table.csv", "text,label\n  ,normal\n", "row 1 of .* has no text"),
        ("table.jsonl", '{"text": "a", "text": "b", "label": 0}\n', "has more than one column text"),
        ("table.jsonl", '{"text": "a", "label": 0}\n{"text": "a"}\n', "row 2 of .* has no column label"),
        ("table.jsonl", '{"text": ["a"], "label": 0}\n', "holds a list as text; give a text or a number"),
        ("table.jsonl", '{"text": NaN, "label": 0}\n', "row 1 of .* has no text"),
        ("table.jsonl", '{"text": "a\\u0000b", "label": 0}\n', "row 1 of .* has a NUL character in its text"),
        ("table.jsonl", "{not json\n", "line 1 of .* is not JSON"),
        ("table.jsonl", "[1]\n", "is no object"),
        ("table.jsonl", '{"text": "\udcff", "label": 0}\n', "is not UTF-8 .line 1"),
        ("table.csv", "text,label\na \udcff b,normal\n", "is not UTF-8"),
        ("table.csv", "\udcff\udcfetext,label\n", "is text in UTF-16; convert it"),
        ("table.csv", f"text,label\n{'a ' * 99_000},normal\n", "JSON lines and Parquet hold any text"),
        ("table.parquet", "PAR1", "is not a Parquet file"),
        ("table.xls", "", "is none of .csv, .jsonl, .parquet"),
    ],
)
def test_wrong_tables_are_told_of_in_one_message(bert, tmp_path, name, content, said):
    (tmp_path / name).write_text(content, errors="surrogateescape")
    with pytest.raises(DataError, match=said):
        read_task(*bert, "labels", TextData(path=tmp_path / name))


def test_a_parquet_table_without_a_column_tells_all_that_it_has(bert, tmp_path):
    table = pyarrow.table({"sentence": ["a b"], "label": ["normal"]})
    parquet.write_table(table, tmp_path / "table.parquet")
    with pytest.raises(DataError, match="has no column text; its columns are sentence, label"):
        read_task(*bert, "labels", TextData(path=tmp_path / "table.parquet"))


def test_what_does_not_fit_is_refused(bert, llama, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("The assert statement is a statement that asserts. " * 40)
    with pytest.raises(ConfigError, match="gives no class"):
        read_task(*llama, "labels", TextData(path=written(tmp_path, ".csv", rows=[("a b", 0), ("c d", 1)])))
    with pytest.raises(ConfigError, match="predicts no next token"):
        read_task(*bert, "text", TextData(path=path))
    with pytest.raises(ConfigError, match="unknown task 'poems'"):
        read_task(*llama, "poems", TextData(path=path))
    with pytest.raises(ConfigError, match=r"gives token \d+, but the embedding of LlamaForCausalLM has 23"):
        read_task(CASES["llama-text"].model(), llama[1], "text", TextData(path=path))
    with pytest.raises(DataError, match="fewer than the 64 tokens"):
        read_task(*llama, "text", TextData(path=path, held_out=0.01))
    with pytest.raises(DataError, match="too few to hold"):
        read_task(*bert, "labels", TextData(path=written(tmp_path, ".jsonl", rows=ROWS[:3]), held_out=0.1))
