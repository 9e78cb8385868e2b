"""General text: how much of it, of both kinds in what is held out, and fit to ship."""

from __future__ import annotations

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.models.general_text import general_source, mixed_batches, shipped_text
from secateur.models.text import TokenSource, text_batches


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


@pytest.mark.parametrize(("share", "others"), [(0.0, 0), (0.25, 8), (0.5, 16)])
def test_the_share_is_kept_and_blocks_are_mixed(source, general, share, others):
    given = {"blocks": 32, "length": 64, "batch_size": 5, "seed": 3}
    batches = mixed_batches(source, share=share, general=general, **given)
    rows = torch.cat([batch["input_ids"] for batch in batches])
    assert [len(batch["input_ids"]) for batch in batches] == [5] * 6 + [2]
    own = [is_own(row) for row in rows]
    assert own.count(False) == others
    if others:
        assert 0 < own[3::4].count(False) < 8, "what is held out is of both kinds"
        assert len({tuple(row.tolist()) for row, mine in zip(rows, own, strict=True) if not mine}) == others
    else:
        assert torch.equal(rows, torch.cat([batch["input_ids"] for batch in text_batches(source, **given)]))
    again = mixed_batches(source, share=share, general=general, **given)
    assert all(torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(batches, again, strict=True))


def test_what_a_cut_is_judged_on_is_never_mixed_in(source, general):
    judged = "".join(general_source(Bytes(), general, judged=True).texts()).encode()
    fitted = mixed_batches(source, blocks=100, length=64, batch_size=8, seed=0, share=0.9, general=general)
    rows = [bytes(row.tolist()) for batch in fitted for row in batch["input_ids"]]
    assert 0.2 * general.stat().st_size < len(judged) < 0.3 * general.stat().st_size
    assert sum(b"line" in row for row in rows) == 90
    assert not any(row in judged for row in rows if b"line" in row)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_out_of_range_is_refused(source, share):
    with pytest.raises(ConfigError, match="at least 0 and less than 1"):
        mixed_batches(source, blocks=8, length=32, batch_size=8, seed=0, share=share)


def test_the_shipped_text_is_long_and_clean():
    text = shipped_text().read_text(encoding="utf-8")
    assert len(text) > 60_000
    assert "\ufffd" not in text
    assert "<|" not in text
