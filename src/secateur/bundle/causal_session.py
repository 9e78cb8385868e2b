"""A causal language model in ONNX Runtime: one graph that reads a prompt and then goes on token by token."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from secateur.bundle.causal_manifest import DATA_FILE, CausalManifest
from secateur.bundle.onnx_options import load_graph, shown
from secateur.bundle.source import BundleSource, file_or_content
from secateur.core.errors import DataError, ExportError

if TYPE_CHECKING:
    import onnxruntime

INPUT_IDS = "input_ids"
ATTENTION_MASK = "attention_mask"
LOGITS = "logits"


def past_names(layers: int) -> tuple[str, ...]:
    """Return the names of the graph's cache inputs: key and value of each layer."""
    return tuple(f"past_key_values.{layer}.{part}" for layer in range(layers) for part in ("key", "value"))


def present_names(layers: int) -> tuple[str, ...]:
    """Return the names of the graph's cache outputs, in the order of :func:`past_names`."""
    return tuple(f"present.{layer}.{part}" for layer in range(layers) for part in ("key", "value"))


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Keys and values of all tokens so far, held by the runtime.

    Attributes
    ----------
    values : tuple of onnxruntime.OrtValue
        Key and value of each layer, float32, shape (batch, groups, tokens, head_dim).
    attention_mask : ndarray of int64, shape (batch, tokens)
        0 where a row was padded on the left.
    """

    values: tuple[onnxruntime.OrtValue, ...]
    attention_mask: np.ndarray

    @property
    def tokens(self) -> int:
        """How many tokens were read, padding included."""
        return self.attention_mask.shape[1]


class CausalSession:
    """The loaded graph.

    Parameters
    ----------
    model : Path or bytes
        The file, or its content.
    threads : int
        Threads of one operator.

    Raises
    ------
    ExportError
        If ONNX Runtime cannot load or run it, or it is no graph of a causal language model.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        self._session = load_graph(model, threads=threads)
        inputs = {entry.name: entry.shape for entry in self._session.get_inputs()}
        self.layers = (len(inputs) - 2) // 2
        self._past = past_names(self.layers)
        if not self.layers or set(inputs) != {INPUT_IDS, ATTENTION_MASK, *self._past}:
            raise ExportError(
                f"{shown(model)} takes {', '.join(inputs)}; that is no causal model with a cache."
            )
        self.cache_shapes = tuple((inputs[name][1], inputs[name][3]) for name in self._past)
        self._outputs = [LOGITS, *present_names(self.layers)]

    def start(self, batch: int = 1) -> Cache:
        """Return the cache before the first token."""
        from onnxruntime import OrtValue

        empty = (np.zeros((batch, groups, 0, width), dtype=np.float32) for groups, width in self.cache_shapes)
        return Cache(
            values=tuple(OrtValue.ortvalue_from_numpy(value) for value in empty),
            attention_mask=np.zeros((batch, 0), dtype=np.int64),
        )

    def read(
        self, tokens: np.ndarray, cache: Cache, *, attention_mask: np.ndarray | None = None
    ) -> tuple[np.ndarray, Cache]:
        """Read further tokens.

        Parameters
        ----------
        tokens : ndarray of int64, shape (batch, n)
            A prompt, or the token that was generated last.
        cache : Cache
            What came before; it stays as it is.
        attention_mask : ndarray of int64, shape (batch, n)
            0 at padding, which stands on the left; default: no padding.

        Returns
        -------
        logits : ndarray of float32, shape (batch, n, vocabulary)
            Of the token after each of ``tokens``.
        cache : Cache
            With these tokens.
        """
        from onnxruntime import OrtValue

        if tokens.ndim != 2 or not tokens.size:
            raise DataError(f"tokens of shape {tokens.shape} were given; at least one row of one is needed.")
        fresh = np.ones_like(tokens) if attention_mask is None else attention_mask
        mask = np.concatenate([cache.attention_mask, fresh.astype(np.int64)], axis=1)
        feed = dict(zip(self._past, cache.values, strict=True))
        feed[INPUT_IDS] = OrtValue.ortvalue_from_numpy(np.ascontiguousarray(tokens, dtype=np.int64))
        feed[ATTENTION_MASK] = OrtValue.ortvalue_from_numpy(mask)
        try:
            logits, *values = self._session.run_with_ort_values(self._outputs, feed)
        except Exception as error:  # onnxruntime's error classes share no public base
            raise ExportError(f"the graph does not run: {str(error)[:500]}") from error
        return logits.numpy(), Cache(values=tuple(values), attention_mask=mask)


def open_causal_session(source: BundleSource, manifest: CausalManifest, *, threads: int = 1) -> CausalSession:
    """Load the model of a bundle that has been checked.

    Raises
    ------
    ExportError
        If ONNX Runtime cannot load it, or its caches are not those of the manifest.
    """
    model = file_or_content(source, manifest.model_file, limit=manifest.files[manifest.model_file].bytes)
    if isinstance(model, bytes) and DATA_FILE in manifest.files:
        raise ExportError(
            f"{source.place} holds weights beside the graph, which ONNX Runtime reads from a folder only; "
            "unpack it with 'secateur bundle create ARCHIVE --out FOLDER'."
        )
    session = CausalSession(model, threads=threads)
    expected = tuple((heads, manifest.head_dim) for heads in manifest.cache_heads for _ in ("key", "value"))
    if session.cache_shapes != expected:
        raise ExportError(
            f"{source.place / manifest.model_file} has caches of (heads, width) {session.cache_shapes}, but "
            f"the manifest says {expected}; export the model again."
        )
    return session
