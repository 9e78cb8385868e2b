"""Tokens of a text: counted as if the text were one piece, whatever its length."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from secateur.core.errors import ConfigError, DataError
from secateur.core.progress import quiet
from secateur.models import tokenizer_usage
from secateur.models.tokenizer_closure import closed_tokens
from secateur.models.tokenizer_usage import used_tokens
from tiny_tokenizers import KINDS, TEXT

SAMPLE = TEXT[200_000:206_000]


@pytest.fixture(autouse=True)
def silence():
    with quiet():
        yield


def written(folder: Path, text: str) -> Path:
    path = folder / "text.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "unigram"])
def test_a_text_read_in_pieces_has_the_tokens_of_the_whole(name, tmp_path, monkeypatch):
    tokenizer = KINDS[name]()
    as_a_whole = tokenizer.encode(SAMPLE, add_special_tokens=False)
    by_line = [tokenizer.encode(line, add_special_tokens=False) for line in SAMPLE.splitlines()]
    expected = closed_tokens(tokenizer, {*as_a_whole, *(token for line in by_line for token in line)})
    monkeypatch.setattr(tokenizer_usage, "WINDOW_CHARACTERS", 331)
    monkeypatch.setattr(tokenizer_usage, "MARGIN_CHARACTERS", 120)
    assert used_tokens(tokenizer, written(tmp_path, SAMPLE)) == expected


def test_rare_tokens_go_above_a_count_of_one(tmp_path, monkeypatch):
    tokenizer = KINDS["gpt2"]()
    counts = Counter(tokenizer.encode(SAMPLE))
    by_line = Counter(token for line in SAMPLE.splitlines() for token in tokenizer.encode(line))
    frequent = {token for token in counts | by_line if max(counts[token], by_line[token]) >= 5}
    monkeypatch.setattr(tokenizer_usage, "WINDOW_CHARACTERS", 1000)
    found = used_tokens(tokenizer, written(tmp_path, SAMPLE), min_count=5)
    assert found == closed_tokens(tokenizer, frequent)
    assert len(found) < len(used_tokens(tokenizer, written(tmp_path, SAMPLE)))


def test_wanted_tokens_stay_unused(tmp_path):
    tokenizer = KINDS["gpt2"]()
    path = written(tmp_path, "a")
    (unused,) = set(range(898, 899)) - set(used_tokens(tokenizer, path))
    assert unused in used_tokens(tokenizer, path, extra=[unused])


def test_bytes_special_tokens_and_the_unknown_always_stay(tmp_path):
    path = written(tmp_path, "a")
    kept = KINDS["llama"]().convert_ids_to_tokens(list(used_tokens(KINDS["llama"](), path)))
    assert {"<unk>", "<s>", "</s>", "a", "<0x00>", "<0xFF>"} <= set(kept)
    kept = KINDS["gpt2"]().convert_ids_to_tokens(list(used_tokens(KINDS["gpt2"](), path)))
    assert sum(len(token) == 1 for token in kept) == 256
    assert len(kept) == 257


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "holds no text"), (b"caf\xe9", "is not UTF-8"), (None, "could not be read")],
)
def test_unusable_texts_are_named(content, message, tmp_path):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        used_tokens(KINDS["gpt2"](), path)


def test_a_count_below_one_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least 1"):
        used_tokens(KINDS["gpt2"](), written(tmp_path, "a"), min_count=0)
