"""Tasks read from files: roles do not overlap, tables of every kind, wrong files in one message."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow
import pytest
from pyarrow import parquet

import tiny_tokenizers
from secateur.core.errors import ConfigError, DataError
from secateur.tasks.reading import TextData, read_task, task_of_model
from secateur.tasks.tables import read_rows
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


def test_answers_are_predicted_and_prompts_are_not(llama, tmp_path):
    model, tokenizer = llama
    path = written(tmp_path, ".jsonl", ("prompt", "answer"), [("assert is", " a statement")] * 8)
    task = read_task(model, tokenizer, "answers", TextData(path=path, blocks=1))
    batch = task.calibration[0]
    prompt = len(tokenizer("assert is", add_special_tokens=False)["input_ids"])
    assert (batch["labels"][:, :prompt] == -100).all()
    assert (batch["labels"][:, prompt:] == batch["input_ids"][:, prompt:]).all()
    assert batch["input_ids"][0, -1] == tokenizer.eos_token_id


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
        ("table.csv", "text,label\na b,\n", "row 1 of .* has no text or label"),
        ("table.csv", "text,label\n", "has no rows"),
        ("table.csv", "text,label\na b,ball\n", "label 'ball', which is none of the model's: normal, inner"),
        ("table.jsonl", "{not json\n", "line 1 of .* is not JSON"),
        ("table.jsonl", "[1]\n", "is no object"),
        ("table.parquet", "PAR1", "is not a Parquet file"),
        ("table.xls", "", "is none of .csv, .jsonl, .parquet"),
    ],
)
def test_wrong_tables_are_told_of_in_one_message(bert, tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=said):
        read_task(*bert, "labels", TextData(path=tmp_path / name))


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
