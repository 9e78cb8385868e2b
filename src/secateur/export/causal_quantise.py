"""A causal graph with 8-bit weights in blocks, which outliers of activations do not spoil."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import onnx
import onnxruntime
from onnxruntime.quantization.matmul_nbits_quantizer import (
    DefaultWeightOnlyQuantConfig,
    MatMulNBitsQuantizer,
)

from secateur.bundle.manifest import QuantisationRecord
from secateur.core.errors import ExportError
from secateur.export.causal_onnx import share_transposed
from secateur.export.quantise import Quantisation, quantisable_nodes, quantise

CausalScheme = Literal["weights", "dynamic"]

BLOCK = 32
"""Weights, and activations as they are multiplied, that share a scale."""

_ACTIVATIONS_IN_INT8 = 4
"""ONNX Runtime's level of accuracy at which products are computed in 8 bits, block by block."""


def quantise_causal(graph: Path, scheme: CausalScheme, *, scope: str) -> QuantisationRecord:
    """Bring the projections of the layers to 8 bits; embeddings, norms and the head stay in float32.

    Parameters
    ----------
    graph : Path
        In one file, in a folder that is written aside; replaced.
    scheme : {"weights", "dynamic"}
        Weights in blocks of 32 with a scale each (an operator of ONNX Runtime), or one scale for each output
        and one for all activations of a batch. Language models have few activations that are hundreds of
        times larger than the rest, for which the second is too coarse.
    scope : str
        Path of the list of layers.

    Raises
    ------
    ExportError
        If the graph has no such projection, or ONNX Runtime cannot quantise it.

    References
    ----------
    Dettmers, Lewis, Belkada, Zettlemoyer, "LLM.int8(): 8-bit Matrix Multiplication for Transformers at
    Scale", NeurIPS 2022, on the outliers.
    """
    if scheme == "dynamic":
        record = quantise(graph, graph, Quantisation(), scope=scope)
        share_transposed(graph)
        return record
    proto = onnx.load(graph)
    chosen = quantisable_nodes(proto.graph, scope=scope)
    if not chosen:
        raise ExportError("the graph has no projection of a layer to quantise; export the model in fp32.")
    settings = DefaultWeightOnlyQuantConfig(
        block_size=BLOCK,
        is_symmetric=True,
        accuracy_level=_ACTIVATIONS_IN_INT8,
        bits=8,
        op_types_to_quantize=("MatMul",),
    )
    former = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        quantiser = MatMulNBitsQuantizer(proto, algo_config=settings, nodes_to_include=chosen)
        quantiser.process()
    except Exception as error:  # ONNX Runtime's error classes share no public base
        raise ExportError(f"ONNX Runtime cannot quantise the graph: {error}") from error
    finally:
        logging.disable(former)
    graph.write_bytes(quantiser.model.model.SerializeToString())
    return QuantisationRecord(
        scheme="weights", calibration_windows=0, tool=f"onnxruntime {onnxruntime.__version__}"
    )
