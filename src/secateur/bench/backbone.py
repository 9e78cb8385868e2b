"""A Diagnoser's backbone alone as an ONNX graph that takes any number of tokens; for measurements."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from secateur.bench.runners.graph import INPUT
from secateur.core.files import write_aside
from secateur.export.attention import attention_in_one
from secateur.export.onnx import frozen_copy, to_onnx
from secateur.export.onnx_rewrites import rewrite_for_runtime
from secateur.export.quantise import Quantisation, quantise
from secateur.models.diagnoser import Diagnoser

SCOPE = "backbone"
OUTPUT = "hidden"
_TRACED = (2, 5)
"""Batch and tokens to trace with: neither 1, which the tracer takes for a constant, nor alike."""


class _Tokens(nn.Module):
    """A backbone fed with tokens."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, tokens: Tensor) -> Tensor:
        return self.backbone(inputs_embeds=tokens, use_cache=False).last_hidden_state


def export_backbone(model: Diagnoser, path: Path) -> None:
    """Write the backbone of a Diagnoser in float32, with free batch and number of tokens, as a bundle has it.

    Parameters
    ----------
    model : Diagnoser
        Dense or cut; left as it is.
    path : Path
        The ``.onnx`` file; written aside and renamed.

    Raises
    ------
    ExportError
        If the exporter cannot express the backbone.
    """
    module = _Tokens(frozen_copy(model.backbone)).eval()
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    with attention_in_one(module.backbone):
        proto = to_onnx(
            module,
            (torch.zeros(*_TRACED, model.backbone.config.hidden_size),),
            input_names=(INPUT,),
            output_names=(OUTPUT,),
            dynamic_shapes=({0: batch, 1: tokens},),
            rewrite=rewrite_for_runtime,
        )
    with write_aside(path) as aside:
        aside.write_bytes(proto.SerializeToString())


def quantise_backbone(graph: Path, path: Path) -> None:
    """Write the int8 copy of such a graph, activations quantised as they come.

    Raises
    ------
    ExportError
        If ONNX Runtime cannot quantise it.
    """
    quantise(graph, path, Quantisation(scheme="dynamic"), scope=SCOPE)
