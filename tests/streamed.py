"""Checkpoints of tiny models with a tokenizer of bytes, for tests of streaming cuts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

from tiny_tokenizers import TEXT
from zoo import ZOO

GIBIBYTE = 2**30


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer whose tokens are bytes."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=letters[0])


def write_specimen(name: str, folder: Path, *, dtype: torch.dtype = torch.float32, **changes: Any) -> Path:
    """Save a model of the zoo in several shards, with a tokenizer, as transformers does."""
    specimen = next(entry for entry in ZOO if entry.name == name)
    model = specimen.build(vocab_size=256, **changes).to(dtype)
    logging.disable_progress_bar()
    model.save_pretrained(folder, max_shard_size="20KB")
    byte_tokenizer().save_pretrained(folder)
    return folder


def write_text(path: Path) -> Path:
    """Write some prose."""
    path.write_text(TEXT[:30_000], encoding="utf-8")
    return path
