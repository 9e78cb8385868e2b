"""The ways in which a causal graph comes to fewer bits, and which is the default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from secateur.bundle.manifest import Precision, QuantisationRecord
from secateur.core.errors import ConfigError
from secateur.export.causal_bfloat16 import matrices_in_bfloat16
from secateur.export.causal_blocks import WeightBlocks, weights_in_blocks
from secateur.export.causal_cache import CausalScopes
from secateur.export.causal_onnx import share_transposed
from secateur.export.quantise import Quantisation, quantise

CausalScheme = Literal["weights", "dynamic"]

CAUSAL_BLOCKS: Mapping[Precision, WeightBlocks] = {
    "int8": WeightBlocks(bits=8, size=32, head_bits=8),
    "int4": WeightBlocks(bits=4, size=32, head_bits=8),
}
"""Blocks that a precision stands for: embedding and head keep 8 bits, where rounding costs most."""


def quantise_causal(
    graph: Path, precision: Precision, scopes: CausalScopes, *, scheme: CausalScheme = "weights"
) -> QuantisationRecord:
    """Bring the weights of a causal graph to fewer bits.

    Parameters
    ----------
    graph : Path
        In one file, in a folder that is written aside; replaced.
    precision : {"bfloat16", "int8", "int4"}
        int8 and int4 store the weights in the blocks of ``CAUSAL_BLOCKS``.
    scopes : CausalScopes
    scheme : {"weights", "dynamic"}
        For int8: weights in blocks with a scale each, or one scale for each output and one for all
        activations of a batch, with embedding and head in float32. Language models have few activations that
        are hundreds of times larger than the rest, for which the second is too coarse.

    Raises
    ------
    ConfigError
        If the scheme is not for that precision.
    ExportError
        If the graph has no projection of a layer, or ONNX Runtime cannot quantise it.

    References
    ----------
    Dettmers, Lewis, Belkada, Zettlemoyer, "LLM.int8(): 8-bit Matrix Multiplication for Transformers at
    Scale", NeurIPS 2022, on the outliers.
    """
    if scheme == "dynamic":
        if precision != "int8":
            raise ConfigError(f"quantisation 'dynamic' was given for {precision}; it is for int8 alone.")
        record = quantise(graph, graph, Quantisation(), scope=scopes.layers)
        share_transposed(graph)
        return record
    if precision == "bfloat16":
        return matrices_in_bfloat16(graph)
    return weights_in_blocks(graph, CAUSAL_BLOCKS[precision], scopes)
