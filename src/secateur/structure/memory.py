"""Memory of the process that runs a model on the device, predicted from the model's shape.

    peak = runtime base + 0.15 MiB * layers + load factor * parameters * bytes of each
           + 4 bytes * tokens * values alive in the widest layer

The base is what the process holds with a model of next to nothing: interpreter, runtime, signal processing,
one window. The load factor is above 1 because the file, the parsed graph and the packed weights exist side by
side for a moment; each layer has nodes of the graph beside its weights. The values a token that are alive at
once are the residual stream and its norm, and either queries, keys, values and one row of scores a head, or
what goes through the FFN. The constants were fitted to bundles of nano-mha, mini-gqa and small-mha, measured
by ``secateur.bench``; docs/device.md holds them against others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from secateur.core.errors import PlanError
from secateur.core.typed import typed
from secateur.structure.counting import shape_parameters
from secateur.structure.shape import ModelShape
from secateur.structure.spec import load_spec

LoadPrecision = Literal["fp32", "int8"]
"""Precisions whose load factor has been measured."""

BYTES_PER_PARAMETER = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "int8": 1.0, "int4": 0.5}
"""Of the weights alone; scales of quantised blocks come on top, 3 to 13 % in common formats."""

RUNTIME_MIB = 80.0
"""Stated base: ONNX Runtime 1.32 in Python 3.11 on x86-64 Linux, one thread, windows of 8192 samples."""

LAYER_MIB = 0.15
LOAD_FACTORS: dict[LoadPrecision, float] = {"fp32": 1.75, "int8": 2.8}
"""Peak over the bytes of the weights while ONNX Runtime loads a bundle."""

MIB = 2**20
ACTIVATION_BYTES = 4


@dataclass(frozen=True, kw_only=True)
@typed
class MemoryLimit:
    """A bound on the peak memory of the process that runs the exported model.

    Parameters
    ----------
    most : float
        MiB.
    tokens : int
        Tokens that go through the backbone at once.
    precision : {"fp32", "int8"}
        Of the weights.
    runtime_mib : float
        What the process holds without the model.

    Raises
    ------
    PlanError
        If a number is out of range.
    """

    name: ClassVar[str] = "memory"
    unit: ClassVar[str] = "MiB"

    most: float
    tokens: int
    precision: LoadPrecision = "fp32"
    runtime_mib: float = RUNTIME_MIB

    def __post_init__(self) -> None:
        if not (0 < self.most < float("inf") and self.tokens >= 1 and 0 <= self.runtime_mib < float("inf")):
            raise PlanError(
                f"a memory of {self.most} MiB, {self.tokens} tokens and a runtime of {self.runtime_mib} MiB "
                "were given; memory and tokens must be positive, the runtime not negative."
            )

    def cost(self, family: str, shape: ModelShape) -> float:
        """Return the predicted peak in MiB."""
        weights = LOAD_FACTORS[self.precision] * shape_parameters(family, shape) * bytes_of(self.precision)
        activations = ACTIVATION_BYTES * self.tokens * widest_layer(family, shape, self.tokens)
        return self.runtime_mib + LAYER_MIB * shape.n_layers + (weights + activations) / MIB


def widest_layer(family: str, shape: ModelShape, tokens: int) -> int:
    """Return the values a token that are alive at once in the layer that holds most."""
    factor = 2 if load_spec(family).is_gated else 1

    def of(layer: int) -> int:
        heads, groups = shape.heads_per_layer[layer], shape.kv_groups_per_layer[layer]
        attention = (heads + 2 * groups) * shape.head_dim + heads * tokens
        return 2 * shape.hidden + max(attention, factor * shape.channels_per_layer[layer])

    return max(of(layer) for layer in range(shape.n_layers))


def bytes_of(precision: str) -> float:
    """Return the bytes of one weight.

    Raises
    ------
    PlanError
        If the precision is unknown.
    """
    if precision not in BYTES_PER_PARAMETER:
        raise PlanError(f"precision '{precision}'; allowed: {', '.join(BYTES_PER_PARAMETER)}.")
    return BYTES_PER_PARAMETER[precision]


def parameters_within(memory_mib: float, precision: str) -> int:
    """Return how many weights of one precision a memory holds, and nothing beside them.

    Raises
    ------
    PlanError
        If the memory holds none, or the precision is unknown.
    """
    found = int(memory_mib * MIB / bytes_of(precision)) if 0 < memory_mib < float("inf") else 0
    if found < 1:
        raise PlanError(f"a memory of {memory_mib} MiB holds no weights; give a positive number of MiB.")
    return found
