"""Eight bits for a model of ExecuTorch: linear layers of the backbone by XNNPACK's quantiser."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from secateur.bundle.manifest import QuantisationRecord
from secateur.core.errors import ConfigError, ExportError
from secateur.export.executorch_graph import one_window, projections, traced
from secateur.export.onnx import silent
from secateur.export.quantise import Quantisation


def to_int8(
    module: nn.Module, window: tuple[Tensor, ...], quantisation: Quantisation
) -> tuple[nn.Module, QuantisationRecord]:
    """Bring the backbone's linear layers to 8 bits.

    Weights are symmetric with one scale for each output channel.

    Parameters
    ----------
    module : torch.nn.Module
        From :func:`secateur.export.executorch_graph.deployed`.
    window : tuple of Tensor
        One window to trace with.
    quantisation : Quantisation
        "dynamic": activations go to 8 bits token by token as they come. "static": activations have one
        range for each layer's input and one for its output, fixed over the calibration windows.

    Returns
    -------
    module : torch.nn.Module
        To be traced again.
    record : QuantisationRecord

    Raises
    ------
    ConfigError
        If torchao is not installed.
    ExportError
        If the model has no such layer, cannot be quantised, or calibration windows are missing.

    References
    ----------
    Jacob, Kligys, Chen, Zhu, Tang, Howard, Adam, Kalenichenko, "Quantization and Training of Neural
    Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018.
    """
    torchao, pt2e, xnnpack = _quantisers()
    chosen = projections(module)
    if not chosen:
        raise ExportError("the model has no linear layer in its backbone to quantise; export it in fp32.")
    settings = xnnpack.get_symmetric_quantization_config(
        is_per_channel=True, is_dynamic=quantisation.scheme == "dynamic"
    )
    quantiser = xnnpack.XNNPACKQuantizer()
    # it would make float tensors of all numbers in the graph, those added to positions included
    quantiser.transform_for_annotation = lambda graph: graph
    for name in chosen:
        quantiser.set_module_name(name, settings)
    graph = traced(module, window).module()
    windows = 0
    try:
        with silent(), torch.no_grad():
            prepared = pt2e.prepare_pt2e(graph, quantiser)
            if quantisation.scheme == "static":
                windows = _observe(prepared, quantisation)
            else:
                # scales of the weights are found as they are first used; those of activations are not kept
                prepared(*window)
            converted = pt2e.convert_pt2e(prepared)
    except ExportError:
        raise
    except Exception as error:  # torchao's error classes share no public base
        raise ExportError(f"torchao cannot quantise the model: {error}") from error
    return converted, QuantisationRecord(
        scheme=quantisation.scheme,
        calibration_windows=windows,
        tool=f"torchao {torchao.__version__}",
        matrices={"int8": len(chosen)},
    )


def _observe(prepared: nn.Module, quantisation: Quantisation) -> int:
    """Run the calibration windows through the observers and return how many there were."""
    windows = 0
    for batch in quantisation.calibration:
        count = len(np.asarray(batch["waveform"]))
        for row in range(count):
            prepared(*one_window(batch, row))
        windows += count
    if not windows:
        raise ExportError("a static quantisation needs calibration windows; none were given.")
    return windows


def _quantisers() -> tuple[Any, Any, Any]:
    try:
        with silent():
            import torchao
            from executorch.backends.xnnpack.quantizer import xnnpack_quantizer
            from torchao.quantization.pt2e import quantize_pt2e
    except ImportError as error:
        raise ConfigError(
            f"int8 for ExecuTorch needs the packages executorch and torchao, which cannot be imported "
            f"({error}); install them with: pip install 'secateur[executorch]'."
        ) from None
    return torchao, quantize_pt2e, xnnpack_quantizer
