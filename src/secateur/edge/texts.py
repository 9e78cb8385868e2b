"""Embeddings or classes of texts on the device: a verified bundle and ONNX Runtime; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from secateur.bundle.encoder_manifest import TOKENIZER_FILE, EncoderManifest
from secateur.bundle.encoder_session import golden_text_difference, open_encoder_session
from secateur.bundle.signature import SignatureCheck
from secateur.bundle.source import read_file
from secateur.core.errors import ConfigError, DataError, ExportError
from secateur.core.extras import explained
from secateur.edge.judgement import calibrated
from secateur.edge.opening import checked_bundle

AT_ONCE = 32
"""Texts of a batch; those of a batch are padded to the longest."""


class TextEncoder:
    """An encoder of texts that is safe to use: its files are checked before anything is loaded.

    Parameters
    ----------
    bundle : Path
        Folder or ``.sct`` archive that ``secateur export`` wrote from an encoder or a classifier of texts.
    trusted : sequence of Path
        PEM files of public keys; if any is given, the bundle must be signed by one of them.
    threads : int
        Threads of one operator.

    Attributes
    ----------
    manifest : EncoderManifest
    signature : SignatureCheck
    golden_max_abs_diff : float
        Largest difference of outputs on the golden texts, on this machine.

    Raises
    ------
    ConfigError
        If the bundle holds another kind of model, or there is no thread.
    CheckpointError
        If it is altered, cut short, of a newer schema, or not signed as required.
    ExportError
        If ONNX Runtime cannot load it, does not find the golden outputs again, or the tokenizer is damaged.
    MissingPackage
        If the package ``tokenizers`` is not installed.
    """

    def __init__(self, bundle: str | Path, *, trusted: Sequence[Path] = (), threads: int = 1) -> None:
        checked, self.manifest = checked_bundle(
            bundle, EncoderManifest, others_fail="encodes no text", trusted=trusted, threads=threads
        )
        self.signature: SignatureCheck = checked.signature
        self._session = open_encoder_session(checked.source, self.manifest, threads=threads)
        self.golden_max_abs_diff = golden_text_difference(checked.source, self.manifest, self._session)
        limit = self.manifest.files[TOKENIZER_FILE].bytes
        self._tokenizer = _tokenizer(
            read_file(checked.source, TOKENIZER_FILE, limit=limit), checked.source.place
        )

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text, special ones included, cut to what the model takes.

        Raises
        ------
        DataError
            If a text has no token.
        """
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.manifest.longest_tokens)
        found = [encoded.ids for encoded in self._tokenizer.encode_batch(list(texts))]
        for number, ids in enumerate(found):
            if not ids:
                raise DataError(f"text {number} is empty; every text needs a word.")
            if max(ids) >= self.manifest.vocabulary:
                raise DataError(f"text {number} has a token that the model does not know ({max(ids)}).")
        return found

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return an embedding a text, float32, shape (texts, width); not brought to unit length.

        Raises
        ------
        ConfigError
            If the model gives classes.
        """
        self._require("embedding", "classify")
        return self._outputs(texts)

    def classify(self, texts: Sequence[str]) -> np.ndarray:
        """Return the probability of each class, in the order of ``manifest.labels``, shape (texts, classes).

        Raises
        ------
        ConfigError
            If the model gives embeddings.
        """
        self._require("classes", "embed")
        probabilities, _ = calibrated(self._outputs(texts), None)
        return probabilities

    def _require(self, gives: str, other: str) -> None:
        if self.manifest.gives != gives:
            raise ConfigError(f"this model gives {self.manifest.gives}; call {other}() in its place.")

    def _outputs(self, texts: Sequence[str]) -> np.ndarray:
        if isinstance(texts, str) or not len(texts):
            raise DataError("give a list of at least one text.")
        return np.concatenate(list(self._batches(self.tokens(texts))))

    def _batches(self, rows: list[list[int]]) -> Iterator[np.ndarray]:
        for begin in range(0, len(rows), AT_ONCE):
            yield self._session.run(*padded(rows[begin : begin + AT_ONCE], self.manifest.padding_token))


def padded(rows: Sequence[Sequence[int]], padding: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens filled up on the right to the longest, and their mask, both int64 (rows, tokens)."""
    shape = len(rows), max(map(len, rows))
    tokens, mask = np.full(shape, padding, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for number, row in enumerate(rows):
        tokens[number, : len(row)], mask[number, : len(row)] = row, 1
    return tokens, mask


def _tokenizer(content: bytes, place: Path) -> Any:
    with explained("reading texts"):
        from tokenizers import Tokenizer
    try:
        return Tokenizer.from_str(content.decode("utf-8"))
    except Exception as error:  # tokenizers raises plain exceptions
        raise ExportError(
            f"{place / TOKENIZER_FILE} is no tokenizer ({error}); export the model again."
        ) from None
