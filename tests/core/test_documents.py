"""YAML and JSON of others: what is plain is read, what would not end is refused at once."""

from __future__ import annotations

import os

import pytest

from secateur.core.documents import (
    DEEPEST,
    parse_json,
    parse_yaml,
    read_json_document,
    read_yaml,
    require_regular_file,
)
from secateur.core.errors import DataError


def test_plain_documents_and_aliases_are_read(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("\ufeffbase: &b {hz: 12000}\nlist: [*b, *b, 3.5, yes]\n", encoding="utf-8")
    assert read_yaml(path) == {"base": {"hz": 12000}, "list": [{"hz": 12000}, {"hz": 12000}, 3.5, True]}
    assert parse_yaml("<<: {a: 1}\nb: 2", "x") == {"a": 1, "b": 2}
    (tmp_path / "x.json").write_text('{"a": [1, {"b": null}]}')
    assert read_json_document(tmp_path / "x.json") == {"a": [1, {"b": None}]}


def test_values_are_taken_as_they_are_written():
    text = "[01500, 6:00, 2024-13-45, 0x10, 0o7, -12, +3, 1_000, 1.5e3, -.5, 2., .inf, off, ~, '7']"
    assert parse_yaml(text, "x") == [
        "01500", "6:00", "2024-13-45", "0x10", "0o7", -12, 3, "1_000", 1500.0, -0.5, 2.0, float("inf"), False,
        None, "7",
    ]  # fmt: skip


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (parse_yaml, "[" * 100_000, "nested too deeply"),
        (parse_yaml, "".join("\n" + " " * n + "a:" for n in range(500)), "nested too deeply"),
        (parse_yaml, BOMB, "values, aliases written out"),
        (parse_yaml, "a: &a [1, *a]", "inside itself"),
        (parse_yaml, "a: [1,", "is not YAML"),
        (parse_yaml, "a: !!python/object/apply:os.getcwd []", "is not YAML"),
        (parse_json, "[" * 1_000_000, "nested too deeply"),
        (parse_json, "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested too deeply"),
        (parse_json, '{"a":', "is not valid JSON"),
    ],
)
def test_what_would_not_end_is_one_line(read, text, said):
    with pytest.raises(DataError, match=said) as told:
        read(text, "mine.txt")
    assert str(told.value).startswith("mine.txt ")
    assert "\n" not in str(told.value)


def test_the_deepest_that_is_allowed_is_read():
    nested = parse_json("[" * DEEPEST + "]" * DEEPEST, "x")
    assert parse_yaml("[" * DEEPEST + "]" * DEEPEST, "x") == nested


def test_only_regular_files_of_bounded_size_and_utf8(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path / "pipe", "pipe"), (tmp_path, "a folder"), (tmp_path / "no", "is missing")):
        with pytest.raises(DataError, match=said):
            require_regular_file(path)
        with pytest.raises(DataError, match=said):
            read_yaml(path)
    with pytest.raises(DataError, match="device"):
        require_regular_file("/dev/zero")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * 3000)
    with pytest.raises(DataError, match="is larger than"):
        read_yaml(large, limit=2999)
    (tmp_path / "wide.yaml").write_text("a: 1", encoding="utf-16")
    with pytest.raises(DataError, match="UTF-16 text; save it again as UTF-8"):
        read_yaml(tmp_path / "wide.yaml")
    (tmp_path / "latin.yaml").write_bytes("a: Lärm".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_yaml(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    "text", ["a: 1\nb: {c: 1}\na: 2\n", "x:\n  - {a: 1, 'a': 2}\n", "{a: [1, {b: 2}], a: {}}"]
)
def test_a_key_that_stands_twice_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="'a' stands twice"):
        parse_yaml(text, "notes.yaml")


def test_one_key_may_stand_in_many_mappings() -> None:
    text = "base: &base {a: 1, b: 2}\nmore:\n  - {<<: *base, a: 3}\n  - {a: a, b: {a: 4}}\n"
    assert parse_yaml(text, "notes.yaml")["more"] == [{"a": 3, "b": 2}, {"a": "a", "b": {"a": 4}}]
