"""The files that ``smollm2_device.py`` compares: each runtime, precision and way to round."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gguf
import torch
from torch import nn

from secateur.bundle.manifest import MODEL_FILE
from secateur.core.files import folder_aside
from secateur.export.causal_blocks import WeightBlocks, weights_in_blocks
from secateur.export.causal_cache import CausalModel
from secateur.export.causal_onnx import export_causal_onnx
from secateur.export.causal_quantise import CAUSAL_BLOCKS, quantise_causal
from secateur.export.gguf_export import GGUF_FILE
from secateur.export.gguf_file import GgufPrecision, stored_as, write_gguf
from secateur.export.gguf_model import gguf_model
from secateur.export.gguf_tokenizer import GgufTokenizer

Runtime = Literal["onnx", "gguf"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A file of a model.

    Parameters
    ----------
    name : str
    runtime : {"onnx", "gguf"}
    of_choice : bool
        Whether it is measured on the cut model alone, to choose a default by.
    change : callable, optional
        What is done to the float32 graph, for ONNX.
    precision : str, optional
        For GGUF.
    """

    name: str
    runtime: Runtime
    of_choice: bool = False
    change: Callable[[Path, CausalModel], Any] | None = None
    precision: GgufPrecision = "f32"

    def write(self, causal: CausalModel, tokenizer: GgufTokenizer, folder: Path, plain: Path | None) -> Path:
        """Write it, unless it is there, and return its path.

        Parameters
        ----------
        causal : CausalModel
        tokenizer : GgufTokenizer
        folder : Path
            For this file alone.
        plain : Path or None
            The float32 graph; for what is changed alone.
        """
        file = folder / (MODEL_FILE if self.runtime == "onnx" else GGUF_FILE)
        if file.exists():
            return file
        with folder_aside(folder) as aside:
            made = aside / file.name
            if self.runtime == "gguf":
                described = gguf_model(causal.model)
                write_gguf(made, described, tokenizer, name="SmolLM2", precision=self.precision)
            elif self.change is None:
                export_causal_onnx(causal, made)
            else:
                shutil.copy(plain, made)
                self.change(made, causal)
        return file


def _named(precision: str, scheme: Any = "weights") -> Callable[[Path, CausalModel], Any]:
    return lambda graph, causal: quantise_causal(graph, precision, causal.scopes, scheme=scheme)


def _blocks(blocks: WeightBlocks) -> Callable[[Path, CausalModel], Any]:
    return lambda graph, causal: weights_in_blocks(graph, blocks, causal.scopes)


def _choices() -> dict[str, Callable[[Path, CausalModel], Any]]:
    """Ways to round that are compared with each other; the defaults are left out."""
    eight = {f"int8 blocks of {size}": WeightBlocks(bits=8, size=size) for size in (32, 64, 128)}
    eight["int8 blocks of 32, head fp32"] = WeightBlocks(bits=8, head_bits=None)
    eight["int8 blocks of 32, float activations"] = WeightBlocks(bits=8, accuracy_level=1)
    four = {f"int4 blocks of {size}, head int8": WeightBlocks(bits=4, size=size) for size in (16, 32, 64)}
    four["int4 blocks of 32, head int4"] = WeightBlocks(bits=4, head_bits=4)
    four["int4 blocks of 32, head fp32"] = WeightBlocks(bits=4, head_bits=None)
    four["int4 blocks of 32, zero points, head int8"] = WeightBlocks(bits=4, symmetric=False)
    four["int4 blocks of 32, float activations, head int8"] = WeightBlocks(bits=4, accuracy_level=1)
    defaults = list(CAUSAL_BLOCKS.values())
    compared = {name: _blocks(blocks) for name, blocks in {**eight, **four}.items() if blocks not in defaults}
    return {**compared, "int8, a scale for each output": _named("int8", "dynamic")}


PLAIN = Variant(name="ONNX fp32", runtime="onnx")
VARIANTS: tuple[Variant, ...] = (
    PLAIN,
    Variant(name="ONNX bf16", runtime="onnx", change=_named("bfloat16")),
    Variant(name="ONNX int8", runtime="onnx", change=_named("int8")),
    Variant(name="ONNX int4", runtime="onnx", change=_named("int4")),
    Variant(name="GGUF f16", runtime="gguf", precision="f16"),
    Variant(name="GGUF q8_0", runtime="gguf", precision="q8_0"),
    Variant(name="GGUF q4_0", runtime="gguf", precision="q4_0"),
    *(
        Variant(name=f"ONNX {name}", runtime="onnx", of_choice=True, change=change)
        for name, change in _choices().items()
    ),
)


def rounded(model: nn.Module, precision: GgufPrecision) -> nn.Module:
    """Return a copy whose weights are those that a GGUF file holds."""
    found = copy.deepcopy(model)
    tables = {id(found.get_input_embeddings().weight), id(found.get_output_embeddings().weight)}
    with torch.no_grad():
        for parameter in found.parameters():
            array = parameter.numpy()
            kind = stored_as(array, precision, is_table=id(parameter) in tables)
            if kind == "f16":
                parameter.copy_(parameter.half())
            elif kind != "f32":
                packing = gguf.GGMLQuantizationType[kind.upper()]
                packed = gguf.quantize(array, packing)
                parameter.copy_(torch.from_numpy(gguf.dequantize(packed, packing)))
    return found
