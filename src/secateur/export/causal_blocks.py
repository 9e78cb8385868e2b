"""A causal graph whose weights have 8 or 4 bits, in blocks with a scale each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
from onnx import GraphProto, NodeProto, helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import (
    DefaultWeightOnlyQuantConfig,
    DefaultWeightOnlyQuantizer,
)

from secateur.bundle.manifest import Precision, QuantisationRecord
from secateur.core.errors import ConfigError, ExportError
from secateur.export.causal_cache import CausalScopes
from secateur.export.quantise import quantisable_nodes

Bits = Literal[4, 8]

_DOMAIN = "com.microsoft"
_NAMES: dict[int, Precision] = {4: "int4", 8: "int8"}


@dataclass(frozen=True, kw_only=True)
class WeightBlocks:
    """How weights are stored.

    Attributes
    ----------
    bits : {8, 4}
        Of the projections of the layers.
    size : int
        Neighbouring inputs of an output that share a scale: a power of two, at least 16.
    head_bits : {8, 4}, optional
        Of embedding and head; None leaves them in float32.
    symmetric : bool
        Whether 0 lies in the middle of the range of each block, or a zero point is stored with each scale.
        Embedding and head are symmetric always.
    accuracy_level : int
        Of ONNX Runtime: 4 rounds activations to 8 bits, block by block as they come; 1 keeps float32.
    """

    bits: Bits
    size: int = 32
    head_bits: Bits | None = 8
    symmetric: bool = True
    accuracy_level: Literal[1, 4] = 4

    def __post_init__(self) -> None:
        if self.size < 16 or self.size & (self.size - 1):
            raise ConfigError(f"blocks of {self.size} weights; give a power of two, at least 16.")


def weights_in_blocks(graph: Path, blocks: WeightBlocks, scopes: CausalScopes) -> QuantisationRecord:
    """Bring the weights of a causal graph to fewer bits; norms, biases and attention stay in float32.

    Projections become ``MatMulNBits``. An embedding whose table is the head's own is stored once, as the
    head's blocks, from which ``GatherBlockQuantized`` reads. Embedding and head stay as they are where the
    hidden width is no multiple of the block.

    Parameters
    ----------
    graph : Path
        In one file, in a folder that is written aside; replaced.
    blocks : WeightBlocks
    scopes : CausalScopes

    Raises
    ------
    ExportError
        If the graph has no projection of a layer.
    """
    proto = onnx.load(graph)
    rewriting = _Rewriting(proto.graph, blocks)
    chosen = quantisable_nodes(proto.graph, scope=scopes.layers)
    if not chosen:
        raise ExportError("the graph has no projection of a layer to quantise; export the model in fp32.")
    for name in chosen:
        rewriting.product(rewriting.nodes[name], blocks.bits, symmetric=blocks.symmetric)
    if blocks.head_bits is not None:
        rewriting.embedding_and_head(scopes, blocks.head_bits)
    rewriting.finish()
    if all(entry.domain != _DOMAIN for entry in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    graph.write_bytes(proto.SerializeToString())
    return QuantisationRecord(
        scheme="weights",
        calibration_windows=0,
        tool=f"onnxruntime {onnxruntime.__version__}",
        matrices=rewriting.counts,
        group_size=blocks.size,
    )


class _Rewriting:
    """A graph whose nodes are being replaced.

    Parameters
    ----------
    graph : GraphProto
    blocks : WeightBlocks
    """

    def __init__(self, graph: GraphProto, blocks: WeightBlocks) -> None:
        self._graph, self._blocks = graph, blocks
        self.nodes = {node.name: node for node in graph.node}
        self._stored = {tensor.name: tensor for tensor in graph.initializer}
        self._turned = {
            node.output[0]: node.input[0]
            for node in graph.node
            if node.op_type == "Transpose" and node.input[0] in self._stored
        }
        self._packed: dict[tuple[str, bool, int, bool], list[str]] = {}
        self.counts: dict[Precision, int] = {}

    def product(self, node: NodeProto, bits: Bits, *, symmetric: bool) -> None:
        """Replace a product with a weight matrix, and its bias with it."""
        plain = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if plain.get("transA") or plain.get("alpha", 1) != 1 or plain.get("beta", 1) != 1:
            raise ExportError(f"{node.name} scales its product, which cannot be quantised; export in fp32.")
        name, turned = self._origin(node.input[1])
        by_output = turned != bool(plain.get("transB"))
        names = self._blocks_of(name, by_output=by_output, bits=bits, symmetric=symmetric)
        shape = self._stored[name].dims
        outputs, inputs = (shape[0], shape[1]) if by_output else (shape[1], shape[0])
        bias = list(node.input[2:3])
        between = [""] * (5 - 1 - len(names)) if bias else []
        replaced = helper.make_node(
            "MatMulNBits",
            [node.input[0], *names, *between, *bias],
            list(node.output),
            name=f"{node.name}_{_NAMES[bits]}",
            domain=_DOMAIN,
            K=inputs,
            N=outputs,
            bits=bits,
            block_size=self._blocks.size,
            accuracy_level=self._blocks.accuracy_level,
        )
        node.CopyFrom(replaced)
        self.counts[_NAMES[bits]] = self.counts.get(_NAMES[bits], 0) + 1

    def embedding_and_head(self, scopes: CausalScopes, bits: Bits) -> None:
        """Replace the products of the head, and the look-up of tokens."""
        size = self._blocks.size
        for node in list(self._graph.node):
            if node.op_type in ("MatMul", "Gemm") and node.name.startswith(f"{scopes.head}/"):
                name, _ = self._origin(node.input[1])
                if name in self._stored and not any(width % size for width in self._hidden(node)):
                    self.product(node, bits, symmetric=True)
        for place, node in reversed(list(enumerate(self._graph.node))):
            if node.op_type == "Gather" and node.name.startswith(f"{scopes.embedding}/"):
                self._look_up(place, node, bits)

    def _hidden(self, head: NodeProto) -> list[int]:
        name, turned = self._origin(head.input[1])
        by_output = turned != any(entry.name == "transB" and entry.i for entry in head.attribute)
        return [self._stored[name].dims[1 if by_output else 0]]

    def _look_up(self, place: int, node: NodeProto, bits: Bits) -> None:
        name = node.input[0]
        if name not in self._stored or self._stored[name].dims[1] % self._blocks.size:
            return
        rows, width = self._stored[name].dims
        packed, scales = self._blocks_of(name, by_output=True, bits=bits, symmetric=True)
        shape = numpy_helper.from_array(np.array([rows, width * bits // 8]), f"{name}_rows")
        self._graph.initializer.append(shape)
        flat = helper.make_node("Reshape", [packed, shape.name], [f"{name}_flat"], name=f"{node.name}_rows")
        found = helper.make_node(
            "GatherBlockQuantized",
            [f"{name}_flat", node.input[1], scales],
            list(node.output),
            name=f"{node.name}_{_NAMES[bits]}",
            domain=_DOMAIN,
            bits=bits,
            block_size=self._blocks.size,
            gather_axis=0,
            quantize_axis=1,
        )
        node.CopyFrom(found)
        self._graph.node.insert(place, flat)
        self.counts[_NAMES[bits]] = self.counts.get(_NAMES[bits], 0) + 1

    def _origin(self, name: str) -> tuple[str, bool]:
        """The stored matrix behind a name, and whether it is transposed on the way."""
        return (self._turned[name], True) if name in self._turned else (name, False)

    def _blocks_of(self, name: str, *, by_output: bool, bits: Bits, symmetric: bool) -> list[str]:
        """Names of the packed weights, their scales, and zero points where there are any."""
        key = name, by_output, bits, symmetric
        if key not in self._packed:
            matrix = numpy_helper.to_array(self._stored[name]).astype(np.float32)
            settings = DefaultWeightOnlyQuantConfig(
                block_size=self._blocks.size, is_symmetric=symmetric, bits=bits
            )
            arrays = DefaultWeightOnlyQuantizer(settings).qbits_block_quant(
                np.ascontiguousarray(matrix.T if by_output else matrix)
            )
            told = ("blocks", "scales") if symmetric else ("blocks", "scales", "zeros")
            names = [f"{name}_{_NAMES[bits]}_{part}" for part in told]
            self._graph.initializer.extend(
                numpy_helper.from_array(array, entry) for array, entry in zip(arrays, names, strict=False)
            )
            self._packed[key] = names
        return self._packed[key]

    def finish(self) -> None:
        """Remove matrices, and transposes of them, that nothing reads any more."""
        read = {name for node in self._graph.node for name in node.input}
        read |= {output.name for output in self._graph.output}
        for index in reversed(range(len(self._graph.node))):
            node = self._graph.node[index]
            if node.op_type == "Transpose" and node.output[0] not in read:
                del self._graph.node[index]
        read = {name for node in self._graph.node for name in node.input}
        for index in reversed(range(len(self._graph.initializer))):
            if self._graph.initializer[index].name not in read:
                del self._graph.initializer[index]
