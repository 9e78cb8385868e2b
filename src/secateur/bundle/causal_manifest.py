"""The manifest of a bundle that holds a causal language model with a key/value cache."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from secateur.bundle.manifest import (
    LOOSEST_GOLDEN,
    LOOSEST_PARITY,
    BundleManifest,
    FileName,
    Part,
    Precision,
    Sha256,
)

CAUSAL_KIND: Literal["causal-lm"] = "causal-lm"
CAUSAL_VERSIONS = (1,)

DATA_FILE = "model.onnx.data"
"""Weights that do not fit into the graph's own file."""


class CausalParityRecord(Part):
    """How far the graph is from the checkpoint, and how far it may be.

    ``prefill_max_abs_diff`` and ``decode_max_abs_diff`` are the largest differences of a logit from those of
    the checkpoint without a cache: over whole prompts, and token by token with the cache. ``agreement`` is
    the share of predicted tokens for which both have the same most likely token. ``greedy_tokens`` tells how
    many of ``greedy_of`` tokens of greedy generation came out as the checkpoint's own, before the first that
    did not.
    """

    prefill_max_abs_diff: float = Field(ge=0)
    decode_max_abs_diff: float = Field(ge=0)
    tolerance: float = Field(gt=0, le=LOOSEST_PARITY)
    agreement: float = Field(ge=0, le=1)
    least_agreement: float = Field(ge=0, le=1)
    greedy_tokens: int = Field(ge=0)
    greedy_of: int = Field(ge=1)
    greedy_required: bool
    prompts: int = Field(ge=1)
    tokens: int = Field(ge=1)

    @property
    def max_abs_diff(self) -> float:
        """The larger of both differences."""
        return max(self.prefill_max_abs_diff, self.decode_max_abs_diff)

    @property
    def holds(self) -> bool:
        """Whether everything is within its tolerance."""
        return (
            self.max_abs_diff <= self.tolerance
            and self.agreement >= self.least_agreement
            and (not self.greedy_required or self.greedy_tokens == self.greedy_of)
        )


class TextMetricsRecord(Part):
    """Perplexity of the bundle and of its checkpoint on the same windows of a text."""

    text_sha256: Sha256
    context: int = Field(ge=2)
    predicted_tokens: int = Field(ge=1)
    perplexity: float = Field(gt=0)
    checkpoint_perplexity: float = Field(gt=0)


class GoldenTokensRecord(Part):
    """A prompt with the tokens that follow it, and the logits of some of the steps."""

    file: FileName
    prompt_tokens: int = Field(ge=1, le=65_536)
    new_tokens: int = Field(ge=1, le=1024)
    tolerance: float = Field(gt=0, le=LOOSEST_GOLDEN)


class CausalManifest(BundleManifest):
    """A causal language model described; see :class:`BundleManifest` for what all kinds hold.

    Attributes
    ----------
    kind : str
        Tells this manifest from that of a Diagnoser.
    vocabulary : int
        Tokens that the model knows.
    context_length : int or None
        Most tokens of prompt and answer together; None where the model sets no limit.
    end_tokens : tuple of int
        Tokens at which generation ends.
    cache_heads : tuple of int
        Second axis of the keys and values of each layer.
    head_dim : int
        Last axis of all keys and values.
    tokenizer_files : tuple of str
        Files of the tokenizer among ``files``.
    metrics : TextMetricsRecord or None
        Measured if a text was given.
    """

    kind: Literal["causal-lm"] = CAUSAL_KIND
    schema_version: Literal[1] = 1
    vocabulary: int = Field(ge=2)
    context_length: int | None = Field(default=None, ge=2)
    end_tokens: tuple[int, ...] = ()
    cache_heads: tuple[int, ...] = Field(min_length=1)
    head_dim: int = Field(ge=1)
    format: Literal["onnx"] = "onnx"
    precision: Precision = "float32"
    tokenizer_files: tuple[FileName, ...] = ()
    parity: CausalParityRecord
    metrics: TextMetricsRecord | None = None
    golden: GoldenTokensRecord

    @model_validator(mode="after")
    def _files_are_listed_and_parity_holds(self) -> CausalManifest:
        self.require(self.golden.file, *self.tokenizer_files, parity_holds=self.parity.holds)
        if len(self.cache_heads) != len(self.layers):
            raise ValueError("cache_heads needs one entry a layer")
        if any(not 0 <= token < self.vocabulary for token in self.end_tokens):
            raise ValueError(f"end_tokens holds a number that is no token below {self.vocabulary}")
        golden = self.golden.prompt_tokens + self.golden.new_tokens
        if self.context_length is not None and golden > self.context_length + 1:
            raise ValueError("the golden tokens do not fit into context_length")
        return self
