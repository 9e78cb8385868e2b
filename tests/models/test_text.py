"""Text as blocks and passages: what is drawn, in bounded memory, and what is refused."""

from __future__ import annotations

import csv
import gzip
import json
import re

import pyarrow
import pytest
import torch
from pyarrow import parquet

import tiny_tokenizers
from secateur.core.errors import ConfigError, DataError
from secateur.models import text as reading
from secateur.models.text import TokenSource, passage_batches, text_batches, text_blocks
from tiny_tokenizers import TEXT


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizers.gpt2()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "topics.txt"
    path.write_text(TEXT[:20_000], encoding="utf-8")
    return path


@pytest.fixture
def source(file, tokenizer):
    return TokenSource(path=file, tokenizer=tokenizer)


def test_all_blocks_are_the_tokens_of_the_file(source, tokenizer, monkeypatch):
    whole = tokenizer(TEXT[:20_000], add_special_tokens=False, verbose=False)["input_ids"]
    monkeypatch.setattr(reading, "PIECE_CHARACTERS", 700)
    pieces = list(source.texts())
    assert len(pieces) > 10
    assert all(len(piece) < 1200 for piece in pieces)
    assert "".join(pieces) == TEXT[:20_000]
    ids = text_blocks(source, length=50)
    assert ids.dtype == torch.int64
    assert ids.flatten().tolist() == whole[: len(whole) // 50 * 50]
    assert source.count() == len(whole)


def test_drawn_blocks_are_distinct_blocks_of_the_file_in_order(source):
    every = [tuple(block) for block in source.blocks(40)]
    batches = text_batches(source, blocks=7, length=40, batch_size=3, seed=2)
    assert [tuple(batch["input_ids"].shape) for batch in batches] == [(3, 40), (3, 40), (1, 40)]
    drawn = [tuple(row) for batch in batches for row in batch["input_ids"].tolist()]
    places = [every.index(row) for row in drawn]
    assert places == sorted(set(places))
    again = text_blocks(source, blocks=7, length=40, seed=2)
    assert [tuple(row) for row in again.tolist()] == drawn
    assert not torch.equal(again, text_blocks(source, blocks=7, length=40, seed=3))
    assert len(text_blocks(source, blocks=10_000, length=40)) == len(every)


def test_parts_of_a_file_meet_at_a_line_end_and_do_not_overlap(file, tokenizer):
    parts = [
        "".join(TokenSource(path=file, tokenizer=tokenizer, first=first, last=last).texts())
        for first, last in ((0, 0.6), (0.6, 0.75), (0.75, 1))
    ]
    assert "".join(parts) == TEXT[:20_000]
    assert all(part.endswith("\n") for part in parts[:-1])
    assert len(parts[0]) == pytest.approx(12_000, abs=200)


def test_a_line_without_end_is_read_in_pieces(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(reading, "LONGEST_LINE_BYTES", 64)
    monkeypatch.setattr(reading, "PIECE_CHARACTERS", 100)
    text = "Lager läuft heiß – 90 °C. " * 60
    path = tmp_path / "line.txt"
    path.write_text(text, encoding="utf-8")
    pieces = list(TokenSource(path=path, tokenizer=tokenizer).texts())
    assert "".join(pieces) == text
    assert max(map(len, pieces)) < 200


@pytest.mark.parametrize(
    "text", ["Lager läuft heiß – 90 °C. " * 900, "軸承過熱。" * 2000, "word " * 40 + "\n"]
)
def test_parts_of_a_file_that_is_one_line_meet_between_words_or_characters(
    tmp_path, tokenizer, text, monkeypatch
):
    monkeypatch.setattr(reading, "PIECE_CHARACTERS", 300)
    path = tmp_path / "line.txt"
    path.write_text(text, encoding="utf-8")
    parts = [
        "".join(TokenSource(path=path, tokenizer=tokenizer, first=first, last=last).texts())
        for first, last in ((0, 0.6), (0.6, 0.75), (0.75, 1))
    ]
    assert "".join(parts) == text
    if len(text) > 300:
        assert len(parts[0]) == pytest.approx(0.6 * len(text), abs=40)
        assert " " not in text or all(part.endswith(" ") for part in parts)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_texts_of_a_table_are_read_and_nothing_else_of_it(tmp_path, tokenizer, suffix):
    texts = [f'the "value" of {number}, and more.' for number in range(20)]
    frame = {"text": texts, "other": ["noise"] * 20}
    path = tmp_path / f"table{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pyarrow.table(frame), path)
    elif suffix == ".csv":
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([frame.keys(), *zip(*frame.values(), strict=True)])
    else:
        path.write_text("".join(json.dumps({"text": text, "other": 1}) + "\n" for text in texts))
    source = TokenSource(path=path, tokenizer=tokenizer, first=0.5, last=0.9)
    assert "".join(source.texts()) == "".join(f"{text}\n\n" for text in texts[10:18])
    assert list(reading.sentences_of(source.texts())) == texts[10:18]


def test_passages_are_sentences_as_an_encoder_sees_them(file):
    tokenizer = tiny_tokenizers.bert()
    source = TokenSource(path=file, tokenizer=tokenizer)
    batches = passage_batches(source, passages=11, length=24, batch_size=4, seed=1)
    assert [len(batch["input_ids"]) for batch in batches] == [4, 4, 3]
    flat = " ".join(re.sub(r"[\W_]+", " ", TEXT[:20_000]).lower().split())
    for batch in batches:
        ids, mask = batch["input_ids"], batch["attention_mask"]
        assert ids.shape == mask.shape
        assert ids.shape[1] <= 24
        assert mask.sum(dim=1).max() == ids.shape[1], "padded to the longest of the batch"
        assert (ids[:, 0] == tokenizer.cls_token_id).all()
        assert torch.equal(mask == 0, ids == tokenizer.pad_token_id)
        for row in ids:
            words = tokenizer.decode(row, skip_special_tokens=True)
            start = " ".join(re.sub(r"[\W_]+", " ", words).split()[:3])
            assert start in flat
    again = passage_batches(source, passages=11, length=24, batch_size=4, seed=1)
    assert all(torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(batches, again, strict=True))
    other = passage_batches(source, passages=11, length=24, batch_size=4, seed=2)
    assert any(
        a["input_ids"].tolist() != b["input_ids"].tolist() for a, b in zip(batches, other, strict=True)
    )


def test_every_sentence_is_drawn_alike(tmp_path):
    path = tmp_path / "sentences.txt"
    path.write_text(" ".join(f"the value of {number}." for number in range(100, 120)))
    source = TokenSource(path=path, tokenizer=tiny_tokenizers.words())
    drawn = [0] * 20
    sentences = list(reading.sentences_of(source.texts()))
    assert len(sentences) == 20
    for seed in range(400):
        draw = reading.drawn_sentences(iter(sentences), 5, seed)
        assert len(set(draw)) == 5
        for sentence in draw:
            drawn[sentences.index(sentence)] += 1
    assert min(drawn) > 70
    assert max(drawn) < 135


def test_what_cannot_be_read_is_named(tmp_path, tokenizer, file):
    def source(content: bytes) -> TokenSource:
        path = tmp_path / "text.txt"
        path.write_bytes(content)
        return TokenSource(path=path, tokenizer=tokenizer)

    with pytest.raises(DataError, match=r"text\.txt is empty"):
        text_blocks(source(b""), length=4)
    with pytest.raises(DataError, match=r"not UTF-8 \(byte 9: invalid"):
        text_blocks(source(b"line one\n\xff\xfe and more\n"), length=4)
    with pytest.raises(DataError, match=r"not UTF-8 \(byte 5: unexpected end"):
        text_blocks(source(b"fine \xe2\x82"), length=4)
    for kind in ("utf-16-le", "utf-32-be"):
        with pytest.raises(DataError, match=r"has NUL characters before byte \d+: it is UTF-16"):
            text_blocks(source("bearing\n".encode(kind)), length=4)
    with pytest.raises(DataError, match=r"text\.txt is empty"):
        text_blocks(source(b"\xef\xbb\xbf" + b" \r\n\t\n" * 99), length=4)
    for content, told in (
        (gzip.compress(b"bearing\n" * 99), "is packed by gzip; unpack it first"),
        ("bearing\n".encode("utf-16"), "is text in UTF-16; convert it"),
        (b"PK\x03\x04\x14\x00\x00\xff" * 99, "is a ZIP archive or an office document"),
        (b"%PDF-1.7\n\xe2\xe3\xcf\xd3\n" * 9, "is a PDF; save its text"),
    ):
        with pytest.raises(DataError, match=told):
            text_blocks(source(content), length=4)
    with pytest.raises(DataError, match="fewer than the 400 tokens of one block"):
        text_blocks(source(b"a few words\n"), length=400)
    with pytest.raises(DataError, match="no sentence of 4 words"):
        passage_batches(source(b"too short.\n"), passages=2, length=9)
    with pytest.raises(DataError, match="is not a file"):
        text_blocks(TokenSource(path=tmp_path / "nowhere.txt", tokenizer=tokenizer), length=4)
    with pytest.raises(ConfigError, match="first < last"):
        TokenSource(path=file, tokenizer=tokenizer, first=0.6, last=0.6)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_mark_in_front_and_the_ends_of_lines_are_no_part_of_a_text(tmp_path, tokenizer, end, mark):
    path = tmp_path / "text.txt"
    path.write_bytes((mark + "first line\nsecond line\n".replace("\n", end)).encode())
    assert "".join(TokenSource(path=path, tokenizer=tokenizer).texts()) == "first line\nsecond line\n"


def test_a_part_without_a_word_is_told(tmp_path, tokenizer):
    path = tmp_path / "text.txt"
    path.write_text("word " * 100 + "\n" * 500)
    with pytest.raises(DataError, match=r"text\.txt, read from 90% to 100%, is empty"):
        list(TokenSource(path=path, tokenizer=tokenizer, first=0.9).texts())


@pytest.mark.parametrize("name", ["rows.json", "rows.TSV", "rows.ndjson"])
def test_a_table_of_another_kind_is_not_read_as_running_text(tmp_path, tokenizer, name):
    path = tmp_path / name
    path.write_text("a table of its own kind\n" * 100)
    with pytest.raises(DataError, match=r"is a table, which is read as \.csv, \.jsonl, \.parquet"):
        list(TokenSource(path=path, tokenizer=tokenizer).texts())
