"""General text: how much of it, of both kinds in what is held out, and fit to ship."""

from __future__ import annotations

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.models.general_text import general_source, shipped_text, with_general_rows
from secateur.models.text import TokenSource, text_blocks


class Bytes:
    """A tokenizer whose tokens are bytes."""

    def __call__(self, text, **_):
        return {"input_ids": list(text.encode())}


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("0123456789\n" * 400)
    return TokenSource(path=path, tokenizer=Bytes())


@pytest.fixture
def general(tmp_path):
    path = tmp_path / "general.txt"
    path.write_text("".join(f"line {number} of a general text\n" for number in range(300)))
    return path


def is_own(row: torch.Tensor) -> bool:
    return set(bytes(row.tolist())) <= set(b"0123456789\n")


@pytest.mark.parametrize(("share", "others"), [(0.0, 0), (0.25, 8), (0.5, 24)])
def test_general_blocks_come_beside_all_of_the_text(source, general, share, others):
    text = text_blocks(source, length=64, blocks=24, seed=3)
    rows = with_general_rows(text, Bytes(), share=share, general=general, seed=3)
    own = [is_own(row) for row in rows]
    assert own.count(False) == others
    assert sorted(rows[own].tolist()) == sorted(text.tolist())
    if others:
        assert 0 < own[3::4].count(False) < len(own[3::4]), "what is held out is of both kinds"
        assert len({tuple(row.tolist()) for row, mine in zip(rows, own, strict=True) if not mine}) == others
    again = with_general_rows(text, Bytes(), share=share, general=general, seed=3)
    assert torch.equal(rows, again)


def test_what_a_cut_is_judged_on_is_never_mixed_in(source, general):
    judged = "".join(general_source(Bytes(), general, judged=True).texts()).encode()
    text = text_blocks(source, length=64, blocks=10)
    fitted = with_general_rows(text, Bytes(), share=0.9, general=general, seed=0)
    rows = [bytes(row.tolist()) for row in fitted]
    assert 0.2 * general.stat().st_size < len(judged) < 0.3 * general.stat().st_size
    assert sum(b"line" in row for row in rows) == 90
    assert not any(row in judged for row in rows if b"line" in row)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_out_of_range_is_refused(source, share):
    with pytest.raises(ConfigError, match="at least 0 and less than 1"):
        with_general_rows(text_blocks(source, length=32), Bytes(), share=share, seed=0)


def test_the_shipped_text_is_long_and_clean():
    text = shipped_text().read_text(encoding="utf-8")
    assert len(text) > 200_000
    assert "\ufffd" not in text
    assert "<|" not in text
