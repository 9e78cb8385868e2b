"""Tiny tasks on tokens, one for each kind and family, for tests of methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
)

from secateur.models.binding import bind
from secateur.tasks.kinds import objective_of
from secateur.tasks.token_rows import TokenRows
from secateur.tasks.token_task import TokenTask

VOCABULARY, LENGTH, LAYERS, CLASSES = 23, 10, 3, 3
TOKENS = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    **TOKENS,
}
GPT2 = {"n_embd": 32, "n_layer": LAYERS, "n_head": 4, "n_inner": 24, "n_positions": 64, **TOKENS}
BERT = {
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "num_labels": CLASSES,
    **TOKENS,
}
DROPOUT_FREE = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A tiny dense model and its task."""

    name: str
    build: Callable[[], Any]
    ragged: bool

    def model(self) -> nn.Module:
        """Return the model, the same at each call."""
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = self.build()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim > 1 and "embed" not in name and "wte" not in name:
                    parameter.mul_(4)
        return model.eval()

    def task(self, seed: int = 0) -> TokenTask:
        """Return its task."""
        train, validation = self.rows(40, 1), self.rows(12, 2)
        return TokenTask(
            name=self.name,
            objective=objective_of(self.model()),
            train=train,
            validation=validation,
            calibration=tuple(train.batches(4)),
            fitting=tuple(train.batches(8)),
            probe=tuple(validation.batches(4)),
            seed=seed,
        )

    def rows(self, count: int, seed: int) -> TokenRows:
        """Return sequences that count up, in steps that tell their class."""
        draw = torch.Generator().manual_seed(seed)
        start, step = (torch.randint(3, VOCABULARY, (count, 1), generator=draw) for _ in range(2))
        step = step % CLASSES + 1
        blocks = 3 + (start + step * torch.arange(LENGTH)) % (VOCABULARY - 3)
        lengths = torch.randint(5, LENGTH + 1, (count,), generator=draw)
        rows = [row[:length] for row, length in zip(blocks, lengths, strict=True)] if self.ragged else blocks
        return TokenRows(
            rows=rows,
            classes=step[:, 0] - 1 if self.name == "labels" else None,
            answers_from=torch.full((count,), 3) if self.name == "answers" else None,
        )


def _mixtral() -> MixtralForCausalLM:
    model = MixtralForCausalLM(MixtralConfig(**LLAMA, num_local_experts=2, num_experts_per_tok=1))
    bind(model)  # lays its experts side by side
    return model


CASES = {
    "llama-text": Case(name="text", build=lambda: LlamaForCausalLM(LlamaConfig(**LLAMA)), ragged=False),
    "mixtral-text": Case(name="text", build=_mixtral, ragged=False),
    "gpt2-text": Case(name="text", build=lambda: GPT2LMHeadModel(GPT2Config(**GPT2)), ragged=False),
    "llama-answers": Case(name="answers", build=lambda: LlamaForCausalLM(LlamaConfig(**LLAMA)), ragged=True),
    "bert-labels": Case(
        name="labels",
        build=lambda: BertForSequenceClassification(BertConfig(**BERT, **DROPOUT_FREE)),
        ragged=True,
    ),
    "bert-embeddings": Case(
        name="embeddings", build=lambda: BertModel(BertConfig(**BERT, **DROPOUT_FREE)), ragged=True
    ),
}
