"""The manifest of a bundle that holds an encoder of texts, which gives embeddings or classes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from secateur.bundle.manifest import LOOSEST_GOLDEN, LOOSEST_PARITY, BundleManifest, FileName, Name, Part

ENCODER_KIND: Literal["text-encoder"] = "text-encoder"
ENCODER_VERSIONS = (1,)
TOKENIZER_FILE = "tokenizer.json"


class EncoderParityRecord(Part):
    """How far the graph is from the checkpoint on texts of unlike lengths, in one batch and one by one."""

    max_abs_diff: float = Field(ge=0)
    tolerance: float = Field(gt=0, le=LOOSEST_PARITY)
    texts: int = Field(ge=1)

    @property
    def holds(self) -> bool:
        """Whether the difference is within its tolerance."""
        return self.max_abs_diff <= self.tolerance


class GoldenTextsRecord(Part):
    """Tokens of some texts with the outputs that they must give."""

    file: FileName
    texts: int = Field(ge=1, le=1024)
    tokens: int = Field(ge=1, le=65_536)
    tolerance: float = Field(gt=0, le=LOOSEST_GOLDEN)


class EncoderManifest(BundleManifest):
    """An encoder of texts described; see :class:`BundleManifest` for what all kinds hold.

    Attributes
    ----------
    kind : str
        Tells this manifest from those of other bundles.
    gives : {"embedding", "classes"}
        The mean of the last states over a text's tokens, or a logit a class.
    width : int
        Numbers that a text gets.
    labels : tuple of str
        Classes in the order of the logits; empty for embeddings.
    vocabulary : int
        Tokens that the model knows.
    longest_tokens : int
        Most tokens of a text; longer ones are cut.
    padding_token : int
        What fills up shorter texts of a batch.
    """

    kind: Literal["text-encoder"] = ENCODER_KIND
    schema_version: Literal[1] = 1
    gives: Literal["embedding", "classes"]
    width: int = Field(ge=1)
    labels: tuple[Name, ...] = ()
    vocabulary: int = Field(ge=2)
    longest_tokens: int = Field(ge=2)
    padding_token: int = Field(ge=0)
    format: Literal["onnx"] = "onnx"
    precision: Literal["float32"] = "float32"
    parity: EncoderParityRecord
    golden: GoldenTextsRecord

    @property
    def gives_in_words(self) -> str:
        """What a text gets: its class, by the names of all, or an embedding."""
        return ", ".join(self.labels) or f"an embedding of {self.width} numbers"

    @model_validator(mode="after")
    def _files_are_listed_and_parity_holds(self) -> EncoderManifest:
        self.require(self.golden.file, TOKENIZER_FILE, parity_holds=self.parity.holds)
        if len(self.labels) != (self.width if self.gives == "classes" else 0):
            raise ValueError(f"{len(self.labels)} labels for {self.gives} of width {self.width}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label stands there twice")
        if self.padding_token >= self.vocabulary:
            raise ValueError(f"padding_token is no token below {self.vocabulary}")
        if self.golden.tokens > self.longest_tokens:
            raise ValueError("the golden texts do not fit into longest_tokens")
        return self
