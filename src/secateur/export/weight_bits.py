"""An ONNX graph whose backbone stores its weights in bfloat16 or in 4 bits."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
from ml_dtypes import bfloat16
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.onnx_model import ONNXModel

from secateur.bundle.manifest import Precision, QuantisationRecord
from secateur.core.errors import ExportError
from secateur.core.files import write_aside
from secateur.export.onnx import BACKBONE_SCOPE
from secateur.export.quantise import Scheme, quantisable_nodes, quiet_runtime

INT4_BLOCK = 32
_COMPUTE_IN_INT8 = 4
"""``accuracy_level`` of MatMulNBits: products of 8-bit activations, rounded block by block as they come."""


def weights_to_int4(graph: Path, out: Path, *, scope: str = BACKBONE_SCOPE) -> QuantisationRecord:
    """Write a copy of a float graph whose backbone projections have 4-bit weights.

    Weights are symmetric, with one scale for each block of 32 inputs of an output (``MatMulNBits``). ONNX
    Runtime computes with activations that it rounds to 8 bits, block by block.

    Parameters
    ----------
    graph : Path
        From :func:`secateur.export.onnx.export_onnx`, whose nodes are named after their modules.
    out : Path
        Written aside and renamed; may be ``graph`` itself.
    scope : str
        Path of the module whose projections are quantised.

    Raises
    ------
    ExportError
        If the graph has no projection of a backbone, or ONNX Runtime cannot quantise it.
    """
    model = ONNXModel(onnx.load(graph))
    _chosen(model.model.graph, scope)
    with quiet_runtime():
        try:
            model.replace_gemm_with_matmul()
            chosen = _chosen(model.model.graph, scope)
            quantiser = MatMulNBitsQuantizer(
                model.model,
                bits=4,
                block_size=INT4_BLOCK,
                is_symmetric=True,
                accuracy_level=_COMPUTE_IN_INT8,
                # its list of nodes to include adds to the default, which is all of them
                nodes_to_exclude=[node.name for node in model.model.graph.node if node.name not in chosen],
            )
            quantiser.process()
        except ExportError:
            raise
        except Exception as error:  # ONNX Runtime's error classes share no public base
            raise ExportError(f"ONNX Runtime cannot bring the graph to int4: {error}") from error
    _write(quantiser.model.model, out)
    return _record("dynamic", {"int4": len(chosen)}, group=INT4_BLOCK)


def weights_to_bfloat16(graph: Path, out: Path, *, scope: str = BACKBONE_SCOPE) -> QuantisationRecord:
    """Write a copy of a float graph whose backbone projections store their weights in bfloat16.

    ONNX Runtime has no bfloat16 arithmetic on processors: it widens the weights to float32 as it loads them.
    The file is smaller; memory and time are those of float32.

    Parameters
    ----------
    graph, out, scope
        As for :func:`weights_to_int4`.

    Raises
    ------
    ExportError
        If the graph has no projection of a backbone.
    """
    model = onnx.load(graph)
    chosen = set(_chosen(model.graph, scope))
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    names = dict.fromkeys(node.input[1] for node in model.graph.node if node.name in chosen)
    casts = []
    for name in names:
        tensor = stored[name]
        narrow = numpy_helper.to_array(tensor).astype(bfloat16)
        tensor.CopyFrom(
            helper.make_tensor(
                f"{name}_bfloat16", TensorProto.BFLOAT16, narrow.shape, narrow.tobytes(), raw=True
            )
        )
        casts.append(
            helper.make_node(
                "Cast", [tensor.name], [name], name=f"{scope}.widen/{name}", to=TensorProto.FLOAT
            )
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _write(model, out)
    return _record("weights", {"bfloat16": len(names)})


def _chosen(graph: onnx.GraphProto, scope: str) -> list[str]:
    chosen = quantisable_nodes(graph, scope=scope)
    if not chosen:
        raise ExportError(
            "the graph has no projection of a backbone to bring to fewer bits; export the model in fp32."
        )
    return chosen


def _write(model: onnx.ModelProto, out: Path) -> None:
    with write_aside(out) as aside:
        aside.write_bytes(model.SerializeToString())


def _record(
    scheme: Scheme, matrices: dict[Precision, int], *, group: int | None = None
) -> QuantisationRecord:
    return QuantisationRecord(
        scheme=scheme,
        calibration_windows=0,
        tool=f"onnxruntime {onnxruntime.__version__}",
        matrices=matrices,
        group_size=group,
    )
